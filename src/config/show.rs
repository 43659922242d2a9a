//! Values as text, in the form in which they could be set.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::choice::{CodeActs, Mode, OnFailure, Sandbox, WithoutKey, Word};
use super::read::DOMAIN;
use crate::dns::Key;
use crate::limits::Overload;
use crate::list::MailboxPattern;
use crate::list::access::{Comments, Delay, Duplicates, Exemption, Location, Logins, Loopback, Syntax};
use crate::policy::{self, OnTrouble, ReplyStyle, Template};
use crate::server::Listen;
use crate::smtp::{Domain, Stage};
use crate::telemetry::Level;
use crate::verdict::{Act, Codes, List};

/// A value as text, in the form in which it could be set.
pub(super) trait Show {
    fn show(&self) -> String;

    /// The entries of a list.
    fn items(&self) -> Vec<String> {
        self.show().split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

macro_rules! show {
    ($($type:ty => |$value:ident| $text:expr;)+) => {
        $(impl Show for $type {
            fn show(&self) -> String {
                let $value = self;
                $text
            }
        })+
    };
}

show! {
    bool => |flag| if *flag { "1" } else { "0" }.to_owned();
    usize => |count| count.to_string();
    u8 => |count| count.to_string();
    String => |text| text.clone();
    Duration => |time| time.as_secs_f64().to_string();
    Mode => |mode| format!("{:04o}", mode.0);
    Listen => |listen| listen.to_string();
    Domain => |domain| domain.to_string();
    IpNet => |net| net.to_string();
    SocketAddr => |server| if server.port() == DOMAIN { server.ip().to_string() } else { server.to_string() };
    Stage => |stage| stage.name().to_owned();
    Level => |level| level.word().to_owned();
    WithoutKey => |act| act.word().to_owned();
    Sandbox => |sandbox| sandbox.word().to_owned();
    Act => |act| act.word().to_owned();
    Overload => |act| act.word().to_owned();
    Option<Listen> => |listen| listen.as_ref().map(ToString::to_string).unwrap_or_default();
    ReplyStyle => |style| style.word().to_owned();
    OnFailure => |on| show_on_failure(*on);
    Codes => |codes| codes.ranges();
    CodeActs => |acts| {
        let shown = acts.0.iter().map(|(first, last, act)| {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            format!("{range}={}", act.word())
        });
        shown.collect::<Vec<_>>().join(",")
    };
    MailboxPattern => |entry| entry.to_string();
    Option<Duration> => |time| time.unwrap_or_default().show();
    Option<Key> => |key| if key.is_some() { "(set)" } else { "" }.to_owned();
    Option<String> => |text| text.clone().unwrap_or_default();
    Option<PathBuf> => |path| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    Location => |location| location.to_string();
    policy::Mode => |mode| mode.word().to_owned();
    Syntax => |syntax| syntax.word().to_owned();
    Delay => |delay| delay.word().to_owned();
    Exemption => |exempt| exempt.word().to_owned();
    Loopback => |loopback| loopback.word().to_owned();
    Logins => |logins| logins.word().to_owned();
    Duplicates => |duplicates| duplicates.word().to_owned();
    Comments => |comments| comments.word().to_owned();
    OnTrouble => |act| act.word().to_owned();
    Option<Template> => |template| template.as_ref().map(|t| t.as_str().to_owned()).unwrap_or_default();
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        self.items().join(",")
    }

    fn items(&self) -> Vec<String> {
        self.iter().map(Show::show).collect()
    }
}

fn show_on_failure(on: OnFailure) -> String {
    if List::DQS.iter().all(|list| on.of(*list) == on.of(List::ZEN)) {
        return on.of(List::ZEN).word().to_owned();
    }
    let pairs = List::DQS.map(|list| format!("{}={}", list.name(), on.of(list).word()));
    pairs.join(",")
}
