//! Maps that are no text: what they say of a session, and what becomes of mail while they cannot be asked.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gatepost::smtp::SessionId;
use gatepost::source::map::wire;
use tokio::time::Instant;

use super::*;

/// A constant database (<https://cr.yp.to/cdb/cdb.txt>) whose tables have room, and are empty: gatepost reads records.
fn cdb(records: &[(&str, &str)]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).expect("a small file").to_le_bytes();
    let mut body = Vec::new();
    for (key, value) in records {
        for piece in [&word(key.len())[..], &word(value.len()), key.as_bytes(), value.as_bytes()] {
            body.extend_from_slice(piece);
        }
    }
    let slots = 2 * records.len();
    let mut octets = [word(2_048 + body.len()), word(slots)].concat();
    for _ in 1..256 {
        octets.extend([word(2_048 + body.len() + 8 * slots), word(0)].concat());
    }
    octets.extend(body);
    octets.resize(octets.len() + 8 * slots, 0);
    octets
}

/// A server of a socket map, in a thread of its own: what it says is made of the key by `say`.
fn serve(desk: &Desk, say: fn(&str) -> &'static str) -> (String, Arc<AtomicUsize>) {
    let socket = desk.folder.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, count) = (stream.expect("a connection"), Arc::clone(&count));
            std::thread::spawn(move || {
                let (mut octets, mut room) = (Vec::new(), [0; 4_096]);
                while let Ok(size @ 1..) = stream.read(&mut room) {
                    octets.extend_from_slice(&room[..size]);
                    if let Some((question, size)) = wire::take(&octets).expect("a netstring") {
                        let key = std::str::from_utf8(question)
                            .expect("text")
                            .split_once(' ')
                            .expect("two words")
                            .1;
                        count.fetch_add(1, Ordering::Relaxed);
                        let reply = say(key);
                        stream.write_all(format!("{}:{reply},", reply.len()).as_bytes()).expect("an answer");
                        octets.drain(..size);
                    }
                }
            });
        }
    });
    (format!("socketmap:unix:{}:access", socket.display()), asked)
}

fn gate(desk: &Desk, maps: &[String], settings: &str) -> Gate {
    let toml = format!("[enforce]\nstage = \"rcpt\"\n[access]\nmap = {maps:?}\n{settings}\n");
    desk.open(&toml).unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

#[tokio::test]
async fn a_constant_database_decides_and_is_read_again_when_another_takes_its_place() {
    let desk = Desk::new("");
    let path = desk.folder.path().join("access.cdb");
    let put = |octets: &[u8]| {
        fs::write(desk.folder.path().join("aside"), octets).expect("a file");
        fs::rename(desk.folder.path().join("aside"), &path).expect("in its place");
        desk.watcher.refresh();
    };
    put(&cdb(&[("connect:192.0.2\0", "REJECT go away\0")]));
    let gate = gate(&desk, &[format!("cdb:{}", path.display())], "");
    let (log, _guard) = Log::listen();
    assert_eq!(told(&gate, "192.0.2.1", "<a@b.example>", "<c@d.example>").await, "550 5.7.1 go away");
    let because = format!("because=connect:192.0.2 in cdb:{}", path.display());
    assert_eq!(log.with(&["rule=access", &because]).len(), 1, "{:#?}", log.lines());
    let is_now = async |said: &str| {
        assert_eq!(told(&gate, "192.0.2.1", "<a@b.example>", "<c@d.example>").await, said);
    };
    put(&cdb(&[("connect:192.0.2", "TEMPFAIL later")]));
    is_now("451 4.7.1 later").await;
    put(&cdb(&[("connect:192.0.2", "REJCT")]));
    is_now("451 4.7.1 later").await;
    put(b"half a database");
    is_now("451 4.7.1 later").await;
    let toml = format!("[access]\nmap = [\"cdb:{}\"]\n", path.display());
    let problems = desk.open(&toml).map(drop).expect_err("a broken database");
    assert!(problems[0].cause.contains("no constant database"), "{problems:?}");
}

#[tokio::test]
async fn a_database_of_lmdb_decides_with_entries_that_end_in_a_nul() {
    let desk = Desk::new("");
    let path = desk.folder.path().join("access.lmdb");
    fs::write(&path, include_bytes!("../../data/lmdb/small.lmdb")).expect("a file");
    let gate = gate(&desk, &[format!("lmdb:{}", path.display())], "");
    let (log, _guard) = Log::listen();
    assert_eq!(told(&gate, "203.0.113.1", "<a@bad.example>", "<c@d.example>").await, "550 5.7.1 go away");
    let because = format!("from:bad.example in lmdb:{}", path.display());
    assert_eq!(log.with(&["rule=access", &because]).len(), 1, "{:#?}", log.lines());
    assert_eq!(told(&gate, "192.0.2.9", "<a@b.example>", "<c@d.example>").await, "goes on");
}

#[tokio::test]
async fn a_socket_map_decides_where_the_maps_before_it_say_nothing() {
    let desk = Desk::new("Connect:192.0.2 OK\n");
    let (location, asked) = serve(&desk, |key| match key {
        "connect:198.51.100" => "OK REJECT go away",
        "gatepost-to:d.example" => "OK !a@*!TEMPFAIL OK",
        _ => "NOTFOUND ",
    });
    let text = format!("text:{}", desk.folder.path().join("access").display());
    // The folder stands before a text already.
    let gate =
        gate(&desk, &[text.replace(&format!("{}/", desk.folder.path().display()), ""), location.clone()], "");
    let (log, _guard) = Log::listen();
    let (_, said) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    assert_eq!((said.as_str(), asked.load(Ordering::Relaxed)), ("goes on", 0), "the first map says enough");
    assert_eq!(told(&gate, "198.51.100.7", "<x@y.example>", "<c@e.example>").await, "550 5.7.1 go away");
    let because = format!("because=connect:198.51.100 in {location}");
    assert_eq!(log.with(&["rule=access", &because]).len(), 1, "{:#?}", log.lines());
    let later = told(&gate, "203.0.113.1", "<x@y.example>", "<a@d.example>").await;
    assert_eq!(later, "451 4.7.1 Access denied for now, try again later");
    assert_eq!(told(&gate, "203.0.113.1", "<x@y.example>", "<b@d.example>").await, "goes on");
}

#[tokio::test]
async fn a_session_that_the_process_has_with_itself_asks_no_map() {
    let desk = Desk::new("");
    let (location, asked) = serve(&desk, |_| "NOTFOUND ");
    let gate = gate(&desk, &[location], "");
    for (id, asks) in [(SessionId::rehearsal(7), false), (SessionId { process: 7, number: 1 }, true)] {
        let dialog = Dialog { id, client_name: b"localhost".to_vec(), ..Dialog::default() };
        let mut session = Session { gate: &gate, dialog, memory: Memory::default() };
        session.judge(Stage::Connect).await;
        assert_eq!(session.mail("<>", None).await, "goes on");
        assert_eq!(asked.load(Ordering::Relaxed) > 0, asks, "{id}");
    }
}

#[tokio::test]
async fn while_a_socket_map_cannot_be_asked_mail_goes_on_or_comes_again_as_the_administrator_wants() {
    let desk = Desk::new("");
    for (n, say) in [(|_| "TEMP down") as fn(&str) -> &'static str, |_| "OK REJCT", |_| "NONSENSE"]
        .into_iter()
        .enumerate()
    {
        let _ = fs::remove_file(desk.folder.path().join("socket"));
        let (location, _) = serve(&desk, say);
        let lenient = gate(&desk, std::slice::from_ref(&location), "");
        let (log, guard) = Log::listen();
        for _ in 0..3 {
            assert_eq!(told(&lenient, "192.0.2.1", "<x@y.example>", "<a@d.example>").await, "goes on");
        }
        let lines = log.with(&["WARN", "event=map", &location]);
        assert_eq!(lines.len(), 1, "once a minute: {n} {:#?}", log.lines());
        drop(guard);
        let strict = gate(&desk, &[location], "on_trouble = \"tempfail\"");
        assert_eq!(
            told(&strict, "192.0.2.1", "<x@y.example>", "<a@d.example>").await,
            "451 4.7.1 Temporary lookup failure, try again later"
        );
    }
    let away = format!("socketmap:unix:{}:access", desk.folder.path().join("nobody").display());
    let strict = gate(&desk, &[away], "on_trouble = \"tempfail\"");
    let said = told(&strict, "192.0.2.1", "<x@y.example>", "<a@d.example>").await;
    assert!(said.starts_with("451 4.7.1 "), "{said}");
}

#[tokio::test]
async fn what_other_maps_say_holds_while_one_cannot_be_asked() {
    let desk = Desk::new(
        "Connect:192.0.2 REJECT\nConnect:8.8.0.2 OK\nAuth:mallory REJECT\nTo:later.example TEMPFAIL\n",
    );
    let away = format!("socketmap:unix:{}:access", desk.folder.path().join("nobody").display());
    let orders = [["text:access".to_owned(), away.clone()], [away, "text:access".to_owned()]];
    for maps in &orders {
        let lenient = gate(&desk, maps, "");
        let (log, _guard) = Log::listen();
        let refused = told(&lenient, "192.0.2.1", "<x@y.example>", "<a@d.example>").await;
        assert_eq!(refused, "550 5.7.1 Access denied", "{maps:?}");
        assert_eq!(
            log.with(&["rule=access", "action=reject", "connect:192.0.2 in "]).len(),
            1,
            "{:#?}",
            log.lines()
        );
        assert!(
            !log.with(&["rule=access", "action=log", "cannot be asked"]).is_empty(),
            "{:#?}",
            log.lines()
        );
        let (mut session, _) = Session::connect(&lenient, "8.8.0.2", "mx.sender.example").await;
        session.mail("<x@y.example>", None).await;
        assert_eq!(session.rcpt("<a@d.example>").await, "goes on", "a friend whom a list knows: {maps:?}");
        let (mut session, _) = Session::connect(&lenient, "198.51.100.1", "mx.sender.example").await;
        session.mail("<x@y.example>", Some("mallory")).await;
        assert_eq!(session.rcpt("<a@d.example>").await, "550 5.7.1 Access denied");
        let later = told(&lenient, "198.51.100.1", "<x@y.example>", "<a@later.example>").await;
        assert_eq!(later, "451 4.7.1 Access denied for now, try again later");
        let strict = gate(&desk, maps, "on_trouble = \"tempfail\"");
        let said = told(&strict, "192.0.2.1", "<x@y.example>", "<a@d.example>").await;
        assert_eq!(said, "451 4.7.1 Temporary lookup failure, try again later", "{maps:?}");
    }
}

#[tokio::test]
async fn what_is_said_during_an_outage_is_asked_again_after_it() {
    let desk = Desk::new("");
    let away = format!("socketmap:unix:{}:access", desk.folder.path().join("socket").display());
    let lenient = gate(&desk, &[away], "");
    let (mut session, _) = Session::connect(&lenient, "192.0.2.1", "mx.sender.example").await;
    session.mail("<x@y.example>", None).await;
    assert_eq!(session.rcpt("<a@d.example>").await, "goes on");
    let _ = serve(&desk, |key| if key == "connect:192.0.2" { "OK REJECT" } else { "NOTFOUND " });
    assert_eq!(session.rcpt("<b@d.example>").await, "550 5.7.1 Access denied");
}

#[tokio::test(start_paused = true)]
async fn a_step_at_which_client_sender_and_recipient_are_asked_waits_half_a_second_in_all() {
    let desk = Desk::new("");
    // Nobody accepts: the kernel does, and the questions lie there.
    let path = desk.folder.path().join("socket");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let stalls = gate(&desk, &[format!("socketmap:unix:{}:access", path.display())], "");
    // The session began in a process that had no maps.
    let before = desk.open("").expect("a gate").0;
    let (mut session, _) = Session::connect(&before, "192.0.2.1", "mx.sender.example").await;
    session.mail("<x@y.example>", None).await;
    session.gate = &stalls;
    let begun = Instant::now();
    assert_eq!(session.rcpt("<a@d.example>").await, "goes on");
    let (least, most) = (Duration::from_millis(500), Duration::from_millis(700));
    assert!((least..most).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_map_that_cannot_be_asked_defers_no_recipient_that_mail_always_gets_to() {
    let desk = Desk::new("");
    let away = format!("socketmap:unix:{}:access", desk.folder.path().join("nobody").display());
    let strict = gate(&desk, &[away], "on_trouble = \"tempfail\"");
    let (log, _guard) = Log::listen();
    let (mut session, _) = Session::connect(&strict, "192.0.2.1", "mx.sender.example").await;
    session.mail("<x@y.example>", None).await;
    let later = "451 4.7.1 Temporary lookup failure, try again later";
    for (recipient, said) in
        [("<a@d.example>", later), ("<postmaster@d.example>", "goes on"), ("<b@d.example>", later)]
    {
        assert_eq!(session.rcpt(recipient).await, said, "{recipient}");
    }
    assert_eq!(log.with(&["action=log", "rule=access", "cannot be asked"]).len(), 1, "{:#?}", log.lines());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_table_of_sqlite_decides_as_it_is_now() {
    let desk = Desk::new("");
    let path = desk.folder.path().join("access.sq3");
    let connection = rusqlite::Connection::open(&path).expect("a database");
    connection
        .execute_batch("CREATE TABLE access (key TEXT PRIMARY KEY, value TEXT); INSERT INTO access VALUES ('from:bad.example', 'REJECT go away')")
        .expect("a table");
    let location = format!("sqlite:{}?table=access&key=key&value=value", path.display());
    let strict = gate(&desk, &[location], "on_trouble = \"tempfail\"");
    let told = async || told(&strict, "192.0.2.1", "<x@bad.example>", "<a@d.example>").await;
    assert_eq!(told().await, "550 5.7.1 go away");
    connection.execute("DELETE FROM access", []).expect("a change");
    assert_eq!(told().await, "goes on");
    fs::write(&path, "something else that is no database").expect("a file");
    assert!(told().await.starts_with("451 4.7.1 "));
}

#[cfg(not(feature = "sqlite"))]
#[test]
fn sqlite_that_was_not_built_is_an_error_that_names_the_feature() {
    let problems = Config::from_texts("", "[access]\nmap = [\"sqlite:/var/lib/gatepost/a.sq3\"]\n")
        .expect_err("no SQLite");
    assert!(problems.to_string().contains("--features sqlite"), "{problems}");
}

#[test]
fn a_map_of_another_kind_is_an_error_with_the_command_that_exports_it() {
    for (map, remedy) in [
        ("hash:/etc/mail/access", "postmap -s hash:/etc/mail/access"),
        ("/etc/mail/access.db", "makemap -u hash /etc/mail/access"),
    ] {
        let problems = Config::from_texts("", &format!("[access]\nmap = [{map:?}]\n")).expect_err(map);
        assert!(problems.to_string().contains(remedy), "{problems}");
    }
}
