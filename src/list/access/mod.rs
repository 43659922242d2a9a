//! Access maps: who may connect, send and receive, in the language of Sendmail and its milters.
//!
//! A map says for a key what is to become of mail. This module knows which keys there are for a client,
//! a sender or a recipient, in which order, and what the answers mean together. It does no I/O, and never
//! speaks: a map in memory and one behind a socket are asked in the same way, key by key.
//!
//! ```
//! use gatepost::list::access::{Host, Map, Options, Rules, Ruling, Search};
//!
//! let text = b"Connect:192.0.2\tREJECT\nConnect:192.0.2.9\tOK\n";
//! let (map, _) = Map::parse(text, &Options::default())?;
//! let rules = Rules::default();
//! let host = Host::new("192.0.2.9".parse().ok(), b"mx.example.org");
//! let answer = Search::connect(&host, &rules).run(&map);
//! assert_eq!(answer.ruling, Ruling::Allow);
//! # Ok::<(), gatepost::list::Flaws>(())
//! ```
//!
//! The language is that of milter-spamc's manual. Where the program differs from it, the manual is right.

mod action;
mod key;
mod keys;
mod location;
mod map;
mod network;
mod patterns;
mod records;
mod search;
mod standing;
mod subject;
mod tag;
mod text;
mod value;

pub use action::{Action, Denial};
pub use key::KEY;
pub use keys::{Form, Key, Keys, Subject, keys};
pub use location::{BadLocation, Location, PORT, Server, Socketmap, Table, berkeley};
pub use map::{Comments, Duplicates, Entry, Map, Options};
pub use network::Lengths;
pub use patterns::{Match, Patterns};
pub use search::{Answer, Because, Hit, Logins, Loopback, Rules, Ruling, Search};
pub use standing::{Delay, Exemption, Heard, Standing, Wish};
pub use subject::{Address, Host};
pub use tag::{Owner, Tag};
pub use value::{VALUE, Value};

/// Whose rules a map is written by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syntax {
    /// Tags, and `ERROR:5.7.1:550 text`.
    #[default]
    Sendmail,
    /// Keys without tags, lines that are continued, and the words of access(5).
    Postfix,
}
