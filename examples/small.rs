//! A milter in twenty lines: refuses senders at one domain.
//!
//! `cargo run --example small -- inet:8890@localhost`, then `smtpd_milters = inet:localhost:8890` in Postfix.

use gatepost::limits::Limits;
use gatepost::milter::Filter;
use gatepost::server::{Listen, Server};
use gatepost::smtp::{Dialog, Event, Needs, Reply, ReversePath, Stage};
use gatepost::verdict::{Decision, Verdict};

struct NotFrom(&'static str);

impl Filter for NotFrom {
    type Memory = ();

    fn needs(&self) -> Needs {
        Needs::default().event(Event::Mail)
    }

    async fn judge(&self, _: Stage, dialog: &Dialog, (): &mut ()) -> Decision {
        match dialog.transaction.as_ref().map(|message| ReversePath::parse(&message.sender)) {
            Some(ReversePath::Domain { domain, .. }) if domain.as_str() == self.0 => {
                Verdict::Refuse(Reply::new(550, "5.7.1", "not from there").expect("a legal reply")).into()
            }
            _ => Decision::default(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "inet:8890@localhost".to_owned());
    let sockets = listen.parse::<Listen>()?.bind(0o660)?;
    Ok(Server::new(NotFrom("spam.example"), Limits::default()).serve(&sockets).await?)
}
