//! A milter library, and the daemon built with it.
//!
//! A milter is a program that a mail server (MTA) tells what happens in an SMTP session, and that decides
//! whether mail comes in. This crate speaks the protocol of Sendmail and Postfix, versions 2 to 6, and holds a whole
//! filter that asks the lists of Spamhaus DQS: the daemon `gatepost`.
//!
//! # A milter of one's own
//!
//! Implement [`milter::Filter`]: say what the filter [needs](smtp::Needs) to be told, and decide. Then
//! let a [`server::Server`] serve it.
//!
//! ```no_run
//! use gatepost::limits::Limits;
//! use gatepost::milter::Filter;
//! use gatepost::server::{Listen, Server};
//! use gatepost::smtp::{Dialog, Event, Needs, Reply, ReversePath, Stage};
//! use gatepost::verdict::{Decision, Verdict};
//!
//! struct NotFrom(&'static str);
//!
//! impl Filter for NotFrom {
//!     type Memory = ();
//!
//!     fn needs(&self) -> Needs {
//!         Needs::default().event(Event::Mail)
//!     }
//!
//!     async fn judge(&self, _: Stage, dialog: &Dialog, (): &mut ()) -> Decision {
//!         match dialog.transaction.as_ref().map(|message| ReversePath::parse(&message.sender)) {
//!             Some(ReversePath::Domain { domain, .. }) if domain.as_str() == self.0 => {
//!                 Verdict::Refuse(Reply::new(550, "5.7.1", "not from there").expect("a legal reply")).into()
//!             }
//!             _ => Decision::default(),
//!         }
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let listen = std::env::args().nth(1).unwrap_or_else(|| "inet:8890@localhost".to_owned());
//!     let sockets = listen.parse::<Listen>()?.bind(0o660)?;
//!     Ok(Server::new(NotFrom("spam.example"), Limits::default()).serve(&sockets).await?)
//! }
//! ```
//!
//! # A test of it
//!
//! [`server::Call`] plays the MTA over any stream, as strict about what it is told as Postfix and Sendmail
//! together; [`milter::mta`] is the same without I/O.
//!
//! # The modules
//!
//! For any milter:
//!
//! - [`smtp`]: what SMTP says; clients, domains, mailboxes, reverse-paths, replies, the conversation so far.
//! - [`verdict`]: what a filter decides, and may change.
//! - [`milter`]: the protocol without I/O, both sides of it.
//! - [`server`]: sockets, deadlines, limits, draining.
//! - [`limits`]: what a server allows its peers, each figure with its reason.
//!
//! For one that asks lists:
//!
//! - [`clock`]: time that goes on while the machine sleeps.
//! - [`dns`]: one question, one small answer; cache, coalescing, breaker.
//! - [`list`]: networks, domains, whole lists, patterns and access maps in memory.
//! - [`source`]: files that are watched, and read again when they change.
//! - [`check`]: ZEN, DBL and ZRD.
//! - [`policy`]: from findings to a decision, and its words.
//!
//! And the daemon:
//!
//! - [`config`]: files and environment become one validated configuration.
//! - [`gate`]: a configuration, compiled into a filter.
//! - [`telemetry`]: the log.
//! - [`daemon`]: being a Unix process.
//! - [`cli`]: the commands.
//!
//! Which module may name which is in `docs/architecture.md`. Until version 1.0 any release may change what is public.

pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod dns;
pub mod gate;
pub mod limits;
pub mod list;
pub mod milter;
pub mod policy;
pub mod server;
pub mod smtp;
pub mod source;
pub mod telemetry;
pub mod verdict;
