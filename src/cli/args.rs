//! Commands and options, with their help.

#![expect(clippy::doc_markdown, reason = "the comments are what --help prints")]

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Overrides, Setting, Sources, by_toml};
use crate::daemon::{CONTROL_SOCKET, METRICS_SOCKET};
use crate::list::access::Syntax;
use crate::server::Listen;

/// Stands for standard input.
pub(super) const STDIN: &str = "-";

/// A milter that asks Spamhaus DQS, while the SMTP session is still open, who may bring mail in.
#[derive(Debug, Parser)]
#[command(
    name = "gatepost",
    version,
    disable_help_subcommand = true,
    after_help = "Settings come from the command line, the environment (SPAMHAUS_DQS_*), the env file and\n\
                  the configuration file, in that order; check-config shows which one won.\n\
                  Exit status: 0 success, 64 usage, 69 not available, 70 bug, 74 cannot read or write, 77 permission,\n\
                  78 configuration; lookup, explain, map query and doctor have 1 or 2 for what they find, see their help."
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Read this TOML file instead of /etc/gatepost/gatepost.toml
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read this file of SPAMHAUS_DQS_* variables instead of /etc/spamhaus-dqs-milter.env
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Listen here instead, in libmilter's notation: inet:PORT@HOST, inet6:PORT@HOST, unix:/PATH
    #[arg(long, global = true, value_name = "SOCKET")]
    listen: Vec<String>,
    /// Become this account when started as root
    #[arg(long, global = true, value_name = "ACCOUNT")]
    user: Option<String>,
    /// Log this much: error, warning, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve mail servers, in the foreground: SIGHUP reloads, SIGTERM drains and ends
    Run,
    /// Read the configuration as `run` would, and show every setting with its source
    CheckConfig,
    /// Show the settings, lists and rules in force, as a file that says the same
    ShowConfig(ShowConfig),
    /// Ask all lists about addresses, domains or mailboxes, and explain every answer
    #[command(after_help = "Exit status: 0 nothing listed, 1 something listed, 2 could not tell, 64 usage.")]
    Lookup(Lookup),
    /// Play an SMTP session and tell what every list and every rule makes of it; no mail server is needed
    #[command(after_help = "Exit status: 0 let in, 1 refused, deferred or discarded, 2 could not tell.")]
    Explain(Explain),
    /// Try an access map out, without a daemon and without mail
    #[command(subcommand)]
    Map(MapVerb),
    /// Look over the whole set-up: configuration, key, name servers, lists, sockets, mail server
    #[command(after_help = "Exit status: 0 all is well, 1 warnings, 2 something is broken.")]
    Doctor(Doctor),
    /// Keep, name or forget the DQS key
    #[command(subcommand)]
    Key(KeyVerb),
    /// Show the lines that make a mail server ask gatepost, or put them into force
    Mta(Mta),
    /// Print the Python milter's env file as TOML, and what will differ
    Migrate(Migrate),
    /// Print a completion script
    Completions {
        /// The shell that it is for
        shell: clap_complete::Shell,
    },
    /// Connect to a Unix socket as another account, for `doctor`
    #[command(hide = true)]
    ProbeSocket(ProbeSocket),
    /// Show the main job: serves a built-in zone and plays sessions; needs no key, DNS or mail server
    Demo,
    /// Show how the running daemon does
    Status(Status),
    /// Let the running daemon read its configuration anew, and tell what came of it
    Reload(Socket),
    /// Let the running daemon take no new sessions, finish open messages, and end
    Drain(Socket),
    /// Look at, or forget, the answers that the running daemon remembers
    Cache(Cache),
    /// Serve the metrics of the running daemon over HTTP, as a process of its own
    MetricsExporter(MetricsExporter),
}

/// Where the running daemon takes orders.
#[derive(Debug, clap::Args)]
pub(super) struct Socket {
    /// The control socket of the daemon [default: control.listen in the environment, else
    /// /run/gatepost/control.sock]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) socket: Socket,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print the metrics as Prometheus reads them
    #[arg(long, conflicts_with = "json")]
    pub(super) prometheus: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Cache {
    /// What to do
    #[arg(value_enum)]
    pub(super) act: CacheAct,
    /// The same as --list
    #[arg(value_name = "LIST")]
    pub(super) named: Option<String>,
    /// A list whose answers are forgotten, your own ones too; without it those of all lists
    #[arg(long, value_name = "NAME")]
    pub(super) list: Vec<String>,
    #[command(flatten)]
    pub(super) socket: Socket,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum CacheAct {
    /// Show how many answers there are, and how many questions they have saved
    Stats,
    /// Forget them
    Flush,
}

#[derive(Debug, clap::Args)]
pub(super) struct MetricsExporter {
    /// The metrics socket of the daemon
    #[arg(long, value_name = "PATH", default_value = METRICS_SOCKET)]
    pub(super) metrics_socket: PathBuf,
}

impl Socket {
    /// Where the daemon is asked.
    pub(super) fn path(&self) -> PathBuf {
        let variable = by_toml("control.listen").and_then(Setting::variable);
        let set = || match std::env::var(variable?).ok()?.parse() {
            Ok(Listen::Unix(path)) => Some(path),
            _ => None,
        };
        self.control.clone().or_else(set).unwrap_or_else(|| CONTROL_SOCKET.into())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowConfig {
    /// Leave out settings that are as built in
    #[arg(long)]
    pub(super) changed: bool,
    /// Tell where each value comes from: file and line, variable, or built in
    #[arg(long)]
    pub(super) origin: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Lookup {
    /// An address, a domain, or a mailbox
    #[arg(required = true, value_name = "SUBJECT")]
    pub(super) subjects: Vec<String>,
    /// Ask this list only, even if it is switched off; several may be named
    #[arg(long, value_name = "NAME")]
    pub(super) list: Vec<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<IpAddr>,
    /// The name that the client's address has in DNS
    #[arg(long, value_name = "NAME")]
    pub(super) client_name: Option<String>,
    /// The HELO name
    #[arg(long, value_name = "NAME")]
    pub(super) helo: Option<String>,
    /// The sender, as in MAIL FROM; <> for the null reverse-path
    #[arg(long, value_name = "MAILBOX")]
    pub(super) from: Option<String>,
    /// A recipient; several are judged one by one
    #[arg(long, value_name = "MAILBOX")]
    pub(super) rcpt: Vec<String>,
    /// The login of an authenticated session
    #[arg(long, value_name = "LOGIN")]
    pub(super) auth: Option<String>,
    /// The port that the client connected to, such as 587
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// The name of the mail server's daemon, as session.submission_daemons names it
    #[arg(long, value_name = "NAME")]
    pub(super) daemon: Option<String>,
    /// Ask the live daemon on its milter socket instead: inet:PORT@HOST, inet6:PORT@HOST, unix:/PATH
    #[arg(long, value_name = "SOCKET")]
    pub(super) via: Option<Listen>,
    /// Make decisions of our own log anew, from these lines or standard input, and tell what differs
    #[arg(
        long, value_name = "LINES", num_args = 0..=1, default_missing_value = STDIN,
        conflicts_with_all = ["via", "client", "helo", "from", "rcpt", "auth"]
    )]
    pub(super) replay: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum MapVerb {
    /// Read a map, and tell every mistake in it with its line
    #[command(after_help = "Exit status: 0 it can be used, 64 usage, 78 it cannot.")]
    Check(MapFile),
    /// Ask a map about a client, sender, recipient or login: every key that is tried, and the one that is found
    #[command(
        after_help = "Exit status: 0 let in, held, or nothing said; 1 refused, deferred or dropped; 64 usage, 69 no answer, 78 no map."
    )]
    Query(MapQuery),
}

#[derive(Debug, clap::Args)]
pub(super) struct MapFile {
    /// The map: a file, or its place as access.map names it
    #[arg(value_name = "FILE")]
    pub(super) map: String,
    /// Whose rules it is written by, if they are not those of access.syntax
    #[arg(long, value_enum, value_name = "WORD")]
    pub(super) syntax: Option<MapSyntax>,
}

#[derive(Debug, clap::Args)]
pub(super) struct MapQuery {
    #[command(flatten)]
    pub(super) of: MapFile,
    /// What the subject is
    #[arg(value_enum, value_name = "TAG")]
    pub(super) tag: MapTag,
    /// An address or a host name after connect, a mailbox after from and to, a login after auth
    #[arg(value_name = "SUBJECT")]
    pub(super) subject: String,
    /// The client's address, for keys that name it beside another subject
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<IpAddr>,
    /// The client's name
    #[arg(long, value_name = "NAME")]
    pub(super) client_name: Option<String>,
    /// The sender, for keys that name it beside a recipient
    #[arg(long, value_name = "MAILBOX")]
    pub(super) from: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum MapSyntax {
    /// Tags, as in Sendmail's access_db
    Sendmail,
    /// Keys without tags, as in access(5) of Postfix
    Postfix,
}

impl From<MapSyntax> for Syntax {
    fn from(syntax: MapSyntax) -> Self {
        match syntax {
            MapSyntax::Sendmail => Self::Sendmail,
            MapSyntax::Postfix => Self::Postfix,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum MapTag {
    /// A client
    Connect,
    /// A sender
    From,
    /// A recipient, with Spam: keys
    To,
    /// A login
    Auth,
}

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Ask nothing over the network: no name server, no list
    #[arg(long)]
    pub(super) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Read the key from the terminal, where it is not shown, or from standard input, and keep it
    Set,
    /// Print the first digits of the key's SHA-256, and where it is from
    Fingerprint,
    /// Forget the key that `set` has kept
    Remove,
}

#[derive(Debug, clap::Args)]
pub(super) struct Mta {
    /// The mail server
    pub(super) kind: MtaKind,
    /// Write the lines to its configuration, and tell it to reload
    #[arg(long)]
    pub(super) apply: bool,
    /// Where gatepost is reached, in libmilter's notation, if it cannot be found out
    #[arg(long, value_name = "SOCKET")]
    pub(super) socket: Option<Listen>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum MtaKind {
    Postfix,
    Sendmail,
}

#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// The env file, if it is not /etc/spamhaus-dqs-milter.env
    #[arg(value_name = "ENVFILE")]
    pub(super) old: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ProbeSocket {
    #[arg(long)]
    pub(super) account: String,
    #[arg(long)]
    pub(super) chroot: Option<PathBuf>,
    pub(super) path: PathBuf,
}

impl Args {
    /// The sources of the configuration for this command line.
    pub(super) fn sources(&self) -> Sources {
        Sources::of_process(Overrides {
            config: self.config.clone(),
            env_file: self.env_file.clone(),
            listen: self.listen.clone(),
            user: self.user.clone(),
            log_level: self.log_level.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
