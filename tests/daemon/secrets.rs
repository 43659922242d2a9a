//! The key is in no line, whatever happens; and no client writes lines of its own.

use hickory_proto::op::ResponseCode;
use nix::sys::signal::Signal;

use super::common::wire::{Wire, greeting, packet};
use super::process::new_key;
use super::{Act, Daemon, Machine, Names, Phone, run};

/// Every kind of trouble that a name server can make.
fn troubles() -> Vec<Act> {
    let listed = || Box::new(Act::records(["127.0.1.2"]));
    vec![
        Act::Code(ResponseCode::ServFail),
        Act::Code(ResponseCode::Refused),
        Act::Code(ResponseCode::FormErr),
        Act::NotFound(None),
        Act::Empty(Some(60)),
        Act::DeadAlias(ResponseCode::NXDomain),
        Act::Aaaa,
        Act::records(["127.0.1.2", "127.0.1.102"]),
        Act::records(["127.0.1.255"]),
        Act::records(["127.0.9.9"]),
        Act::records(["192.0.2.1"]),
        Act::records(["127.255.255.250"]),
        Act::records(["127.255.255.252"]),
        Act::records(["127.255.255.255"]),
        Act::ShortRecord,
        Act::Octets(false, Vec::new()),
        Act::Octets(true, vec![0xff; 300]),
        Act::WrongId(listed()),
        Act::WrongQuestion(listed()),
        Act::Cut(Box::new(Act::Code(ResponseCode::ServFail))),
        Act::Silence,
    ]
}

/// A session with a domain of its own. What it heard is among what is searched.
async fn session(daemon: &Daemon, n: usize, heard: &mut Vec<String>) {
    let mut phone = Phone::dial(daemon.port).await;
    heard.push(phone.connect(&format!("8.8.9.{n}")).await);
    heard.push(phone.helo(format!("mx{n}.example")).await);
    heard.push(phone.from(format!("<u@x{n}.example>")).await);
}

#[test]
fn the_key_is_in_no_line_whatever_happens() {
    let (names, key, second) = (Names::start(), new_key(), new_key());
    let settings = ["DNS_LIFETIME=0.3", "DNS_PER_TRY=0.1", "ON_FAILURE=tempfail", "ENFORCE_STAGE=mail"];
    let machine = Machine::with(&names, &key, &settings);
    let mut daemon = machine.start();
    let mut heard = Vec::new();
    for (n, act) in troubles().into_iter().enumerate() {
        names.otherwise(act);
        run(session(&daemon, n, &mut heard));
        // The commands meet the same trouble.
        for command in [
            &["lookup", "8.8.0.2", "spam.example"][..],
            &["lookup", "--json", "8.8.0.2", "u@spam.example"],
            &["explain", "--client", "8.8.0.2", "--helo", "mx.example", "--from", "<u@spam.example>"],
            &["explain", "--json", "--client", "8.8.0.2", "--from", "<u@spam.example>"],
        ] {
            let ended = machine.run(command);
            assert!(ended.status.is_some_and(|status| status <= 2), "{ended:?}");
            heard.extend([ended.stdout, ended.stderr]);
        }
        // A reload makes closed breakers: the next trouble is met as the first one was.
        let known = daemon.with(&["event=reloaded"]).len();
        machine.configure(&names, if n % 2 == 0 { &second } else { &key }, &settings);
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_more(&["event=reloaded"], known);
    }
    // Clients that speak no milter, and files with the key in wrong places.
    run(async {
        let mut wire = Wire::dial(daemon.port).await;
        wire.send(b"GET / HTTP/1.1\r\n\r\n").await.expect("to send");
        assert!(wire.is_closed().await);
        let mut wire = Wire::dial(daemon.port).await;
        wire.exchange(&[greeting("8.8.0.2"), packet(b'Z', key.as_bytes())].concat(), 3).await;
        assert!(wire.is_closed().await);
    });
    for wrong in [
        format!("API_KEY={key}\u{7}"),
        format!("API_KEY={key} {key}"),
        format!("API_KEY={key}.{key}"),
        format!("API_KEY=\"{key}"),
        format!("ENFORCE_STAGE={key}"),
        format!("{key}=1"),
        format!("NAMESERVERS={key}"),
        format!("API_KEY_FILE=/{key}/{key}"),
        format!("ZONE_BASE={key}.{key}"),
    ] {
        let known = daemon.lines().len();
        machine.configure(&names, &key, &[&wrong]);
        let ended = machine.run(&["check-config"]);
        heard.extend([ended.stdout, ended.stderr]);
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for_line(known, "event=reload");
    }
    machine.write("gatepost.toml", &format!("[key]\nvalue = \"{key}\n"));
    let ended = machine.run(&["check-config"]);
    assert_eq!(ended.status, Some(78));
    heard.extend([ended.stdout, ended.stderr]);
    let (status, lines) = daemon.stop();
    assert_eq!(status, Some(0));
    assert!(lines.len() > 200, "at level trace there is more to search: {}", lines.len());
    assert!(names.total() > 100, "and the key was asked with");
    for text in lines.iter().chain(&heard) {
        let text = text.to_lowercase();
        assert!(!text.contains(&key) && !text.contains(&second), "{text}");
    }
}

// case: 30
#[test]
fn no_client_writes_a_line_of_its_own() {
    let (names, key) = (Names::start(), new_key());
    let daemon = Machine::with(&names, &key, &["ENFORCE_STAGE=mail"]).start();
    names.on("spam.example.dbl", Act::records(["127.0.1.2"]));
    let forged = "2026-01-01T00:00:00.000Z INFO event=forged action=accept";
    let nasty = format!("x\r\n{forged}\u{1b}[2J\"\\ \u{85}\u{2028}{forged}");
    let answers = run(async {
        let mut phone = Phone::dial(daemon.port).await;
        phone.macros(b'C', &[("j", &nasty), ("{daemon_name}", &nasty)]);
        let name = format!("{nasty}{}", "n".repeat(1_000));
        let mut answers = vec![phone.connect_as(&name, b'4', 1, b"8.8.0.2").await];
        answers.push(phone.helo(format!("{nasty}.spam.example")).await);
        phone.macros(b'M', &[("i", &nasty)]);
        answers.push(phone.from(format!("<{nasty}@spam.example>")).await);
        answers
    });
    assert!(answers[2].starts_with("550 5.7.1 Sender domain spam.example blocked"), "{answers:?}");
    let (_, lines) = daemon.stop();
    let mut verdicts = 0;
    for line in &lines {
        let mut words = line.split(' ');
        let time = words.next().unwrap_or_default();
        assert!(time.len() == 24 && time.ends_with('Z'), "a line of its own: {line}");
        assert!(!line.starts_with("2026-01-01T00:00:00.000Z"), "{line}");
        assert!(matches!(words.next(), Some("ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE")), "{line}");
        assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line}");
        verdicts += usize::from(line.contains("event=verdict"));
        // Outside quotes there is nothing of the client's.
        let mut outside = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                c if !quoted => outside.push(c),
                _ => {}
            }
        }
        assert!(!outside.contains("forged") && !quoted, "{line}");
    }
    assert!(verdicts >= 3, "{lines:#?}");
}

#[test]
fn a_key_from_a_file_is_not_in_the_environment_of_the_process() {
    let (names, key) = (Names::start(), new_key());
    let machine = Machine::with(&names, &key, &[]);
    let daemon = machine.start();
    for file in ["environ", "cmdline"] {
        // Unreadable is as good: the process forbids others to look.
        let text = std::fs::read(format!("/proc/{}/{file}", daemon.id())).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(&key));
    }
    assert_eq!(daemon.stop().0, Some(0));
}
