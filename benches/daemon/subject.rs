//! Who comes to the door: the clients, names and senders of a run.
//!
//! The load generator and the name server agree here on who is listed; neither knows anything about the
//! crate under test.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The account label in every query name; as long as a real one.
pub(crate) const KEY: &str = "benchbenchbenchbenchbenchk";

/// All below these is listed, in the list of that name; a name server with zones in files can say that, too.
pub(crate) const DBL: &str = "dbl.example";
pub(crate) const ZRD: &str = "zrd.example";

/// Where in the session something is said or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Stage {
    Connect,
    Helo,
    Mail,
    Rcpt,
    /// The end of the message.
    Eom,
}

/// How many stages have an answer of their own.
pub(crate) const STAGES: usize = 5;

impl Stage {
    /// The word of the `SPAMHAUS_DQS_ENFORCE_STAGE` setting.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Eom => "eom",
        }
    }
}

/// One client with its HELO name and sender domain.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) address: Ipv4Addr,
    pub(crate) helo: String,
    pub(crate) domain: String,
    /// The stage at which the listed subject is said; `None` for a clean client.
    pub(crate) listed: Option<Stage>,
}

/// Which clients a run is made of, by the number of the session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Crowd {
    /// This many clean clients, again and again.
    Regulars(u32),
    /// A new clean client each time, counted from here.
    Strangers(u32),
    /// One clean client, the same in every session.
    Same(u32),
    /// New clients from here: of four one is clean, one listed by address, one by HELO name, one by sender.
    Mixed(u32),
    /// Clean clients out of so many, the second half as often as the first, and so on (Zipf's law). The second number is that of
    /// the first draw: who was drawn in one round says nothing about the next.
    Zipf(u32, u32),
    /// New clients, counted from the first number; of a hundred the second number is listed by address.
    Share(u32, u32),
}

impl Crowd {
    pub(crate) fn identity(self, session: u32) -> Identity {
        match self {
            Self::Regulars(count) => identity(session % count, None),
            Self::Strangers(first) => identity(first + session, None),
            Self::Same(number) => identity(number, None),
            Self::Zipf(count, first) => identity(rank(first + session, count), None),
            Self::Share(first, per_cent) => {
                let listed = session.wrapping_mul(37) % 100 < per_cent;
                identity(first + session, listed.then_some(Stage::Connect))
            }
            Self::Mixed(first) => {
                let listed =
                    [None, Some(Stage::Connect), Some(Stage::Helo), Some(Stage::Mail)][session as usize % 4];
                identity(first + session, listed)
            }
        }
    }
}

/// Who is drawn, from 0, when the client of rank n comes 1/n as often as the first.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is below the count")]
fn rank(draw: u32, count: u32) -> u32 {
    // SplitMix64: draws without an order, the same in each run.
    let mut z = u64::from(draw).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let chance = f64::from((z >> 32) as u32) / f64::from(u32::MAX);
    // The sum of 1/n grows as the logarithm of n.
    (f64::from(count).powf(chance) as u32).min(count) - 1
}

/// Client addresses are clean in 8/8 and listed in 9/8: documentation ranges are never asked about.
fn identity(number: u32, listed: Option<Stage>) -> Identity {
    let [_, b, c, d] = number.to_be_bytes();
    let net = if listed == Some(Stage::Connect) { 9 } else { 8 };
    let helo = if listed == Some(Stage::Helo) { DBL } else { "helo.example" };
    let sender = if listed == Some(Stage::Mail) { ZRD } else { "sender.example" };
    Identity {
        address: Ipv4Addr::new(net, b, c, d),
        helo: format!("mx{number}.{helo}"),
        domain: format!("d{number}.{sender}"),
        listed,
    }
}

/// The address a zone answers for a subject, if it is listed.
///
/// The subject is what stands before the key in the query name, in lower case. The documented test
/// entries are there too, since a filter may ask for them to learn whether a zone works.
pub(crate) fn listing(zone: &str, subject: &str) -> Option<Ipv4Addr> {
    let below = |apex: &str| subject.strip_suffix(apex).is_some_and(|rest| rest.ends_with('.'));
    match zone {
        "zen" if subject == "2.0.0.127" || subject.ends_with(".9") => Some(Ipv4Addr::new(127, 0, 0, 2)),
        "dbl" if below(DBL) || subject == "dbltest.com" || subject == "test" => {
            Some(Ipv4Addr::new(127, 0, 1, 2))
        }
        "zrd" if below(ZRD) || subject == "test" => Some(Ipv4Addr::new(127, 0, 2, 2)),
        _ => None,
    }
}
