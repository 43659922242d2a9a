//! Files and environment become one validated configuration.
//!
//! Every problem of every source is found in one run, each with its place, its cause and a remedy.
//! Nothing here opens a socket, asks DNS or knows accounts; the key is read, and never shown.

mod access;
mod choice;
mod env;
mod file;
mod load;
mod near;
mod policy;
mod problem;
mod reach;
mod read;
mod report;
mod secrets;
mod settings;
mod show;
mod text;
mod value;
mod write;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::dns::Key;
use crate::limits::{Limits, Overload};
use crate::list::MailboxPattern;
use crate::policy::{OnTrouble, ReplyStyle, Template};
use crate::server::Listen;
use crate::smtp::{Domain, Stage};
use crate::telemetry::Level;
use crate::verdict::{Act, Codes};

pub use access::Access;
pub use choice::{CodeActs, Mode, OnFailure, Sandbox, WithoutKey, Word};
pub use load::{CONFIG_FILE, DEFAULT_ENV_FILE, Overrides, Rough, Sources};
pub use policy::{
    Additions, Answered, Expectation, Limit, ListFile, MemberFile, Of, OwnList, Per, RecipientPolicy,
    Recipients, Syntax,
};
pub use problem::{Place, Problem, Problems};
pub use reach::out_of_reach;
pub use settings::{PREFIX, SETTINGS, Setting, by_env, by_toml};
pub use value::Shape;
pub use write::Table;

/// A complete, validated configuration.
///
/// [`Config::default`] is what is built in: what the Python milter does when only the key is set.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each one is an independent switch of the administrator")]
pub struct Config {
    /// Sockets to listen on, in libmilter's notation; at least one.
    pub listen: Vec<Listen>,
    /// The account that owns a Unix socket; `None` is that of `user`.
    pub socket_owner: Option<String>,
    /// The group of a Unix socket; `None` is what its directory gives.
    pub socket_group: Option<String>,
    /// Permissions of a Unix socket.
    pub socket_mode: Mode,
    /// The account to run as when started as root.
    pub user: String,
    /// How much confinement the process needs.
    pub sandbox: Sandbox,
    /// Single-thread runtimes that share the listeners.
    pub threads: usize,
    /// How much is logged.
    pub log_level: Level,
    /// How often the log sums up what happened; nothing is never.
    pub log_summary: Option<Duration>,
    /// Connections served at once.
    pub connections: usize,
    /// What sessions are told for which there is no room.
    pub overload: Overload,
    /// Sessions of one SMTP client served at once; 0 for no limit.
    pub client_connections: usize,
    /// Longest silence of an MTA between packets.
    pub idle_timeout: Duration,
    /// How long a stopping daemon waits for open messages.
    pub drain_timeout: Duration,
    /// The Unix socket of the control commands.
    pub control_listen: Option<Listen>,
    /// The Unix socket that only tells.
    pub metrics_listen: Option<Listen>,

    /// The DQS key; `None` only with [`WithoutKey::Accept`].
    pub key: Option<Key>,
    /// The file that the key is to be read from, if one is named.
    pub key_file: Option<PathBuf>,
    /// What a start without a key does.
    pub without_key: WithoutKey,

    /// Name servers, in the order in which they are tried; at least one.
    pub nameservers: Vec<SocketAddr>,
    /// The domain below which the zones are.
    pub zone_base: Domain,
    /// Time for all questions of a stage together.
    pub dns_lifetime: Duration,
    /// Time for one try of one question.
    pub dns_per_try: Duration,
    /// Time in which a stage must be answered.
    pub milter_timeout: Duration,
    /// Answers kept; 0 keeps none.
    pub cache_max: usize,
    /// Longest time that a listing is kept.
    pub cache_ttl_listed: Duration,
    /// Longest time that "not listed" is kept.
    pub cache_ttl_unlisted: Duration,
    /// Whether the time to live of the DNS answer counts below those limits.
    pub cache_honor_ttl: bool,
    /// Time between two probes of a zone; `None` for no probes.
    pub probe_interval: Option<Duration>,
    /// Questions to DQS in a day of which a warning is logged; 0 for none.
    pub query_budget: usize,
    /// Whether special-purpose addresses are left out; off in tests only.
    pub skip_special: bool,

    /// The stage at which verdicts are given: connect, helo, mail or rcpt.
    pub enforce_stage: Stage,
    /// Whether ZEN is asked about client addresses.
    pub zen_enable: bool,
    /// The codes of ZEN that refuse mail; group 0, never empty.
    pub zen_reject_codes: Codes,
    /// Whether DBL is asked about domains.
    pub dbl_enable: bool,
    /// The codes of DBL that refuse mail; group 1, never empty.
    pub dbl_reject_codes: Codes,
    /// Whether ZRD is asked about domains.
    pub zrd_enable: bool,
    /// What a listing in ZRD does.
    pub zrd_action: Act,
    /// The age in hours up to which a domain is too young, 2 to 24; codes 2 to this one act.
    pub zrd_max_age: u8,
    /// What happens while a list cannot be reached.
    pub on_failure: OnFailure,

    /// Whose words the replies use, where no template is set.
    pub reply_style: ReplyStyle,
    /// The reply to a client whose address ZEN lists.
    pub reply_zen: Option<Template>,
    /// The reply to a client whose HELO name DBL lists.
    pub reply_helo: Option<Template>,
    /// The reply to a sender whose domain DBL lists.
    pub reply_sender: Option<Template>,
    /// The reply to a domain that ZRD lists; its class fits [`Config::zrd_action`].
    pub reply_zrd: Option<Template>,
    /// The reply while a list cannot be reached; always temporary.
    pub reply_failure: Option<Template>,

    /// Clients whose address no list is asked about, neither those of DQS nor those of the administrator.
    pub ip_whitelist: Vec<IpNet>,
    /// Clients of whose sessions nothing is checked.
    pub trusted_networks: Vec<IpNet>,
    /// Domains that are not asked about.
    pub domain_whitelist: Vec<Domain>,
    /// Domains that are not asked about, with everything below them.
    pub domain_suffix_whitelist: Vec<Domain>,
    /// Whether a client in [`Config::ip_whitelist`] is spared all checks.
    pub whitelist_skip_all: bool,
    /// Whether a login spares the session the checks of address, HELO name and sender.
    pub auth_skip: bool,
    /// Whether the sender's domain is checked in spite of a login.
    pub auth_domain_checks: bool,
    /// Names of MTA daemons (`{daemon_name}`) that serve submission.
    pub submission_daemons: Vec<String>,
    /// Whether bad values were warnings only.
    pub compat_parse: bool,

    /// Whether the policy only looks on.
    pub observe: bool,
    /// What codes of ZEN do, beside those that refuse.
    pub zen_action: CodeActs,
    /// What codes of DBL do, beside those that refuse.
    pub dbl_action: CodeActs,
    /// Whether `AuthBL` is asked about the clients of users.
    pub authbl_enable: bool,
    /// What a listing in `AuthBL` does.
    pub authbl_action: Act,
    /// Whether DBL and ZRD are asked about the name of the client's address.
    pub rdns_enable: bool,
    /// Recipients that get their mail whatever the lists say, where recipients are judged.
    pub exempt_recipients: Vec<MailboxPattern>,
    /// Domains that are ours, with everything below them: not asked about.
    pub local_domains: Vec<Domain>,
    /// Whether allow lists may hold what nearly everybody is in.
    pub allow_force: bool,
    /// What access maps there are, and what they mean.
    pub access: Access,
    /// Lists, rules, scores and expectations of the administrator's.
    pub additions: Additions,

    /// The files that were read, in the order in which they were; what a reload reads again.
    pub files: Vec<PathBuf>,
    /// What the administrator should know although it stops nothing.
    pub notices: Vec<Problem>,
    origins: Vec<Origin>,
}

/// Which source a setting has its value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name in TOML.
    pub toml: &'static str,
    /// The name in the environment, with its prefix; empty if there is none.
    pub env: String,
    /// The value in effect; for the key `(set)` or nothing.
    pub value: String,
    /// Its entries, if it is a list.
    pub items: Vec<String>,
    /// The source.
    pub place: Place,
}

impl Config {
    /// Every setting with its value and the source of it, in the order of the manual.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }
}

impl Config {
    /// Whether any list of DQS is asked.
    pub fn asks_dqs(&self) -> bool {
        self.zen_enable || self.dbl_enable || self.zrd_enable || self.authbl_enable
    }

    /// Where a setting has its value from, by its name in TOML.
    pub fn place_of(&self, toml: &str) -> Place {
        let origin = self.origins.iter().find(|origin| origin.toml == toml);
        origin.map_or(Place::Default, |origin| origin.place.clone())
    }

    /// Whether the key comes from a credential of the service manager.
    pub fn has_credential(&self) -> bool {
        self.origins.iter().any(|origin| matches!(origin.place, Place::Credential(_)))
    }
}

impl Default for Config {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            listen: vec!["inet:11332@localhost".parse().expect("a legal endpoint")],
            socket_owner: None,
            socket_group: None,
            socket_mode: Mode(0o660),
            user: "gatepost".to_owned(),
            sandbox: Sandbox::On,
            threads: 1,
            log_level: Level::Info,
            log_summary: Some(Duration::from_mins(10)),
            connections: limits.connections,
            overload: limits.overload,
            client_connections: limits.per_client,
            idle_timeout: limits.idle,
            drain_timeout: limits.drain,
            control_listen: None,
            metrics_listen: None,
            key: None,
            key_file: None,
            without_key: WithoutKey::Refuse,
            nameservers: [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                .map(|ip| SocketAddr::new(ip, 53))
                .to_vec(),
            zone_base: Domain::from_setting("dq.spamhaus.net").expect("a legal domain"),
            dns_lifetime: Duration::from_millis(1_800),
            dns_per_try: Duration::from_millis(700),
            milter_timeout: Duration::from_secs(2),
            cache_max: 20_000,
            cache_ttl_listed: Duration::from_mins(10),
            cache_ttl_unlisted: Duration::from_mins(5),
            cache_honor_ttl: true,
            probe_interval: Some(Duration::from_mins(15)),
            query_budget: 0,
            skip_special: true,
            enforce_stage: Stage::Connect,
            zen_enable: true,
            zen_reject_codes: Codes::of(0, [2, 3, 4, 9, 10, 11]),
            dbl_enable: true,
            dbl_reject_codes: Codes::of(1, 2..=99),
            zrd_enable: true,
            zrd_action: Act::Refuse,
            zrd_max_age: 24,
            on_failure: OnFailure::all(OnTrouble::LetIn),
            reply_style: ReplyStyle::Own,
            reply_zen: None,
            reply_helo: None,
            reply_sender: None,
            reply_zrd: None,
            reply_failure: None,
            ip_whitelist: Vec::new(),
            trusted_networks: Vec::new(),
            domain_whitelist: Vec::new(),
            domain_suffix_whitelist: Vec::new(),
            whitelist_skip_all: false,
            auth_skip: true,
            auth_domain_checks: false,
            submission_daemons: Vec::new(),
            compat_parse: false,
            observe: false,
            zen_action: CodeActs::default(),
            dbl_action: CodeActs::default(),
            authbl_enable: false,
            authbl_action: Act::Log,
            rdns_enable: false,
            exempt_recipients: ["postmaster@", "abuse@"]
                .into_iter()
                .filter_map(MailboxPattern::parse)
                .collect(),
            local_domains: Vec::new(),
            allow_force: false,
            access: Access::default(),
            additions: Additions::default(),
            files: Vec::new(),
            notices: Vec::new(),
            origins: Vec::new(),
        }
    }
}
