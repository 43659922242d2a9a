//! The control socket, the socket that only tells, and the commands that use them.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use serde_json::Value;

use super::common::openmetrics::Page;
use super::process::new_key;
use super::{Act, Daemon, Machine, Names, Phone, run};

/// A machine whose daemon has both sockets.
pub(super) fn machine(names: &Names, key: &str, settings: &[&str]) -> Machine {
    let machine = Machine::new();
    let at = |what: &str| {
        format!("{}_LISTEN=unix:{}", what.to_uppercase(), machine.path(&format!("{what}.sock")).display())
    };
    let own = [at("control"), at("metrics")];
    let settings: Vec<&str> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    machine.configure(names, key, &settings);
    machine
}

pub(super) fn control(machine: &Machine) -> String {
    machine.path("control.sock").display().to_string()
}

pub(super) fn status(machine: &Machine) -> Value {
    let ended = machine.run(&["status", "--json", "--control", &control(machine)]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

pub(super) fn metrics(machine: &Machine) -> (String, Page) {
    let ended = machine.run(&["status", "--prometheus", "--control", &control(machine)]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let page = Page::read(&ended.stdout);
    (ended.stdout, page)
}

/// Sends octets and reads what comes back until the other side closes.
fn talk(socket: &Path, octets: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a deadline");
    // The other side may hang up before it has read everything.
    let _ = stream.write_all(octets);
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[test]
fn status_and_metrics_tell_what_happened_and_no_secret() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4", "127.0.0.29"]));
    names.on("spam.example.dbl", Act::records(["127.0.1.2"]));
    names.on("odd.example.zrd", Act::records(["127.255.255.250"]));
    let machine = machine(&names, &key, &["ENFORCE_STAGE=mail", "PROBE_INTERVAL=0"]);
    let daemon = machine.start();
    run(async {
        for (client, sender, reply) in [
            ("8.8.0.2", "<u@ok.example>", "554 "),
            ("8.8.0.9", "<u@spam.example>", "550 "),
            ("8.8.0.9", "<u@odd.example>", "continue"),
            ("8.8.0.9", "<u@ok.example>", "continue"),
        ] {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect(client).await, "continue");
            let said = phone.from(sender).await;
            assert!(said.starts_with(reply), "{sender}: {said}");
            assert!(phone.quit().await);
        }
    });
    let told = status(&machine);
    assert_eq!(
        (&told["format"], &told["state"], &told["enforce"]),
        (&1.into(), &"serving".into(), &"mail".into())
    );
    assert_eq!(told["pid"], daemon.id());
    assert_eq!(told["sessions"]["served"], 4);
    assert_eq!(told["key"]["fingerprint"].as_str().map(str::len), Some(4));
    assert_eq!(told["sockets"].as_array().map(Vec::len), Some(3));
    let steps = told["confinement"].as_array().expect("steps");
    assert!(steps.iter().any(|step| step["step"] == "no_new_privs" && step["state"] == "enforced"), "{told}");
    let zones: Vec<_> = told["zones"].as_array().expect("zones").iter().map(|zone| &zone["state"]).collect();
    assert_eq!(zones, ["ok", "ok", "error"]);
    assert!(
        told["zones"][2]["reason"].as_str().is_some_and(|reason| reason.contains("key disabled")),
        "{told}"
    );
    let (text, page) = metrics(&machine);
    for (series, value) in [
        ("gatepost_sessions_total{result=\"quit\"}", 4.0),
        ("gatepost_sessions_active", 0.0),
        ("gatepost_actions_total{stage=\"mail\",action=\"reject\"}", 2.0),
        ("gatepost_actions_total{stage=\"mail\",action=\"accept\"}", 2.0),
        ("gatepost_checks_total{zone=\"zen\",stage=\"connect\",result=\"listed\"}", 1.0),
        ("gatepost_checks_total{zone=\"zen\",stage=\"connect\",result=\"clear\"}", 3.0),
        ("gatepost_checks_total{zone=\"dbl\",stage=\"mail\",result=\"listed\"}", 1.0),
        ("gatepost_checks_total{zone=\"zrd\",stage=\"mail\",result=\"unknown\"}", 1.0),
        ("gatepost_listings_total{zone=\"zen\",code=\"127.0.0.4\"}", 1.0),
        ("gatepost_listings_total{zone=\"zen\",code=\"other\"}", 1.0),
        ("gatepost_dns_errors_total{zone=\"zrd\",cause=\"service-250\"}", 1.0),
        ("gatepost_breaker_state{zone=\"zrd\"}", 1.0),
        ("gatepost_zone_healthy{zone=\"zrd\"}", 0.0),
        ("gatepost_zone_healthy{zone=\"zen\"}", 1.0),
        ("gatepost_dns_query_duration_seconds_count{zone=\"zen\"}", 2.0),
        ("gatepost_cache_hits_total{zone=\"zen\"}", 2.0),
        ("gatepost_config_reload_success", 1.0),
    ] {
        page.expect(series, value);
    }
    assert!(page.value("gatepost_cache_entries{kind=\"answer\"}") >= 4.0);
    assert!(page.value("process_open_fds") >= 3.0 && page.value("process_resident_memory_bytes") > 1e6);
    let people = machine.run(&["status", "--control", &control(&machine)]).stdout;
    for word in [
        "serving, up for",
        "fingerprint",
        "zen          ok;",
        "key disabled",
        "to do: renew or replace",
        "is asked again in",
    ] {
        assert!(people.contains(word), "{word}: {people}");
    }
    for text in [text, people, told.to_string(), daemon.lines().join("\n")] {
        assert!(!text.to_lowercase().contains(&key), "{text}");
    }
}

#[test]
fn nothing_that_a_client_says_becomes_a_label() {
    let (names, key) = (Names::start(), new_key());
    names.script(|asked| {
        let odd = u8::try_from(asked.name.len() % 256).unwrap_or_default();
        asked
            .name
            .starts_with('x')
            .then(|| Act::records([&*format!("127.0.1.{odd}"), &*format!("127.255.255.{odd}")]))
    });
    let machine = machine(&names, &key, &["ENFORCE_STAGE=mail"]);
    let daemon = machine.start();
    let (_, before) = metrics(&machine);
    run(async {
        for hostile in
            ["\"},x=\"1", "a\nb 1\n# EOF", "x\\\"", "xx.example", "\u{fc}.example", "x-1.example", "{}"]
        {
            let mut phone = Phone::dial(daemon.port).await;
            phone.connect_as(hostile, b'4', 1, hostile.as_bytes()).await;
            phone.helo(hostile).await;
            phone.from(format!("<u@{hostile}>")).await;
            phone.rcpt(format!("<{hostile}>")).await;
            drop(phone);
        }
    });
    let (_, after) = metrics(&machine);
    assert_eq!(before.names(), after.names());
    let sum = |page: &Page| -> f64 {
        page.series
            .iter()
            .filter(|(name, _)| name.starts_with("gatepost_checks"))
            .map(|(_, value)| value)
            .sum()
    };
    assert!(sum(&after) > sum(&before), "and they were counted");
}

#[test]
fn the_manual_has_every_metric() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &["QUERY_BUDGET_PER_DAY=1000"]);
    let _daemon = machine.start();
    let (_, page) = metrics(&machine);
    let told: std::collections::BTreeSet<String> = page
        .families
        .iter()
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.clone() })
        // Of the exporter, and of a watchdog that is not always there.
        .chain(["gatepost_up", "gatepost_watchdog_probe_seconds"].map(str::to_owned))
        .collect();
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/gatepost.8"));
    let manual = manual.expect("the manual");
    let (_, section) = manual.split_once(".Sh METRICS").expect("the section");
    let section = section.split(".Sh ").next().unwrap_or_default();
    let written: std::collections::BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .flat_map(|line| line.split(" , "))
        .filter_map(|tag| tag.strip_prefix("Li ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(written, told, "left: man/gatepost.8");
}

#[test]
fn reload_tells_all_problems_and_changes_nothing_then() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &["ENFORCE_STAGE=mail"]);
    let reload = |machine: &Machine| machine.run(&["reload", "--control", &control(machine)]);
    let _daemon = machine.start();
    let good = std::fs::read_to_string(machine.path("gatepost.env")).expect("the env file");
    machine
        .write("gatepost.env", &good.replace("=mail", "=later").replace("LOG_LEVEL=trace", "LOG_LEVEL=loud"));
    let ended = reload(&machine);
    assert_eq!(ended.status, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("ENFORCE_STAGE") && ended.stderr.contains("LOG_LEVEL"), "{ended:?}");
    let told = status(&machine);
    assert_eq!((&told["enforce"], &told["reload"]["ok"]), (&"mail".into(), &false.into()));
    assert_eq!(told["reload"]["problems"].as_array().map(Vec::len), Some(2));
    metrics(&machine).1.expect("gatepost_config_reload_success", 0.0);
    machine.write("gatepost.env", &(good.replace("=mail", "=rcpt") + "SPAMHAUS_DQS_CONNECTIONS=7\n"));
    let ended = reload(&machine);
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout.contains("connections takes effect at the next restart"), "{ended:?}");
    let told = status(&machine);
    assert_eq!((&told["enforce"], &told["reload"]["ok"]), (&"rcpt".into(), &true.into()));
    metrics(&machine).1.expect("gatepost_config_reload_success", 1.0);
}

#[test]
fn cache_flush_forgets_one_list_or_all() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &["ENFORCE_STAGE=mail"]);
    let daemon = machine.start();
    let ask = || {
        run(async {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect("8.8.0.2").await, "continue");
            assert_eq!(phone.from("<u@ok.example>").await, "continue");
        });
    };
    let asked = || (names.count("2.0.8.8.zen"), names.count("ok.example.dbl"), names.count("ok.example.zrd"));
    let cache = |words: &[&str]| {
        let ended = machine.run(&[&["cache"], words, &["--control", &control(&machine)]].concat());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended.stdout
    };
    ask();
    ask();
    assert_eq!(asked(), (1, 1, 1));
    assert!(cache(&["stats"]).contains("3 of 20000"), "{}", cache(&["stats"]));
    cache(&["flush", "dbl"]);
    ask();
    assert_eq!(asked(), (1, 2, 1));
    cache(&["flush"]);
    ask();
    assert_eq!(asked(), (2, 3, 2));
    let flush =
        |list: &str| machine.run(&["cache", "flush", "--list", list, "--control", &control(&machine)]);
    let wrong = flush("sbl");
    assert_eq!(wrong.status, Some(64), "{wrong:?}");
    assert_eq!(wrong.stderr, "there is no list sbl; there are zen, dbl, zrd, authbl\n");
    assert_eq!(flush("zen\nreload").status, Some(64), "one request, whatever the name");
}

#[test]
fn cache_flush_knows_lists_of_the_administrators() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.list.example.", Act::records(["127.0.0.2"]));
    let machine = machine(&names, &key, &["ENFORCE_STAGE=mail"]);
    machine.write(
        "gatepost.toml",
        "[[list]]\nname = \"friends\"\nkind = \"address\"\nzone = \"list.example\"\ntest = false\n",
    );
    let daemon = machine.start();
    let ask = || {
        run(async {
            let mut phone = Phone::dial(daemon.port).await;
            assert_eq!(phone.connect("8.8.0.2").await, "continue");
            assert_eq!(phone.from("<u@ok.example>").await, "continue");
        });
        (names.count("2.0.8.8.list.example."), names.count("ok.example.dbl"), names.count("2.0.8.8.zen"))
    };
    assert_eq!(ask(), (1, 1, 1));
    let socket = control(&machine);
    let flushed =
        machine.run(&["cache", "flush", "--list", "friends", "--list", "dbl", "--control", &socket]);
    assert_eq!(
        (flushed.status, &*flushed.stdout),
        (Some(0), "forgot the answers of friends\nforgot the answers of dbl\n")
    );
    assert_eq!(ask(), (2, 2, 1));
    for shell in ["bash", "zsh", "fish"] {
        let script = machine.run(&["completions", shell]).stdout;
        assert!(script.contains("authbl") && script.contains("friends"), "{shell} does not know the lists");
    }
    machine.write("gatepost.toml", "[[list]]\nname = \"broken\"\n");
    let script = machine.run(&["completions", "bash"]);
    assert!(script.status == Some(0) && script.stdout.contains("authbl"), "{script:?}");
}

#[test]
fn drain_is_answered_and_open_messages_finish() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &["DRAIN_TIMEOUT=30"]);
    let daemon = machine.start();
    run(async {
        let mut phone = Phone::dial(daemon.port).await;
        assert_eq!(phone.connect("8.8.0.2").await, "continue");
        assert_eq!(phone.from("<u@ok.example>").await, "continue");
        assert_eq!(phone.rcpt("<us@example.org>").await, "withheld");
        let ended = machine.run(&["drain", "--control", &control(&machine)]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("1 sessions are open"), "{ended:?}");
        assert_eq!(status(&machine)["state"], "draining");
        assert_eq!(phone.data().await, "continue");
        assert!(phone.quit().await);
    });
    assert_eq!(daemon.end().0, Some(0));
    // With nothing open the reply comes all the same, although the daemon ends at once.
    let daemon = machine.start();
    let ended = machine.run(&["drain", "--control", &control(&machine)]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(daemon.end().0, Some(0));
    assert!(!machine.path("control.sock").exists() && !machine.path("metrics.sock").exists());
}

#[test]
fn who_may_not_ask_and_who_asks_nobody_hears_what_to_do() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &[]);
    let ended = machine.run(&["status", "--control", &control(&machine)]);
    assert_eq!(ended.status, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("systemctl status gatepost"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    let _daemon = machine.start();
    let socket = machine.path("control.sock");
    let mode = || std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o660);
    // Another account; without root only an own socket can be closed.
    if !Uid::effective().is_root() {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o0)).expect("a mode");
    }
    for words in [&["status"][..], &["reload"], &["drain"], &["cache", "stats"], &["cache", "flush"]] {
        let ended = machine.run_as(54_321, &[words, &["--control", &control(&machine)]].concat());
        assert_eq!(ended.status, Some(77), "{ended:?}");
        assert!(ended.stderr.contains("gatepost-admin"), "{ended:?}");
        assert_eq!((ended.stderr.lines().count(), &*ended.stdout), (1, ""), "{ended:?}");
    }
}

#[test]
fn the_socket_that_tells_takes_no_orders() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &[]);
    let daemon = machine.start();
    let socket = machine.path("metrics.sock");
    for order in ["reload\n", "drain\n", "cache flush\n", "cache stats\n"] {
        let reply = talk(&socket, order.as_bytes());
        assert!(reply.contains("\"ok\":false") && reply.contains("only tells"), "{reply}");
    }
    assert!(talk(&socket, b"status\n").contains("\"state\":\"serving\""));
    Page::read(&talk(&socket, b"metrics\n"));
    assert!(daemon.with(&["event=reloaded"]).is_empty() && daemon.with(&["event=draining"]).is_empty());
}

#[test]
fn sockets_of_the_service_manager_come_before_those_of_the_settings() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &[]);
    let paths = ["orders", "figures"].map(|name| machine.path(name));
    let [control, metrics] = paths.each_ref().map(|path| UnixListener::bind(path).expect("a socket"));
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; \
                  export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=control:metrics;";
    let machine = machine.launched(script, control, metrics);
    let daemon = machine.start();
    assert!(!machine.path("control.sock").exists() && !machine.path("metrics.sock").exists());
    let told: Value = serde_json::from_str(&talk(&paths[1], b"status\n")).expect("JSON");
    let origins: Vec<_> =
        told["sockets"].as_array().expect("sockets").iter().map(|socket| &socket["origin"]).collect();
    assert!(origins[0].as_str().is_some_and(|origin| origin.contains("gatepost.env:3")), "{told}");
    assert_eq!(origins[1..], ["socket unit, control", "socket unit, metrics"]);
    assert!(talk(&paths[1], b"reload\n").contains("only tells"));
    assert!(talk(&paths[0], b"reload\n").contains("\"ok\":true"));
    assert_eq!(daemon.stop().0, Some(0));
    assert!(paths[0].exists() && paths[1].exists(), "they are the service manager's");
}

#[test]
fn hostile_peers_cost_nothing() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &[]);
    let daemon = machine.start();
    let socket = machine.path("control.sock");
    let refused = |reply: &str| assert!(reply.contains("\"ok\":false"), "{reply}");
    let long = vec![b'x'; 1 << 20];
    let reply = talk(&socket, &long);
    assert!(reply.is_empty() || reply.contains("at most 1024 octets"), "{reply}");
    for wrong in [
        &b"\n"[..],
        b"STATUS\n",
        b"status metrics\n",
        b"\xff\xfe\n",
        b"cache flush sbl\n",
        b"GET / HTTP/1.1\n",
    ] {
        refused(&talk(&socket, wrong));
    }
    // Far more silent ones than are served at once: all are hung up on, and whoever asks has a reply in the end.
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).expect("room")).collect();
    let start = Instant::now();
    let askers: Vec<_> = (0..100)
        .map(|_| {
            let socket: PathBuf = socket.clone();
            std::thread::spawn(move || talk(&socket, b"status\n"))
        })
        .collect();
    run(async {
        for _ in 0..20 {
            assert_eq!(Phone::dial(daemon.port).await.connect("8.8.0.2").await, "continue");
        }
    });
    assert!(start.elapsed() < Duration::from_secs(20), "mail does not wait for them");
    for asker in askers {
        assert!(asker.join().expect("no panic").contains("\"state\":\"serving\""));
    }
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a deadline");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("it is closed");
        assert!(reply.contains("took too long"), "{reply}");
    }
}

/// One request over HTTP; the connection ends with it.
fn http(port: u16, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a deadline");
    let _ = stream.write_all(request.as_bytes());
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

fn exporter(machine: &Machine) -> Daemon {
    let socket = machine.path("metrics.sock").display().to_string();
    machine.start_as(&["metrics-exporter", "--listen", "inet:0@127.0.0.1", "--metrics-socket", &socket])
}

#[test]
fn the_exporter_serves_the_metrics_and_nothing_else() {
    let (names, key) = (Names::start(), new_key());
    let machine = machine(&names, &key, &[]);
    let daemon = machine.start();
    let exporter = exporter(&machine);
    let get = |path: &str| http(exporter.port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let page = |reply: &str| Page::read(reply.split_once("\r\n\r\n").expect("a head").1);
    let reply = get("/metrics");
    assert!(
        reply.starts_with("HTTP/1.1 200 ") && reply.contains("application/openmetrics-text; version=1.0.0"),
        "{reply}"
    );
    let confined = exporter.with(&["event=confined", "no_new_privs enforced", "dumpable enforced"]);
    assert_eq!(confined.len(), 1, "{:#?}", exporter.lines());
    assert!(!confined[0].contains("landlock off"), "the tests need a kernel with Landlock: {confined:?}");
    let told = page(&reply);
    told.expect("gatepost_up", 1.0);
    told.expect("gatepost_sessions_active", 0.0);
    let head = http(exporter.port, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(get("/").contains("/metrics"));
    for path in ["/status", "/metrics/", "//metrics", "/../etc/passwd"] {
        assert!(get(path).starts_with("HTTP/1.1 404 "), "{path}");
    }
    let posted = http(exporter.port, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    let long = http(exporter.port, &format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000)));
    assert!(!long.starts_with("HTTP/1.1 200 "), "{long}");
    assert!(http(exporter.port, "\0\0\0\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(daemon.stop().0, Some(0));
    // A daemon that is away is a figure, too.
    let reply = get("/metrics");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(page(&reply).names(), ["gatepost_up"].into());
    page(&reply).expect("gatepost_up", 0.0);
    let _daemon = machine.start();
    page(&get("/metrics")).expect("gatepost_up", 1.0);
    let (status, lines) = exporter.stop();
    assert_eq!(status, Some(0), "{lines:#?}");
}

#[test]
fn an_exporter_that_cannot_start_says_why() {
    let machine = Machine::new();
    for (listen, status) in [("unix:/run/x", 64), ("nonsense", 64), ("inet:1@no-such-host.invalid", 69)] {
        let ended = machine.run(&["metrics-exporter", "--listen", listen]);
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}
