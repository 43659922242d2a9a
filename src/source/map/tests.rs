//! Maps of all kinds, and servers that do what they should not.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;
use crate::list::access::{Address, Because, Host, Rules, Ruling};
use crate::list::cdb::tests::made;

/// What `postmap lmdb:` made of [`ENTRIES`].
const LIGHTNING: &[u8] = include_bytes!("../../../tests/data/lmdb/access.lmdb");

const ENTRIES: [(&str, &str); 4] = [
    ("connect:192.0.2", "REJECT"),
    ("connect:192.0.2.9", "OK"),
    ("connect:ipv6:2001:db8", "450 4.7.1 later"),
    ("gatepost-from:b.example", "!a*@b.example!OK REJECT"),
];

fn open(location: &str) -> Result<Map, Vec<Fault>> {
    let location = location.parse::<Location>().expect("a location");
    Map::open(&location, &Options::default(), &Watcher::default())
}

async fn connect(map: &Map, ip: &str) -> Result<Ruling, Trouble> {
    let (host, rules) = (Host::new(ip.parse().ok(), b"mx.example.org"), Rules::default());
    trouble(map.search(Search::connect(&host, &rules)).await).map(|answer| answer.ruling)
}

async fn mail(map: &Map, sender: &str) -> Result<Answer, Trouble> {
    let (host, rules) = (Host::default(), Rules::default());
    let sender = Address::parse(sender.as_bytes());
    trouble(map.search(Search::mail(&host, None, sender.as_ref(), &rules)).await)
}

fn trouble(answer: Result<Answer, Unanswered>) -> Result<Answer, Trouble> {
    answer.map_err(|unanswered| unanswered.trouble)
}

/// A server that does `act` with each connection.
fn server<F>(folder: &TempDir, act: impl Fn(tokio::net::UnixStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(act(stream));
        }
    });
    format!("socketmap:unix:{}:access", path.display())
}

/// The same, and how many connections there were.
fn counted<F>(
    folder: &TempDir,
    act: impl Fn(tokio::net::UnixStream) -> F + Send + 'static,
) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let location = server(folder, move |stream| {
        count.fetch_add(1, Ordering::Relaxed);
        act(stream)
    });
    (location, connections)
}

/// One question; nothing at the end of the connection.
async fn question(stream: &mut tokio::net::UnixStream) -> Option<String> {
    let mut octets = Vec::new();
    loop {
        if let Some((question, size)) = wire::take(&octets).expect("a netstring") {
            assert_eq!(size, octets.len(), "one question at a time");
            return Some(String::from_utf8(question.to_vec()).expect("text"));
        }
        if stream.read_buf(&mut octets).await.expect("a question") == 0 {
            return None;
        }
    }
}

fn netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

/// Answers from [`ENTRIES`], and counts the questions.
async fn honest(mut stream: tokio::net::UnixStream, asked: Arc<AtomicUsize>) {
    while let Some(question) = question(&mut stream).await {
        asked.fetch_add(1, Ordering::Relaxed);
        let key = question.strip_prefix("access ").expect("the name of the map");
        let value = ENTRIES.iter().find(|(own, _)| *own == key);
        let reply = value.map_or("NOTFOUND ".to_owned(), |(_, value)| format!("OK {value}"));
        stream.write_all(&netstring(&reply)).await.expect("an answer that leaves");
    }
}

/// A server that says the same to every question, whatever it is.
fn always(folder: &TempDir, octets: &'static [u8]) -> String {
    server(folder, move |mut stream| async move {
        while question(&mut stream).await.is_some() {
            if stream.write_all(octets).await.is_err() {
                return;
            }
        }
    })
}

async fn says(map: &Map) {
    assert_eq!(connect(map, "192.0.2.9").await, Ok(Ruling::Allow));
    assert!(matches!(connect(map, "192.0.2.8").await, Ok(Ruling::Refuse(_))));
    assert!(matches!(connect(map, "2001:db8::1").await, Ok(Ruling::Defer(_))));
    assert_eq!(connect(map, "198.51.100.1").await, Ok(Ruling::Nothing));
    let answer = mail(map, "<alice@b.example>").await.expect("an answer");
    assert_eq!(answer.ruling, Ruling::Allow);
    let Because::Hit(hit) = answer.because else { panic!("{:?}", answer.because) };
    assert_eq!((hit.key.as_str(), hit.pattern), ("gatepost-from:b.example", Some(1)));
    assert!(matches!(mail(map, "<bob@b.example>").await.expect("an answer").ruling, Ruling::Refuse(_)));
}

#[tokio::test]
async fn every_kind_of_map_says_the_same() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let text: String = ENTRIES.map(|(key, value)| format!("{key}\t{value}\n")).concat();
    fs::write(path("access"), text).expect("a text");
    says(&open(&format!("text:{}", path("access").display())).expect("a text")).await;
    for nul in ["", "\0"] {
        let records: Vec<(String, String)> =
            ENTRIES.iter().map(|(key, value)| (format!("{key}{nul}"), format!("{value}{nul}"))).collect();
        let records: Vec<(&[u8], &[u8])> =
            records.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        fs::write(path("access.cdb"), made(&records)).expect("a database");
        says(&open(&format!("cdb:{}", path("access.cdb").display())).expect("a database")).await;
    }
    fs::write(path("access.lmdb"), LIGHTNING).expect("a database");
    says(&open(&format!("lmdb:{}", path("access.lmdb").display())).expect("a database")).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let map = open(&server(&folder, move |stream| honest(stream, Arc::clone(&count)))).expect("a server");
    says(&map).await;
    let first = asked.load(Ordering::Relaxed);
    says(&map).await;
    assert_eq!(asked.load(Ordering::Relaxed), first, "answers are remembered");
}

/// Postfix writes into the file that is in use, while gatepost may look at it.
#[tokio::test]
async fn a_database_of_lmdb_that_is_half_written_leaves_the_one_before_in_use() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("access.lmdb");
    fs::write(&path, LIGHTNING).expect("a database");
    let watcher = Watcher::default();
    let location = format!("lmdb:{}", path.display()).parse().expect("a location");
    let map = Map::open(&location, &Options::default(), &watcher).expect("a database");
    says(&map).await;
    let unwritten = include_bytes!("../../../tests/data/lmdb/unwritten.lmdb");
    let mut torn = LIGHTNING.to_vec();
    // The page of the tree is the one of another state: its number is not yet there.
    torn[2 * 4_096] = 9;
    for (octets, cause) in [
        (&LIGHTNING[..2 * 4_096], "page 2 is not there"),
        (&LIGHTNING[..4_096], "it does not begin with two pages"),
        (&torn, "page 2 is not there"),
        (&unwritten[..], "nothing has been written into this LMDB database yet"),
        (b"", "it does not begin with two pages"),
    ] {
        fs::write(&path, octets).expect("a file");
        watcher.refresh();
        let failed = map.state().expect("a file").failed.expect("a failure");
        assert!(failed.faults[0].cause.contains(cause), "{:?}", failed.faults);
        says(&map).await;
    }
    // In its place, without another name, size or inode.
    fs::write(&path, LIGHTNING).expect("a database");
    let mut anew = LIGHTNING.to_vec();
    let at = memchr::memmem::rfind(&anew, b"REJECT\0").expect("a value");
    anew[at..at + 7].copy_from_slice(b"ACCEPT\0");
    watcher.refresh();
    says(&map).await;
    fs::write(&path, &anew).expect("a database");
    watcher.refresh();
    let failed = map.state().expect("a file").failed.expect("a failure");
    assert!(failed.faults[0].cause.contains("ACCEPT is no action"), "{:?}", failed.faults);
    anew[at..at + 7].copy_from_slice(b"HOLD it");
    fs::write(&path, &anew).expect("a database");
    watcher.refresh();
    assert_eq!(connect(&map, "192.0.2.8").await, Ok(Ruling::Quarantine("it".into())));
    assert_eq!(map.state().expect("a file").failed, None);
}

#[tokio::test]
async fn no_name_is_so_long_that_a_server_is_not_asked() {
    let folder = TempDir::new().expect("a folder");
    let map = open(&always(&folder, b"9:NOTFOUND ,")).expect("a server");
    let deep = "a.".repeat(120) + "example";
    let host = Host::new("2001:db8::1:2".parse().ok(), deep.as_bytes());
    let address = Address::parse(format!("<x+y@b.{deep}>").as_bytes()).expect("an address");
    let rules = Rules::default();
    for search in [
        Search::connect(&host, &rules),
        Search::mail(
            &host,
            Some("login"),
            Some(&address),
            &Rules { logins: crate::list::access::Logins::Ignored, ..rules.clone() },
        ),
        Search::rcpt(&host, Some(&address), &address, &rules),
    ] {
        let answer = map.search(search).await.expect("an answer");
        assert!((20..=KEYS).contains(&answer.chain.len()), "{}", answer.chain.len());
    }
}

#[tokio::test]
async fn a_server_that_lies_is_told_and_not_believed() {
    for (octets, expected) in [
        (&b"999999:OK "[..], Trouble::Garbage(wire::Lie::Length)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Trouble::Garbage(wire::Lie::Form)),
        (b"5:OK OK;", Trouble::Garbage(wire::Lie::Form)),
        (b"5:OK OK,5:OK OK,", Trouble::Garbage(wire::Lie::Extra)),
        (b"6:MAYBE ,", Trouble::Garbage(wire::Lie::Word)),
        (b"13:TEMP no\ndisks,", Trouble::Temporary("no\\x0adisks".to_owned())),
        (b"8:TIMEOUT ,", Trouble::Temporary(String::new())),
        (b"10:PERM no map,", Trouble::Garbage(wire::Lie::Form)),
        (b"11:PERM no map,", Trouble::Permanent("no map".to_owned())),
        (
            b"8:OK REJCT,",
            Trouble::Value {
                key: "gatepost-connect:192.0.2.9".to_owned(),
                cause: "REJCT is no action; use one of OK, RELAY, REJECT, ERROR, DISCARD, TEMPFAIL, DEFER, QUARANTINE, HOLD, FRIEND, HATER, SKIP, DUNNO, NEXT, or 550 and a text".to_owned(),
            },
        ),
        (
            b"3:OK ,",
            Trouble::Value {
                key: "gatepost-connect:192.0.2.9".to_owned(),
                cause: "there is a key and no value; write SKIP if it is to say nothing".to_owned(),
            },
        ),
    ] {
        let folder = TempDir::new().expect("a folder");
        let map = open(&always(&folder, octets)).expect("a server");
        assert_eq!(connect(&map, "192.0.2.9").await, Err(expected), "{:?}", String::from_utf8_lossy(octets));
    }
}

#[tokio::test]
async fn the_longest_reply_is_read_and_its_value_refused() {
    let folder = TempDir::new().expect("a folder");
    let location = server(&folder, |mut stream| async move {
        while question(&mut stream).await.is_some() {
            let reply = netstring(&format!("OK {}", "x".repeat(wire::REPLY - 3)));
            for piece in reply.chunks(999) {
                stream.write_all(piece).await.expect("a piece that leaves");
            }
        }
    });
    let map = open(&location).expect("a server");
    let Err(Trouble::Value { cause, .. }) = connect(&map, "192.0.2.9").await else { panic!("a trouble") };
    assert_eq!(cause, "it has 99997 octets, more than 8192");
    let bombs = "/a{999}/REJECT ".repeat(33);
    let Err(Trouble::Value { cause, .. }) = map.0.entry(Tag::FromTo, "k", bombs.as_bytes()) else {
        panic!("a trouble")
    };
    assert_eq!(cause, "it has more than 32 regular expressions");
}

#[tokio::test]
async fn a_value_that_cannot_be_used_is_told_without_anything_like_a_key_of_dqs() {
    let map = open("socketmap:unix:/nonexistent/socket:access").expect("a place");
    for before in 0..210 {
        let key = format!("from:{}-abcdefghij0123456789klmnop", "x".repeat(before));
        let trouble = map.0.entry(Tag::FromTo, &key, key.as_bytes()).expect_err("no value").to_string();
        assert!(trouble.contains("cannot be used") && !trouble.contains("abc"), "{trouble}");
    }
}

#[tokio::test]
async fn a_connection_that_is_over_is_made_anew_once() {
    let folder = TempDir::new().expect("a folder");
    // One answer, and the connection ends.
    let (location, connections) = counted(&folder, |mut stream| async move {
        question(&mut stream).await.expect("a question");
        stream.write_all(b"9:NOTFOUND ,").await.expect("an answer that leaves");
    });
    let map = open(&location).expect("a server");
    assert_eq!(connect(&map, "192.0.2.9").await, Ok(Ruling::Nothing));
    assert!(connections.load(Ordering::Relaxed) > 10);
    drop(map);

    let folder = TempDir::new().expect("a folder");
    let (location, connections) = counted(&folder, |mut stream| async move {
        question(&mut stream).await;
    });
    let map = open(&location).expect("a server");
    assert_eq!(connect(&map, "192.0.2.9").await, Err(Trouble::Closed));
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn one_connection_serves_all_keys() {
    let folder = TempDir::new().expect("a folder");
    let (location, connections) = counted(&folder, |stream| honest(stream, Arc::default()));
    says(&open(&location).expect("a server")).await;
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_costs_half_a_second_for_all_keys_together() {
    let folder = TempDir::new().expect("a folder");
    // Nobody accepts: the kernel does, and the question lies there.
    let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
    let map =
        open(&format!("socketmap:unix:{}:access", folder.path().join("socket").display())).expect("a server");
    let begun = Instant::now();
    let trouble = connect(&map, "192.0.2.9").await.expect_err("no answer");
    assert_eq!(trouble.to_string(), "it took more than 500 ms for all keys together");
    assert!((BUDGET..BUDGET * 2).contains(&begun.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_left_alone_after_three_questions_and_tried_by_one_at_a_time() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let map = open(&format!("socketmap:unix:{}:access", path.display())).expect("a server");
    let ask = async || {
        let begun = Instant::now();
        let said = connect(&map, "192.0.2.9").await;
        (said, begun.elapsed() >= BUDGET)
    };
    for _ in 0..3 {
        assert_eq!(ask().await, (Err(Trouble::Late(BUDGET)), true));
    }
    for pause in [1, 2, 4] {
        assert_eq!(ask().await, (Err(Trouble::Resting), false), "{pause}");
        tokio::time::advance(Duration::from_secs(pause)).await;
        assert_eq!(
            tokio::join!(ask(), ask()),
            ((Err(Trouble::Late(BUDGET)), true), (Err(Trouble::Resting), false)),
            "{pause}"
        );
    }
    // It is mended: the next trial ends the rest for all.
    listener.set_nonblocking(true).expect("a socket");
    let listener = UnixListener::from_std(listener).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(honest(stream, Arc::default()));
        }
    });
    assert_eq!(ask().await, (Err(Trouble::Resting), false));
    tokio::time::advance(Duration::from_secs(8)).await;
    assert_eq!(ask().await.0, Ok(Ruling::Allow));
    assert_eq!(connect(&map, "192.0.2.8").await, Ok(Ruling::Refuse(crate::list::access::Denial::refusal())));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_at_once_or_stalls_at_one_key_is_always_asked_again() {
    let away = open("socketmap:unix:/nonexistent/socket:access").expect("a place");
    for _ in 0..10 {
        assert!(matches!(connect(&away, "192.0.2.9").await, Err(Trouble::Away(_))));
    }
    let folder = TempDir::new().expect("a folder");
    // Whoever chooses a name that makes the server hang puts nobody else at a disadvantage.
    let location = server(&folder, |mut stream| async move {
        while let Some(question) = question(&mut stream).await {
            if question.contains("gatepost-connect:example.org") {
                std::future::pending::<()>().await;
            }
            stream.write_all(b"9:NOTFOUND ,").await.expect("an answer that leaves");
        }
    });
    let map = open(&location).expect("a server");
    for n in 0..10 {
        assert_eq!(connect(&map, &format!("192.0.2.{n}")).await, Err(Trouble::Late(BUDGET)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_has_no_more_time_than_its_caller_has_left() {
    let folder = TempDir::new().expect("a folder");
    let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("a socket");
    let map =
        open(&format!("socketmap:unix:{}:access", folder.path().join("socket").display())).expect("a server");
    let (host, rules) = (Host::new("192.0.2.9".parse().ok(), b""), Rules::default());
    for _ in 0..10 {
        let begun = Instant::now();
        let end = begun + Duration::from_millis(20);
        let said = trouble(map.search_until(Search::connect(&host, &rules), end).await);
        // So little time shows nothing about the server.
        assert_eq!(said, Err(Trouble::Late(BUDGET)));
        assert!(begun.elapsed() < Duration::from_millis(100));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dribbles_is_given_up_in_time() {
    let folder = TempDir::new().expect("a folder");
    let location = server(&folder, |mut stream| async move {
        question(&mut stream).await;
        loop {
            if stream.write_all(b"1").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(90)).await;
        }
    });
    let map = open(&location).expect("a server");
    let begun = Instant::now();
    let trouble = connect(&map, "192.0.2.9").await.expect_err("no answer");
    assert!(matches!(trouble, Trouble::Late(_) | Trouble::Garbage(_)), "{trouble}");
    assert!(begun.elapsed() < BUDGET * 3);
}

#[tokio::test]
async fn nobody_there_is_a_trouble_and_no_error_at_the_start() {
    let map = open("socketmap:unix:/nonexistent/socket:access").expect("a place");
    let trouble = connect(&map, "192.0.2.9").await.expect_err("nobody");
    assert_eq!(trouble.to_string(), "it cannot be reached: No such file or directory (os error 2)");
}

fn refused(location: &str) -> String {
    open(location).expect_err("an error").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_no_file_or_another_kind_of_file_is_told_with_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("map");
    let shown = path.display();
    // What Berkeley DB 5.3 begins files with that makemap and postmap make: a position, a number, the kind, its version.
    let berkeley =
        |kind: &[u8]| [&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], kind, &[9, 0, 0, 0], &[0; 496]].concat();
    let (hash, btree) = (berkeley(b"\x61\x15\x06\x00"), berkeley(b"\x62\x31\x05\x00"));
    for (octets, remedy) in [
        (&hash[..], format!("postmap -s hash:{shown} >{shown}.txt")),
        (&hash, format!("makemap -u hash {shown} >{shown}.txt")),
        (&btree, format!("postmap -s btree:{shown} >{shown}.txt")),
        (LIGHTNING, format!("write lmdb:{shown}")),
        (b"SQLite format 3\0more", format!("write sqlite:{shown}")),
        (&made(&[(b"192.0.2", b"OK")]), format!("write cdb:{shown}")),
        (b"Connect:192.0.2 REJCT\n", "use one of OK".to_owned()),
        (b"Connect:\0 OK\n", "control character (0x00) in the key".to_owned()),
    ] {
        fs::write(&path, octets).expect("a file");
        let said = refused(&format!("text:{shown}"));
        assert!(said.contains(&remedy), "{said}");
    }
    fs::write(&path, b"Connect:192.0.2 OK\n").expect("a file");
    let said = refused(&format!("cdb:{shown}"));
    assert!(said.contains("no constant database") && said.contains("make it anew with postmap"), "{said}");
    fs::write(&path, made(&[(b"connect:192.0.2", b"REJCT"), (b"from:a b", b"OK")])).expect("a file");
    let said = refused(&format!("cdb:{shown}"));
    assert!(said.contains(" record 1: REJCT is no action") && said.contains(" record 2: "), "{said}");
    let said = refused(&format!("lmdb:{shown}"));
    assert!(said.contains("no LMDB database") && said.contains("make it anew with postmap lmdb:"), "{said}");
    for kind in ["cdb", "lmdb"] {
        fs::write(folder.path().join(format!("other.{kind}")), LIGHTNING).expect("a file");
        let other = folder.path().join("other");
        let said = refused(&format!("{kind}:{}", other.display()));
        assert!(said.contains(&format!("write {kind}:{}.{kind}", other.display())), "{said}");
        fs::write(&other, b"connect:192.0.2 REJECT\n").expect("the text that it is made from");
        assert_eq!(refused(&format!("{kind}:{}", other.display())), said);
        fs::remove_file(&other).expect("no text");
    }
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    for kind in ["text", "cdb", "lmdb"] {
        assert!(refused(&format!("{kind}:{}", fifo.display())).contains("this is a FIFO, not a file"));
        assert!(refused(&format!("{kind}:{}", folder.path().display())).contains("this is a directory"));
        assert!(refused(&format!("{kind}:{shown}.not")).contains("create it, or correct the path"));
    }
}

#[cfg(feature = "sqlite")]
mod sqlite;
