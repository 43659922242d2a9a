//! A milter that does everything a milter can, on request: for tests of MTAs and of test clients.
//!
//! `cargo run --example every_action -- inet:8890@localhost`. What it does is asked for by name:
//!
//! | where | name | what happens |
//! |---|---|---|
//! | client host name | `connect-reject.example`, `connect-tempfail.example` | refused at CONNECT |
//! | HELO | `helo-reject.example`, `helo-tempfail.example` | refused at HELO |
//! | sender's local part | `mail-reject`, `mail-tempfail`, `mail-reply`, `mail-discard`, `mail-accept` | that, at MAIL |
//! | | `rcpt-reject`, `rcpt-tempfail`, `rcpt-accept` | that, at each RCPT |
//! | | `data-reject`, `data-tempfail` | that, at DATA |
//! | | `header-reject`, `eoh-reject`, `body-reject` | refused at the first header field, the end of headers, the first piece of the body |
//! | | `body-skip` | the rest of the body is not wanted |
//! | | `eom-reject`, `eom-tempfail`, `eom-discard` | that, at the end of the message |
//! | | `eom-reply` | 550 5.7.1 in two lines with a percent sign |
//! | | `eom-addheader` | adds `X-Action: added` |
//! | | `eom-insheader` | inserts `X-Action: inserted` on top |
//! | | `eom-chgheader` | changes the first `Subject` to `changed` |
//! | | `eom-delheader` | deletes the first `Subject` |
//! | | `eom-addrcpt`, `eom-delrcpt` | adds `<added@example.org>`, deletes the first recipient |
//! | | `eom-chgfrom` | the sender becomes `<changed@example.org>` |
//! | | `eom-replbody` | the body becomes `replaced` |
//! | | `eom-quarantine` | holds the message, with the reason `held by every_action` |
//!
//! Everything else goes on. "Reject" and "tempfail" leave the words to the MTA.

use gatepost::limits::Limits;
use gatepost::milter::{Filter, Flow};
use gatepost::server::{Listen, Server};
use gatepost::smtp::{Dialog, Event, Needs, Part, Permit, Reply, Stage};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};

pub(crate) struct EveryAction;

impl Filter for EveryAction {
    type Memory = ();

    fn needs(&self) -> Needs {
        let events = [
            Event::Connect,
            Event::Helo,
            Event::Mail,
            Event::Rcpt,
            Event::Data,
            Event::Header,
            Event::EndOfHeaders,
            Event::Body,
            Event::Unknown,
        ];
        let permits = [
            Permit::AddHeader,
            Permit::ChangeHeader,
            Permit::AddRecipient,
            Permit::DeleteRecipient,
            Permit::ChangeSender,
            Permit::ReplaceBody,
            Permit::Quarantine,
        ];
        let needs = events.into_iter().fold(Needs::default(), Needs::event);
        permits.into_iter().fold(needs, Needs::permit).keep(Part::Recipients)
    }

    async fn judge(&self, stage: Stage, dialog: &Dialog, (): &mut ()) -> Decision {
        match stage {
            Stage::Connect => verdict(&wish("connect", first_label(&dialog.client_name))),
            Stage::Helo => verdict(&wish("helo", first_label(dialog.helo.as_deref().unwrap_or_default()))),
            Stage::Mail => verdict(&wish("mail", sender(dialog))),
            Stage::Rcpt => verdict(&wish("rcpt", sender(dialog))),
            Stage::Data => verdict(&wish("data", sender(dialog))),
            Stage::Message => {
                let wish = wish("eom", sender(dialog));
                return match edit(&wish, dialog) {
                    Some(edit) => Decision { verdict: Verdict::Continue, edits: vec![edit] },
                    None => verdict(&wish).into(),
                };
            }
        }
        .into()
    }

    fn header(&self, dialog: &Dialog, (): &mut (), _: &[u8], _: &[u8]) -> Verdict {
        verdict(&wish("header", sender(dialog)))
    }

    fn end_of_headers(&self, dialog: &Dialog, (): &mut ()) -> Verdict {
        verdict(&wish("eoh", sender(dialog)))
    }

    fn body(&self, dialog: &Dialog, (): &mut (), _: &[u8]) -> Flow {
        match &wish("body", sender(dialog))[..] {
            "skip" => Flow::Enough,
            wish => Flow::Answer(verdict(wish)),
        }
    }
}

/// What is wished for at `stage`: what follows `stage-` in a name, or nothing.
fn wish(stage: &str, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let wish = name.strip_prefix(stage).and_then(|rest| rest.strip_prefix('-'));
    wish.unwrap_or_default().to_owned()
}

/// The first label of `wish.example`.
fn first_label(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".example").unwrap_or_default()
}

/// The local part of the sender.
fn sender(dialog: &Dialog) -> &[u8] {
    let argument = dialog.transaction.as_ref().map_or(&b""[..], |message| &message.sender);
    let address = argument.strip_prefix(b"<").unwrap_or(argument);
    let end = address.iter().position(|octet| matches!(octet, b'@' | b'>')).unwrap_or(address.len());
    &address[..end]
}

fn verdict(wish: &str) -> Verdict {
    let reply = |code, enhanced, text| Reply::new(code, enhanced, text).expect("a legal reply");
    match wish {
        "reject" => Verdict::Reject,
        "tempfail" => Verdict::Tempfail,
        "reply" => Verdict::Refuse(reply(550, "5.7.1", "first line\nsecond line, 100%")),
        "discard" => Verdict::Discard,
        "accept" => Verdict::Accept,
        "quarantine" => Verdict::Quarantine("held by every_action".into()),
        _ => Verdict::Continue,
    }
}

fn edit(wish: &str, dialog: &Dialog) -> Option<Edit> {
    let name = |name| HeaderName::new(name).expect("a legal name");
    let value = |value| HeaderValue::new(value).expect("a legal value");
    Some(match wish {
        "addheader" => Edit::AddHeader(name("X-Action"), value("added")),
        "insheader" => Edit::InsertHeader(0, name("X-Action"), value("inserted")),
        "chgheader" => Edit::ChangeHeader(1, name("Subject"), value("changed")),
        "delheader" => Edit::DeleteHeader(1, name("Subject")),
        "addrcpt" => Edit::AddRecipient { address: "<added@example.org>".to_owned(), parameters: None },
        "delrcpt" => {
            let first = dialog.transaction.as_ref()?.recipients.first()?;
            Edit::DeleteRecipient(String::from_utf8_lossy(&first.address).into_owned())
        }
        "chgfrom" => Edit::ChangeSender { address: "<changed@example.org>".to_owned(), parameters: None },
        "replbody" => Edit::ReplaceBody("replaced\r\n".into()),
        _ => return None,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).ok_or("say where to listen, such as inet:8890@localhost")?;
    let sockets = listen.parse::<Listen>()?.bind(0o660)?;
    Ok(Server::new(EveryAction, Limits::default()).serve(&sockets).await?)
}
