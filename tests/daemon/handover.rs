//! Restarts under a service manager that keeps the open sessions meanwhile.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::common::wire::{Wire, connect, greeting, offer, packet};
use super::process::new_key;
use super::store::Keeper;
use super::{Act, Names, Phone, run};

const SESSIONS: usize = 30;
const RESTARTS: usize = 6;

/// Runs what waits for a process beside the conversations.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// What the sessions of a test count together.
#[derive(Default)]
struct Count {
    mails: Cell<usize>,
    refused: Cell<usize>,
    longest: Cell<Duration>,
    ends: Cell<bool>,
}

impl Count {
    async fn timed(&self, answer: impl Future<Output = String>) -> String {
        let start = Instant::now();
        let answer = answer.await;
        self.longest.set(self.longest.get().max(start.elapsed()));
        answer
    }
}

/// One long SMTP session: mail after mail, every third from a listed sender, each with names of its own.
async fn session(port: u16, number: usize, count: Rc<Count>) {
    let mut phone = Phone::dial(port).await;
    let client = format!("8.8.3.{number}");
    assert_eq!(count.timed(phone.connect(&client)).await, "continue");
    assert_eq!(count.timed(phone.helo("mx.ok.example")).await, "continue");
    for mail in 0.. {
        if count.ends.get() {
            break;
        }
        let bad = mail % 3 == 2;
        let sender = format!("<u@{mail}-{number}.{}.example>", if bad { "spam" } else { "ok" });
        phone.macros(b'M', &[("{mail_addr}", "u@example.org")]);
        let answer = count.timed(phone.from(&sender)).await;
        assert_eq!(answer.starts_with("550 5.7.1"), bad, "{sender}: {answer}");
        if bad {
            count.refused.set(count.refused.get() + 1);
            phone.abort().await;
        } else {
            assert_eq!(answer, "continue", "{sender}");
            assert_eq!(phone.rcpt("<us@example.org>").await, "withheld");
            assert_eq!(count.timed(phone.data()).await, "continue");
        }
        count.mails.set(count.mails.get() + 1);
        tokio::task::yield_now().await;
    }
    assert!(phone.quit().await);
}

// case: 65
#[test]
fn thirty_long_sessions_notice_nothing_of_six_restarts() {
    sessions_notice_nothing(RESTARTS, &["ENFORCE_STAGE=mail"]);
}

#[test]
fn sessions_of_several_threads_are_handed_over_too() {
    sessions_notice_nothing(2, &["ENFORCE_STAGE=mail", "THREADS=3"]);
}

fn sessions_notice_nothing(restarts: usize, settings: &[&str]) {
    let (names, key) = (Names::start(), new_key());
    names.script(|asked| {
        let is_listed = asked.name.ends_with(".spam.example.dbl");
        let answer = if is_listed { Act::records(["127.0.1.2"]) } else { Act::NotFound(Some(60)) };
        Some(answer.after(Duration::from_millis(20)))
    });
    let manager = Keeper::new(&names, &key, settings, 4_096);
    let daemon = manager.start();
    let port = manager.port;
    let count = Rc::new(Count::default());
    let (manager, daemon) = run(LocalSet::new().run_until(async {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| tokio::task::spawn_local(session(port, number, Rc::clone(&count))))
            .collect();
        let (mut manager, mut daemon) = (manager, daemon);
        for _ in 0..restarts {
            // Mails enough of everybody in between, so that a restart meets all situations.
            let (known, start) = (count.mails.get(), Instant::now());
            while count.mails.get() < known + 10 * SESSIONS {
                assert!(start.elapsed() < Duration::from_mins(2), "{} mails", count.mails.get());
                assert!(sessions.iter().all(|session| !session.is_finished()), "a session broke off");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let lines;
            (manager, daemon, lines) = beside(move || {
                let (daemon, lines) = manager.restart(daemon);
                (manager, daemon, lines)
            })
            .await;
            let handed = lines.iter().filter(|line| line.contains("event=handover handed=30 drained=0"));
            assert_eq!(handed.count(), 1, "{:#?}", &lines[lines.len() - 5..]);
            assert_eq!(daemon.with(&["event=handover", "taken=30", "dropped=0", "closed=0"]).len(), 1);
        }
        count.ends.set(true);
        for session in sessions {
            session.await.expect("to its end");
        }
        (manager, daemon)
    }));
    let (mails, longest) = (count.mails.get(), count.longest.get());
    println!("{mails} mails, {} refused, longest wait for an answer {longest:?}", count.refused.get());
    assert!(mails >= restarts * 10 * SESSIONS && count.refused.get() * 4 > mails);
    assert!(longest < Duration::from_secs(9), "{longest:?}: Sendmail waits for ten seconds");
    manager.wait_for_stored(0);
    assert_eq!(daemon.stop().0, Some(0));
    manager.wait_for_stored(1);
    assert_eq!(manager.book().stored[0].0, "answers", "no session is stored, what was asked last is");
}

// case: 65
#[test]
fn a_restart_in_the_middle_of_anything_loses_nothing() {
    let (names, key) = (Names::start(), new_key());
    names.on("slow.example.dbl", Act::Silence);
    let settings = ["ENFORCE_STAGE=mail", "DNS_LIFETIME=5"];
    let manager = Keeper::new(&names, &key, &settings, 64);
    let daemon = manager.start();
    run(async {
        let mut unheard = Wire::dial(manager.port).await;
        let (mut negotiating, mut asking, mut half) =
            (Wire::dial(manager.port).await, Wire::dial(manager.port).await, Wire::dial(manager.port).await);
        negotiating.send(&offer()[..7]).await.expect("to send");
        let macros = packet(b'D', b"M{auth_authen}\0");
        assert_eq!(half.exchange(&[greeting("8.8.0.3"), macros].concat(), 3).await, "Occ");
        let mail = packet(b'M', b"<u@ok.example>\0SIZE=1\0");
        half.send(&mail[..11]).await.expect("to send");
        assert_eq!(asking.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        asking.send(&packet(b'M', b"<u@slow.example>\0")).await.expect("to send");
        while names.count("slow.example.dbl") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let start = Instant::now();
        let (daemon, lines) = manager.restart(daemon);
        let took = start.elapsed();
        assert!(lines.iter().any(|line| line.contains("event=handover handed=4")), "{lines:#?}");
        assert_eq!(daemon.with(&["event=handover", "taken=4", "dropped=0"]).len(), 1);
        assert!(took < Duration::from_secs(8), "{took:?}: two for the look-up, the rest for the processes");
        // Asked again over there: the name server has an answer now.
        names.on("slow.example.dbl", Act::records(["127.0.1.2"]));
        assert_eq!(asking.exchange(b"", 1).await, "y");
        half.send(&mail[11..]).await.expect("to send");
        assert_eq!(half.exchange(b"", 1).await, "c");
        negotiating.send(&offer()[7..]).await.expect("to send");
        assert_eq!(negotiating.exchange(&connect("8.8.0.4"), 2).await, "Oc");
        assert_eq!(unheard.exchange(&greeting("8.8.0.5"), 3).await, "Occ");
        manager.wait_for_stored(0);
        // Who calls while nobody is there waits in the backlog of the listener.
        let (status, lines) = daemon.stop();
        assert_eq!(status, Some(0), "{lines:#?}");
        let mut early = Wire::dial(manager.port).await;
        early.send(&greeting("8.8.0.6")).await.expect("to send");
        let daemon = manager.start();
        assert_eq!(early.exchange(b"", 3).await, "Occ");
        for mut wire in [negotiating, asking, half, unheard, early] {
            wire.send(&packet(b'Q', b"")).await.expect("to send");
            assert!(wire.is_closed().await);
        }
        assert_eq!(daemon.stop().0, Some(0));
    });
}

#[test]
fn without_room_in_the_store_sessions_are_drained() {
    let (names, key) = (Names::start(), new_key());
    // None at all; too few, which shows afterwards only; too few, and the manager says how many.
    for (limit, told, words) in [
        (0, None, &["event=handover", "handed=0", "FileDescriptorStoreMax="][..]),
        (2, None, &["event=handover", "handed=0", "drained=3"]),
        (4, Some("4"), &["event=handover", "handed=2", "drained=1"]),
    ] {
        let settings = ["ENFORCE_STAGE=mail", "DRAIN_TIMEOUT=30"];
        let mut manager = Keeper::new(&names, &key, &settings, limit);
        if let Some(told) = told {
            manager.variable("FDSTORE", told);
        }
        let mut daemon = manager.start();
        run(async {
            let (mut open, mut idle, mut other) = (
                Wire::dial(manager.port).await,
                Wire::dial(manager.port).await,
                Wire::dial(manager.port).await,
            );
            for wire in [&mut open, &mut idle, &mut other] {
                assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
            }
            assert_eq!(open.exchange(&packet(b'M', b"<u@ok.example>\0"), 1).await, "c");
            Keeper::terminate(&daemon);
            daemon.wait_for(words);
            if told.is_none() {
                assert!(idle.is_closed().await && other.is_closed().await, "after a second");
                assert_eq!(open.exchange(&packet(b'E', b""), 1).await, "c", "the message ends");
                assert!(open.is_closed().await);
                assert_eq!(daemon.end().0, Some(0));
                assert!(manager.book().stored.is_empty(), "nothing is left behind");
            } else {
                assert_eq!(daemon.end().0, Some(0));
                // The states of two sessions go with them, and what the lists said.
                manager.wait_for_stored(4);
                let daemon = manager.start();
                assert_eq!(open.exchange(&packet(b'E', b""), 1).await, "c", "who had a message came first");
                assert_eq!(daemon.with(&["event=handover", "taken=2", "dropped=0"]).len(), 1);
                assert_eq!(daemon.stop().0, Some(0));
            }
        });
    }
}

#[test]
fn a_manager_that_does_not_answer_is_told_as_that_and_nothing_else() {
    let (names, key) = (Names::start(), new_key());
    let manager = Keeper::new(&names, &key, &["DRAIN_TIMEOUT=30"], 64);
    let mut daemon = manager.start();
    manager.book().is_stuck = true;
    run(async {
        let mut idle = Wire::dial(manager.port).await;
        assert_eq!(idle.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
        Keeper::terminate(&daemon);
        daemon.wait_for(&["WARN", "event=handover", "the service manager does not answer"]);
        assert!(idle.is_closed().await);
    });
    let (status, lines) = daemon.end();
    assert_eq!(status, Some(0));
    assert!(
        !lines.iter().any(|line| line.contains("FileDescriptorStoreMax")),
        "its room is not known: {lines:#?}"
    );
}

#[test]
fn answers_are_remembered_over_a_restart_unless_they_are_of_another_release() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let manager = Keeper::new(&names, &key, &[], 64);
    let refused = || {
        run(async {
            assert!(Phone::dial(manager.port).await.connect("8.8.0.2").await.starts_with("554 "));
        });
        names.count("2.0.8.8.zen")
    };
    let daemon = manager.start();
    assert_eq!(refused(), 1);
    let (daemon, lines) = manager.restart(daemon);
    assert!(lines.iter().any(|line| line.contains("handed=0 drained=0 answers=1 ")), "{lines:#?}");
    assert_eq!(daemon.with(&["INFO", "event=answers", "answers=1"]).len(), 1);
    assert_eq!(refused(), 1, "it is known");
    manager.wait_for_stored(0);
    assert_eq!(daemon.stop().0, Some(0));
    manager.wait_for_stored(1);
    let mut octets = content(&manager, "answers");
    assert!(!String::from_utf8_lossy(&octets).contains(&key));
    octets[11] = 9;
    replace(&manager, "answers", Some(sealed(&octets)));
    let daemon = manager.start();
    let told = daemon.with(&["WARN", "event=answers", "version 9", "all is asked anew"]);
    assert_eq!(told.len(), 1, "{:#?}", daemon.lines());
    assert_eq!(refused(), 2, "it is asked anew");
    manager.wait_for_stored(0);
    assert_eq!(daemon.stop().0, Some(0));
}

/// What happens to the store between two processes.
type Change<'c> = &'c dyn Fn();

#[test]
fn what_is_forged_truncated_or_of_another_release_costs_its_sessions_and_no_more() {
    let (names, key) = (Names::start(), new_key());
    // Without questions there are no answers to be left beside the sessions.
    let settings = ["ENFORCE_STAGE=mail", "ZEN_ENABLE=0", "DBL_ENABLE=0", "ZRD_ENABLE=0"];
    let manager = Keeper::new(&names, &key, &settings, 64);
    let left = RefCell::new(Vec::new());
    let leave = || {
        run(async {
            let daemon = manager.start();
            let mut wire = Wire::dial(manager.port).await;
            assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ");
            let (status, lines) = daemon.stop();
            assert_eq!(status, Some(0), "{lines:#?}");
            manager.wait_for_stored(2);
            // The next one talks on a runtime of its own.
            left.borrow_mut().push(wire.stream.into_std().expect("a socket"));
        });
    };
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = content(&manager, "sessions");
        change(&mut octets);
        replace(&manager, "sessions", Some(sealed(&octets)));
    };
    for (forge, words) in [
        (&(|| change(&|octets| octets.truncate(40))) as Change<'_>, "not complete"),
        (&|| change(&|octets| octets.clear()), "not gatepost's"),
        (&|| change(&|octets| octets[50] ^= 1), "checksum"),
        (&|| change(&|octets| octets[11] = 9), "version 9"),
        (&|| replace(&manager, "sessions", Some(tempfile::tempfile().expect("a file").into())), "sealed"),
        (&|| replace(&manager, "sessions", Some(File::open("/dev/zero").expect("a file").into())), "sealed"),
        (&|| replace(&manager, "sessions", None), "there are none"),
        (&|| manager.book().stored.retain(|(name, _)| name == "sessions"), "closed=1"),
        (
            &|| {
                let other = File::open("/dev/null").expect("it is everywhere");
                manager.book().stored.push(("session-x".to_owned(), other.into()));
            },
            "taken=1",
        ),
        (
            &|| {
                let mut book = manager.book();
                let (name, stream) = book.stored.iter().find(|(name, _)| name == "session-0").expect("one");
                let twice = (name.clone(), stream.try_clone().expect("a copy"));
                book.stored.push(twice);
            },
            "dropped=2",
        ),
    ] {
        leave();
        forge();
        let daemon = manager.start();
        let lines = daemon.with(&["event=handover"]);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains(words), "{words}: {lines:#?}");
        manager.wait_for_stored(0);
        run(async {
            let mut wire = Wire::dial(manager.port).await;
            assert_eq!(wire.exchange(&greeting("8.8.0.2"), 3).await, "Occ", "it serves");
            let before = left.borrow_mut().pop().expect("the session before");
            let mut before = Wire::new(tokio::net::TcpStream::from_std(before).expect("a socket"));
            if words == "taken=1" {
                assert_eq!(before.exchange(&packet(b'M', b"<u@ok.example>\0"), 1).await, "c");
            } else {
                assert!(before.is_closed().await);
            }
        });
        assert_eq!(daemon.stop().0, Some(0));
        manager.book().stored.clear();
    }
}

/// What is in a file in the store.
fn content(manager: &Keeper, name: &str) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let book = manager.book();
    let (_, file) = book.stored.iter().find(|(stored, _)| stored == name).expect("a file");
    let file = File::from(file.try_clone().expect("a copy"));
    let mut octets = vec![0; usize::try_from(file.metadata().expect("a file").len()).expect("small")];
    file.read_exact_at(&mut octets, 0).expect("a file");
    octets
}

/// Puts another file into the store, or none.
fn replace(manager: &Keeper, name: &str, file: Option<std::os::fd::OwnedFd>) {
    let mut book = manager.book();
    book.stored.retain(|(stored, _)| stored != name);
    book.stored.extend(file.map(|file| (name.to_owned(), file)));
}

/// A file that nobody can change any more.
fn sealed(octets: &[u8]) -> std::os::fd::OwnedFd {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::io::Write as _;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("test", flags).expect("a file"));
    file.write_all(octets).expect("a file");
    let seals = SealFlag::all() & !SealFlag::F_SEAL_FUTURE_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("a file that can be sealed");
    file.into()
}
