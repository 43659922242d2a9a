//! A session that is played to a live daemon, over its milter socket.
//!
//! What it answers is all that is known: why, its log tells. No configuration and no key is read here.

use serde_json::{Value, json};

use super::play::Session;
use crate::cli::dial::{Stream, dial, is_forbidden, remedy};
use crate::cli::orders::say_json;
use crate::cli::words::shown;
use crate::daemon::Exit;
use crate::milter::Offer;
use crate::milter::mta::{Answer, Modification};
use crate::server::{Call, CallError, Listen};
use crate::smtp::{Client, canonical};
use crate::verdict::Edit;

/// What the mail server is called, as far as the filter sees.
const HOST: &[u8] = b"explain.invalid";

/// One step of the session.
struct Step {
    event: &'static str,
    argument: String,
    answer: Option<Answer>,
}

/// What was heard.
#[derive(Default)]
struct Heard {
    steps: Vec<Step>,
    modifications: Vec<Modification>,
    /// Whether the message came to its end.
    ended: bool,
}

pub(super) async fn run(socket: &Listen, session: &Session, as_json: bool) -> Exit {
    let heard = match talk(socket, session).await {
        Ok(heard) => heard,
        Err(error) => {
            eprintln!("{socket}: {error}; {}", remedy(&error));
            return if is_forbidden(&error) { Exit::Permission } else { Exit::Unavailable };
        }
    };
    if as_json {
        say_json(&heard.json(socket));
    } else {
        heard.print(session);
    }
    let is_lost = |answer: &Answer| answer.is_negative() || *answer == Answer::Discard;
    let refused = heard.steps.iter().filter_map(|step| step.answer.as_ref()).any(is_lost);
    if refused { Exit::Listed } else { Exit::Ok }
}

async fn talk(socket: &Listen, session: &Session) -> Result<Heard, CallError> {
    let mut call = Call::new(dial(socket).await?, Offer::V6);
    let mut heard = Heard::default();
    call.negotiate().await?;
    play(&mut call, session, &mut heard).await?;
    call.quit().await?;
    Ok(heard)
}

async fn play(
    call: &mut Call<Box<dyn Stream>>,
    session: &Session,
    heard: &mut Heard,
) -> Result<(), CallError> {
    let client = session.client.map_or(Client::Unknown, |ip| Client::Ip(canonical(ip)));
    let name = match (&session.client_name, session.client) {
        (Some(name), _) => name.clone(),
        (None, Some(ip)) => format!("[{ip}]").into_bytes(),
        (None, None) => b"unknown".to_vec(),
    };
    let port = session.port.map(|port| port.to_string()).unwrap_or_default();
    let mut macros: Vec<(&str, &[u8])> = vec![("j", HOST)];
    if let Some(daemon) = &session.daemon {
        macros.push(("{daemon_name}", daemon.as_bytes()));
    }
    if session.port.is_some() {
        macros.push(("{daemon_port}", port.as_bytes()));
    }
    if let Some(name) = &session.client_name {
        macros.push(("{client_ptr}", name));
    }
    call.macros(b'C', &macros)?;
    if heard.refuses("CONNECT", client.to_string().as_bytes(), call.connect(&name, client, 0).await?) {
        return Ok(());
    }
    if let Some(helo) = &session.helo
        && heard.refuses("HELO", helo, call.helo(helo).await?)
    {
        return Ok(());
    }
    let Some(sender) = session.sender() else { return Ok(()) };
    if let Some(login) = &session.login {
        call.macros(b'M', &[("{auth_authen}", login.as_bytes())])?;
    }
    if heard.refuses("MAIL", sender, call.mail(&bracketed(sender), &[]).await?) {
        return Ok(());
    }
    let mut taken = 0;
    for recipient in &session.recipients {
        let refused = heard.refuses("RCPT", recipient, call.rcpt(&bracketed(recipient), &[]).await?);
        taken += usize::from(!refused);
    }
    if taken == 0 || heard.refuses("DATA", b"", call.data().await?) {
        return Ok(());
    }
    call.header(b"Subject", b" a message of gatepost explain").await?;
    call.end_of_headers().await?;
    call.body(b"Nothing to see here.\r\n").await?;
    let answer = call.end_of_message().await?;
    heard.ended = !heard.refuses("end of message", b"", answer);
    heard.modifications = call.modifications().to_vec();
    Ok(())
}

/// A path as it stands in SMTP.
fn bracketed(path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"<") { path.to_vec() } else { [b"<", path, b">"].concat() }
}

impl Heard {
    /// Keeps a step. Whether it was refused.
    fn refuses(&mut self, event: &'static str, argument: &[u8], answer: Option<Answer>) -> bool {
        let refused = answer.as_ref().is_some_and(Answer::is_negative);
        self.steps.push(Step { event, argument: shown(argument), answer });
        refused
    }

    fn print(&self, session: &Session) {
        for Step { event, argument, answer } in &self.steps {
            sayln!("{:<48} {}", format!("{event} {argument}").trim_end(), words(answer.as_ref()));
        }
        for modification in &self.modifications {
            sayln!("  {}", change(modification));
        }
        let refused =
            self.steps.last().is_some_and(|step| step.answer.as_ref().is_some_and(Answer::is_negative));
        if session.sender().is_none() && !refused {
            sayln!("The daemon was asked no further: rules about the message need --from and --rcpt.");
        } else if session.recipients.is_empty() && !refused {
            sayln!("The daemon was asked no further: recipients and the end of the message need --rcpt.");
        } else if self.ended && self.modifications.is_empty() {
            sayln!("  the message stays as it is");
        }
    }

    fn json(&self, socket: &Listen) -> Value {
        let step = |step: &Step| {
            let Step { event, argument, answer } = step;
            json!({"event": event.to_lowercase(), "argument": argument, "answer": words(answer.as_ref())})
        };
        let steps: Vec<Value> = self.steps.iter().map(step).collect();
        let changes: Vec<String> = self.modifications.iter().map(change).collect();
        json!({"via": socket.to_string(), "steps": steps, "modifications": changes})
    }
}

fn words(answer: Option<&Answer>) -> String {
    let Some(answer) = answer else { return "not asked".to_owned() };
    match answer {
        Answer::Negotiated(_) | Answer::Continue => "continue".to_owned(),
        Answer::Accept => "accept".to_owned(),
        Answer::Skip => "skip".to_owned(),
        Answer::Reject => "refused, in the mail server's words".to_owned(),
        Answer::Tempfail => "deferred, in the mail server's words".to_owned(),
        Answer::Discard => "taken and dropped (discard)".to_owned(),
        Answer::Reply { code, enhanced, lines } => {
            let how = if answer.is_temporary() { "deferred" } else { "refused" };
            let lines: Vec<String> = lines.iter().map(|line| shown(line.as_bytes())).collect();
            format!("{how}: {code} {enhanced} {}", lines.join(" "))
        }
    }
}

fn change(modification: &Modification) -> String {
    let edit = match modification {
        Modification::Quarantine(why) => return format!("held (quarantine): {}", shown(why.as_bytes())),
        Modification::Edit(edit) => edit,
    };
    match edit {
        Edit::AddHeader(name, value)
        | Edit::InsertHeader(_, name, value)
        | Edit::ChangeHeader(_, name, value) => {
            format!("header field {}: {}", name.as_str(), shown(value.as_str().as_bytes()))
        }
        Edit::DeleteHeader(number, name) => format!("header field {} {number} is taken out", name.as_str()),
        Edit::AddRecipient { address, .. } => format!("recipient {} is added", shown(address.as_bytes())),
        Edit::DeleteRecipient(address) => format!("recipient {} is taken out", shown(address.as_bytes())),
        Edit::ChangeSender { address, .. } => format!("the sender becomes {}", shown(address.as_bytes())),
        Edit::ReplaceBody(_) => "the body is replaced".to_owned(),
    }
}
