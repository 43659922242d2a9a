//! The one table of all settings.
//!
//! The environment, TOML, `check-config` and the manual are all fed from it.

use super::Config;
use super::access;
use super::read;
use super::show::Show;
use super::value::{Fault, Reading, Shape, Value};
use crate::verdict::List;

/// What every name in the environment begins with.
pub const PREFIX: &str = "SPAMHAUS_DQS_";

/// One setting.
pub struct Setting {
    /// The name in the environment, without [`PREFIX`]; that in TOML if the environment has none for it.
    pub env: &'static str,
    /// The dotted name in TOML.
    pub toml: &'static str,
    /// What kind of value it holds.
    pub shape: Shape,
    /// The built-in value as text.
    pub default: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    pub(super) set: fn(&mut Config, &Value) -> Effect,
    pub(super) show: fn(&Config) -> String,
    pub(super) items: fn(&Config) -> Vec<String>,
}

/// What setting a value did.
pub(super) struct Effect {
    /// Whether the configuration has the value now, or what of it could be read.
    pub(super) taken: bool,
    pub(super) faults: Vec<Fault>,
    pub(super) remarks: Vec<Fault>,
}

impl Setting {
    /// The whole name in the environment, if it has one there.
    pub fn variable(&self) -> Option<String> {
        (self.env != self.toml).then(|| format!("{PREFIX}{}", self.env))
    }

    /// Whether the value is never shown.
    pub fn is_secret(&self) -> bool {
        self.env == "API_KEY"
    }

    /// Whether an empty text in the environment says nothing. It does, unless it is an empty list
    /// of something that need not be there.
    pub(super) fn is_unset_by_nothing(&self) -> bool {
        self.shape != Shape::List || !self.default.is_empty()
    }

    /// Reads a value into the configuration.
    pub(super) fn apply(&self, config: &mut Config, value: &Value) -> Effect {
        match value.check_shape(self.shape) {
            Ok(()) => (self.set)(config, value),
            Err(fault) => Effect { taken: false, faults: vec![fault], remarks: Vec::new() },
        }
    }
}

/// The setting with a name of the environment, without its prefix.
pub fn by_env(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.env == name && setting.env != setting.toml)
}

/// The setting with a dotted name of TOML.
pub fn by_toml(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.toml == name)
}

fn put<T>(field: &mut T, reading: Reading<T>) -> Effect {
    let taken = reading.value.is_some();
    if let Some(value) = reading.value {
        *field = value;
    }
    Effect { taken, faults: reading.faults, remarks: reading.remarks }
}

macro_rules! settings {
    ($($env:literal $toml:literal $shape:ident = $default:literal, $($field:ident).+: $read:expr, $help:literal;)+) => {
        /// All settings, in the order of the manual.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            env: $env,
            toml: $toml,
            shape: Shape::$shape,
            default: $default,
            help: $help,
            set: |config, value| put(&mut config.$($field).+, ($read)(value)),
            show: |config| config.$($field).+.show(),
            items: |config| config.$($field).+.items(),
        },)+];
    };
}

/// A day, in seconds.
const DAY: f64 = 86_400.0;

settings! {
    "LISTEN" "listen" List = "inet:11332@localhost", listen: read::listen,
        "sockets to listen on, in libmilter's notation";
    "SOCKET_OWNER" "socket.owner" Text = "", socket_owner: read::account,
        "account that owns a Unix socket; nothing is the account of user";
    "SOCKET_GROUP" "socket.group" Text = "", socket_group: read::account,
        "group of a Unix socket; nothing is the group that its directory gives";
    "SOCKET_MODE" "socket.mode" Text = "0660", socket_mode: read::mode,
        "permissions of a Unix socket, in octal";
    "USER" "user" Text = "gatepost", user: read::user,
        "account to run as when started as root";
    "SANDBOX" "sandbox" Text = "on", sandbox: read::sandbox,
        "Landlock: on as far as possible, require all of the confinement or do not start, or off";
    "THREADS" "threads" Number = "1", threads: |v| read::count(v, 1..=64),
        "threads that serve connections; a session with known answers takes some 0.05 ms of CPU time";
    "LOG_LEVEL" "log.level" Text = "info", log_level: read::log_level,
        "error, warning, info, debug or trace";
    "LOG_SUMMARY" "log.summary" Number = "600", log_summary: read::interval,
        "seconds between two lines that sum up what happened, 0 for none";
    "CONNECTIONS" "connections" Number = "2048", connections: |v| read::count(v, 1..=1_000_000),
        "MTA connections served at once; above it sessions are told what overload says";
    "OVERLOAD" "overload" Text = "accept", overload: read::overload,
        "sessions for which there is no room: accept (unchecked) or tempfail (451)";
    "CLIENT_CONNECTIONS" "client_connections" Number = "0", client_connections: |v| read::count(v, 0..=1_000_000),
        "sessions of one SMTP client (IPv6: one /64) at once, 0 for no limit; above it as overload says";
    "IDLE_TIMEOUT" "timeouts.idle" Number = "7210", idle_timeout: |v| read::seconds(v, 1.0..=7.0 * DAY),
        "seconds that an MTA may be silent within a session";
    "DRAIN_TIMEOUT" "timeouts.drain" Number = "5", drain_timeout: |v| read::seconds(v, 0.0..=3600.0),
        "seconds that a stopping daemon waits for open messages";
    "CONTROL_LISTEN" "control.listen" Text = "", control_listen: read::local_socket,
        "Unix socket for gatepost status, reload, drain and cache, such as unix:/run/gatepost/control.sock";
    "METRICS_LISTEN" "metrics.listen" Text = "", metrics_listen: read::local_socket,
        "Unix socket that only tells, for gatepost metrics-exporter";

    "API_KEY" "key.value" Text = "", key: read::key,
        "the DQS key; better kept in a file or credential";
    "API_KEY_FILE" "key.file" Text = "", key_file: read::path,
        "file that holds the DQS key and nothing else";
    "WITHOUT_KEY" "without_key" Text = "refuse", without_key: read::without_key,
        "what a start without a key does: refuse to start, or accept all mail";

    "NAMESERVERS" "dns.servers" List = "127.0.0.1,::1", nameservers: read::nameservers,
        "name servers, with a port as in 127.0.0.1:5353 or [::1]:5353";
    "ZONE_BASE" "dns.zone_base" Text = "dq.spamhaus.net", zone_base: read::domain,
        "domain below which the zones are";
    "MILTER_TIMEOUT" "timeouts.stage" Number = "2", milter_timeout: |v| read::seconds(v, 0.1..=3600.0),
        "seconds in which every stage is answered";
    "DNS_LIFETIME" "dns.lifetime" Number = "1.8", dns_lifetime: |v| read::seconds(v, 0.0..=3600.0),
        "seconds for all questions of a stage; at least 0.1, below timeouts.stage";
    "DNS_PER_TRY" "dns.per_try" Number = "0.7", dns_per_try: |v| read::seconds(v, 0.0..=3600.0),
        "seconds for one try of a question; at least 0.05, below dns.lifetime";
    "PROBE_INTERVAL" "dns.probe_interval" Number = "900", probe_interval: read::interval,
        "seconds between two probes of each zone, 0 for none";
    "QUERY_BUDGET_PER_DAY" "dns.query_budget_per_day" Number = "0", query_budget: |v| read::count(v, 0..=1_000_000_000),
        "questions to DQS in a day (UTC): a warning at 80 % and at 100 %, nothing else; 0 for none";
    "SKIP_SPECIAL" "dns.skip_special" Flag = "1", skip_special: read::flag,
        "leave out private and other special-purpose addresses; 0 in tests only";
    "CACHE_MAX" "cache.max" Number = "20000", cache_max: |v| read::count(v, 0..=10_000_000),
        "answers kept, 0 for none";
    "CACHE_TTL_LISTED" "cache.ttl_listed" Number = "600", cache_ttl_listed: |v| read::seconds(v, 0.0..=7.0 * DAY),
        "longest time in seconds that a listing is kept";
    "CACHE_TTL_UNLISTED" "cache.ttl_unlisted" Number = "300", cache_ttl_unlisted: |v| read::seconds(v, 0.0..=7.0 * DAY),
        "longest time in seconds that \"not listed\" is kept";
    "CACHE_HONOR_TTL" "cache.honor_ttl" Flag = "1", cache_honor_ttl: read::flag,
        "keep answers as long as DNS says, within those limits; 0 keeps them that long always";

    "DRY_RUN" "observe" Flag = "0", observe: read::flag,
        "only look on: log what would be done, and do nothing";
    "ENFORCE_STAGE" "enforce.stage" Text = "connect", enforce_stage: read::enforce_stage,
        "stage at which mail is refused: connect, helo, mail or rcpt";
    "ZEN_ENABLE" "zen.enable" Flag = "1", zen_enable: read::flag,
        "ask ZEN about client addresses";
    "ZEN_REJECT_CODES" "zen.reject_codes" List = "2,3,4,9,10,11", zen_reject_codes: read::zen_codes,
        "codes of ZEN that refuse mail";
    "ZEN_ACTION" "zen.action" List = "", zen_action: |v| read::code_acts(v, List::ZEN),
        "what certain codes of ZEN do instead, as in 10-11=tag";
    "DBL_ENABLE" "dbl.enable" Flag = "1", dbl_enable: read::flag,
        "ask DBL about HELO names and sender domains";
    "DBL_REJECT_CODES" "dbl.reject_codes" List = "2-99", dbl_reject_codes: read::dbl_codes,
        "codes of DBL that refuse mail";
    "DBL_ACTION" "dbl.action" List = "", dbl_action: |v| read::code_acts(v, List::DBL),
        "what certain codes of DBL do instead, as in 102-106=tag";
    "ZRD_ENABLE" "zrd.enable" Flag = "1", zrd_enable: read::flag,
        "ask ZRD about HELO names and sender domains";
    "ZRD_ACTION" "zrd.action" Text = "reject", zrd_action: read::act,
        "what a listing in ZRD does: reject, tempfail, discard, quarantine, tag or log";
    "ZRD_MAX_AGE" "zrd.max_age" Number = "24", zrd_max_age: read::hours,
        "hours up to which a domain is too young, 2 to 24";
    "AUTHBL_ENABLE" "authbl.enable" Flag = "0", authbl_enable: read::flag,
        "ask AuthBL about the addresses of users: after a login, and on submission services";
    "AUTHBL_ACTION" "authbl.action" Text = "log", authbl_action: read::act,
        "what a listing in AuthBL does: reject, tempfail, discard, quarantine, tag or log";
    "RDNS_ENABLE" "rdns.enable" Flag = "0", rdns_enable: read::flag,
        "ask DBL and ZRD about the name that the client's address has in DNS, too";
    "ON_FAILURE" "on_failure" List = "accept", on_failure: read::on_failure,
        "while a list cannot be reached: accept or tempfail, or for each list as in zen=tempfail";

    "REPLY_STYLE" "reply.style" Text = "new", reply_style: read::reply_style,
        "new, or python for the texts of the Python milter";
    "REPLY_ZEN" "reply.zen" Text = "", reply_zen: read::template,
        "reply to a client that ZEN lists, such as 554 5.7.1 {ip} is listed in {list}";
    "REPLY_HELO" "reply.helo" Text = "", reply_helo: read::template,
        "reply to a client whose HELO name DBL lists";
    "REPLY_SENDER" "reply.sender" Text = "", reply_sender: read::template,
        "reply to a sender whose domain DBL lists";
    "REPLY_ZRD" "reply.zrd" Text = "", reply_zrd: read::template,
        "reply to a domain that ZRD lists";
    "REPLY_FAILURE" "reply.failure" Text = "", reply_failure: read::deferral,
        "reply while a list cannot be reached";

    "IP_WHITELIST" "allow.addresses" List = "", ip_whitelist: read::networks,
        "clients that ZEN is not asked about: addresses and networks";
    "DOMAIN_WHITELIST" "allow.domains" List = "", domain_whitelist: read::domains,
        "domains that are not asked about";
    "DOMAIN_SUFFIX_WHITELIST" "allow.suffixes" List = "", domain_suffix_whitelist: read::suffixes,
        "domains that are not asked about, with all names below them";
    "WHITELIST_SKIP_ALL" "allow.skip_all" Flag = "0", whitelist_skip_all: read::flag,
        "let the allow list of addresses cover HELO names and senders too";
    "ALLOW_FORCE" "allow.force" Flag = "0", allow_force: read::flag,
        "let allow lists and trusted networks hold what nearly everybody is in, such as 0.0.0.0/0 or com";
    "EXEMPT_RECIPIENTS" "exempt_recipients" List = "postmaster@,abuse@", exempt_recipients: read::mailboxes,
        "recipients that get their mail in any case, if mail is refused at RCPT, dropped or held";
    "LOCAL_DOMAINS" "local_domains" List = "", local_domains: read::suffixes,
        "domains of your own, with all names below them: not asked about";
    "TRUSTED_NETWORKS" "trusted_networks" List = "", trusted_networks: read::networks,
        "clients of which nothing is checked: addresses and networks";
    "AUTH_SKIP" "session.auth_skip" Flag = "1", auth_skip: read::flag,
        "do not check address and HELO name of a client that has logged in";
    "AUTH_DOMAIN_CHECKS" "session.auth_domain_checks" Flag = "0", auth_domain_checks: read::flag,
        "check the sender's domain of a client that has logged in";
    "SUBMISSION_DAEMONS" "session.submission_daemons" List = "", submission_daemons: read::names,
        "names of MTA daemons that serve submission, where addresses are not checked";
    "COMPAT_PARSE" "compat_parse" Flag = "0", compat_parse: read::flag,
        "make bad values warnings and use the default instead, as the Python milter did";

    // What no program before this one had is set in TOML only.
    "access.map" "access.map" List = "", access.map: access::map,
        "access maps, asked in this order, such as text:/etc/mail/access";
    "access.syntax" "access.syntax" Text = "sendmail", access.syntax: access::choice,
        "whose rules the maps are written by: sendmail (with tags) or postfix (access(5))";
    "access.mode" "access.mode" Text = "enforce", access.mode: access::choice,
        "enforce, or shadow: the log tells what the maps would do";
    "access.delay" "access.delay" Text = "rcpt", access.delay: access::choice,
        "when a denial of client or sender is spoken: rcpt (a recipient may lift it) or none (at once)";
    "access.exempt" "access.exempt" Text = "all", access.exempt: access::choice,
        "whose checks an allowed recipient spares: all (only its own) or any (those of later ones, too)";
    "access.loopback" "access.loopback" Text = "allow", access.loopback: access::choice,
        "clients on this host: allow, or search the maps for them, too";
    "access.logins" "access.logins" Text = "trust", access.logins: access::choice,
        "clients that have logged in and of whose login the maps say nothing: trust or ignore";
    "access.detail" "access.detail" Text = "+", access.detail: access::detail,
        "characters that begin the detail of a local part";
    "access.duplicates" "access.duplicates" Text = "last", access.duplicates: access::choice,
        "which of two lines with the same key is taken: last or first";
    "access.comments" "access.comments" Text = "line", access.comments: access::choice,
        "where comments begin: line, at its beginning only, or inline, behind a value, too";
    "access.glob_classes" "access.glob_classes" Flag = "0", access.glob_classes: read::flag,
        "let [a-z] in a glob be a class; else a bracket stands for itself";
    "access.on_trouble" "access.on_trouble" Text = "accept", access.on_trouble: access::choice,
        "while a map cannot be asked: accept, as if it said nothing, or tempfail";
    "access.reply" "access.reply" Text = "", access.reply: access::reply,
        "reply of a denial that has no words of its own, such as 550 5.7.1 {ip} is not welcome here";
}

/// Names that the documentation of DQS filters speaks of and that are something else here, each with what it is; what
/// begins with one of them and an underscore is meant too.
pub(super) const ELSEWHERE: &[(&str, &str)] =
    &[("EXCEPTIONS_FILE", "write [[rule]] with action = \"allow\" in TOML, see gatepost-policy(5)")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    #[test]
    fn the_table_and_the_built_in_configuration_agree() {
        for setting in SETTINGS {
            let built_in = Config::default();
            assert_eq!((setting.show)(&built_in), setting.default, "{}", setting.toml);
            if !setting.default.is_empty() {
                let mut config = Config::default();
                let effect = setting.apply(&mut config, &Value::text(setting.default, Place::Default));
                assert!(
                    effect.taken && effect.faults.is_empty() && effect.remarks.is_empty(),
                    "{}",
                    setting.toml
                );
                assert_eq!(config, built_in, "{}", setting.toml);
            }
        }
    }

    #[test]
    fn names_are_unique_and_every_setting_is_explained() {
        for (n, setting) in SETTINGS.iter().enumerate() {
            assert!(!setting.help.is_empty() && setting.help.len() <= 100, "{}", setting.toml);
            for other in &SETTINGS[n + 1..] {
                assert!(setting.env != other.env && setting.toml != other.toml, "{}", other.toml);
            }
            assert!(ELSEWHERE.iter().all(|(name, _)| *name != setting.env), "{}", setting.env);
        }
    }
}
