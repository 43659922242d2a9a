//! The example that does everything, called over a socket by the MTA's side.

use std::future::Future;

use example::EveryAction;
use gatepost::limits::Limits;
use gatepost::milter::Offer;
use gatepost::milter::mta::{Answer, Modification};
use gatepost::server::{Call, CallError, Listen, Server};
use gatepost::smtp::Client;
use gatepost::verdict::{Edit, HeaderName, HeaderValue};
use tokio::net::UnixStream;

#[path = "../examples/every_action.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod example;

/// Serves the example on a Unix socket while `calls` runs.
async fn serving<F: Future<Output = Result<(), CallError>>>(calls: impl FnOnce(std::path::PathBuf) -> F) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("milter.sock");
    let listen: Listen = format!("unix:{}", path.display()).parse().expect("an endpoint");
    let sockets = listen.bind(0o600).expect("a socket");
    let server = Server::new(EveryAction, Limits::default());
    let called = async {
        let outcome = calls(path).await;
        server.drain();
        outcome
    };
    let (end, outcome) = tokio::join!(server.serve(&sockets), called);
    end.expect("an orderly end");
    outcome.expect("a legal conversation");
}

/// Plays one session with these names; tells at which event the filter said something else than
/// "continue", what it said, and what it wanted to change.
async fn session(
    stream: UnixStream,
    name: &str,
    helo: &str,
    local_part: &str,
) -> Result<(&'static str, Option<Answer>, Vec<Modification>), CallError> {
    let mut call = Call::new(stream, Offer::V6);
    call.negotiate().await?;
    let mut first = ("nothing", None);
    let mut note = |event, answer| {
        if !matches!(answer, None | Some(Answer::Continue)) && first.1.is_none() {
            first = (event, answer);
        }
    };
    let client = Client::Ip("192.0.2.1".parse().expect("an address"));
    note("connect", call.connect(name.as_bytes(), client, 2525).await?);
    note("helo", call.helo(helo.as_bytes()).await?);
    note("mail", call.mail(format!("<{local_part}@example.org>").as_bytes(), &[]).await?);
    note("rcpt", call.rcpt(b"<someone@example.com>", &[]).await?);
    note("data", call.data().await?);
    note("header", call.header(b"Subject", b" hello").await?);
    note("eoh", call.end_of_headers().await?);
    note("body", call.body(&b"text\r\n".repeat(30_000)).await?);
    note("eom", call.end_of_message().await?);
    let changes = call.modifications().to_vec();
    call.abort().await?;
    call.quit().await?;
    Ok((first.0, first.1, changes))
}

#[tokio::test]
async fn every_verdict_is_given_where_it_was_asked_for() {
    serving(|path| async move {
        for (name, helo, local_part, event, answer) in [
            ("connect-reject.example", "x.example", "x", "connect", Answer::Reject),
            ("connect-tempfail.example", "x.example", "x", "connect", Answer::Tempfail),
            ("x.example", "helo-reject.example", "x", "helo", Answer::Reject),
            ("x.example", "helo-tempfail.example", "x", "helo", Answer::Tempfail),
            ("x.example", "x.example", "mail-reject", "mail", Answer::Reject),
            ("x.example", "x.example", "mail-tempfail", "mail", Answer::Tempfail),
            ("x.example", "x.example", "rcpt-reject", "rcpt", Answer::Reject),
            ("x.example", "x.example", "rcpt-tempfail", "rcpt", Answer::Tempfail),
            ("x.example", "x.example", "data-reject", "data", Answer::Reject),
            ("x.example", "x.example", "data-tempfail", "data", Answer::Tempfail),
            ("x.example", "x.example", "header-reject", "header", Answer::Reject),
            ("x.example", "x.example", "eoh-reject", "eoh", Answer::Reject),
            ("x.example", "x.example", "body-reject", "body", Answer::Reject),
            ("x.example", "x.example", "eom-reject", "eom", Answer::Reject),
            ("x.example", "x.example", "eom-tempfail", "eom", Answer::Tempfail),
        ] {
            let said = session(UnixStream::connect(&path).await?, name, helo, local_part).await?;
            assert_eq!(said, (event, Some(answer), Vec::new()), "{name} {helo} {local_part}");
        }
        let reply = || Answer::Reply {
            code: 550,
            enhanced: "5.7.1".to_owned(),
            lines: vec!["first line".to_owned(), "second line, 100%".to_owned()],
        };
        for (local_part, event, answer) in [
            ("mail-reply", "mail", reply()),
            ("eom-reply", "eom", reply()),
            ("mail-accept", "mail", Answer::Accept),
            ("mail-discard", "mail", Answer::Discard),
            ("rcpt-accept", "rcpt", Answer::Accept),
            ("body-skip", "body", Answer::Skip),
            ("eom-discard", "eom", Answer::Discard),
        ] {
            let stream = UnixStream::connect(&path).await?;
            let said = session(stream, "x.example", "x.example", local_part).await?;
            assert_eq!(said, (event, Some(answer), Vec::new()), "{local_part}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn every_change_is_made_as_it_was_asked_for() {
    let name = |name| HeaderName::new(name).expect("a name");
    let value = |value| HeaderValue::new(value).expect("a value");
    let address = |address: &str| address.to_owned();
    let changes = [
        ("eom-addheader", Edit::AddHeader(name("X-Action"), value("added"))),
        ("eom-insheader", Edit::InsertHeader(0, name("X-Action"), value("inserted"))),
        ("eom-chgheader", Edit::ChangeHeader(1, name("Subject"), value("changed"))),
        ("eom-delheader", Edit::DeleteHeader(1, name("Subject"))),
        ("eom-addrcpt", Edit::AddRecipient { address: address("<added@example.org>"), parameters: None }),
        ("eom-delrcpt", Edit::DeleteRecipient(address("<someone@example.com>"))),
        ("eom-chgfrom", Edit::ChangeSender { address: address("<changed@example.org>"), parameters: None }),
        ("eom-replbody", Edit::ReplaceBody("replaced\r\n".into())),
    ];
    let mut changes: Vec<_> = changes.map(|(wish, edit)| (wish, Modification::Edit(edit))).into();
    changes.push(("eom-quarantine", Modification::Quarantine("held by every_action".to_owned())));
    serving(|path| async move {
        for (wish, change) in changes {
            let said = session(UnixStream::connect(&path).await?, "x.example", "x.example", wish).await?;
            assert_eq!(said, ("nothing", None, vec![change]), "{wish}");
        }
        Ok(())
    })
    .await;
}
