//! Access maps in whole sessions: who is let in, refused, deferred, dropped and held, and what the log says of it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gatepost::config::{Config, Problem};
use gatepost::dns::{Answers, Dns, Source};
use gatepost::gate::{Gate, Memory, Tables};
use gatepost::milter::Filter as _;
use gatepost::smtp::{Client, Dialog, Permit, Recipient, Stage, Transaction};
use gatepost::source::Watcher;
use gatepost::verdict::{Decision, Edit, Verdict};
use tempfile::TempDir;

use super::common::log::Log;

mod doors;
mod kinds;

/// Name servers that list 8.8.0.2 in ZEN, and count what they are asked.
#[derive(Default)]
struct Names(Mutex<usize>);

impl Answers for Names {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        *self.0.lock().expect("no panic") += 1;
        if name == "2.0.8.8.zen" { vec![Ipv4Addr::new(127, 0, 0, 4)] } else { Vec::new() }
    }
}

/// A folder with maps.
struct Desk {
    folder: TempDir,
    watcher: Watcher,
    names: Arc<Names>,
}

impl Desk {
    fn new(map: &str) -> Self {
        let desk = Self {
            folder: TempDir::new().expect("a folder"),
            watcher: Watcher::default(),
            names: Arc::default(),
        };
        desk.write("access", map);
        desk
    }

    /// Puts a file in the place of another, as editors do.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (aside, map) = (self.folder.path().join("aside"), self.folder.path().join(name));
        fs::write(&aside, text).expect("a file");
        fs::rename(aside, &map).expect("in its place");
        map
    }

    fn open(&self, toml: &str) -> Result<(Gate, Vec<Problem>), Vec<Problem>> {
        let folder = self.folder.path().display().to_string();
        let toml = toml.replace("text:", &format!("text:{folder}/"));
        let config = Config::from_texts("", &toml).unwrap_or_else(|problems| panic!("{problems}"));
        let names = Arc::<Names>::clone(&self.names);
        let dns = Dns::new((&config).into(), None, Source::Table(names));
        let (tables, notices) = Tables::open(&config, &self.watcher, &[])?;
        Ok((Gate::compile(&config, &tables, dns), notices))
    }

    /// A gate with the map `access`, and these settings of it.
    fn gate(&self, settings: &str) -> Gate {
        let toml = format!("[enforce]\nstage = \"rcpt\"\n[access]\nmap = [\"text:access\"]\n{settings}\n");
        self.open(&toml).unwrap_or_else(|problems| panic!("{problems:#?}")).0
    }

    fn asked(&self) -> usize {
        *self.names.0.lock().expect("no panic")
    }
}

/// One session as far as it has gone.
struct Session<'a> {
    gate: &'a Gate,
    dialog: Dialog,
    memory: Memory,
}

impl<'a> Session<'a> {
    /// Connects, and says HELO. What was said to CONNECT.
    async fn connect(gate: &'a Gate, client: &str, name: &str) -> (Self, String) {
        let client: IpAddr = client.parse().expect("an address");
        let dialog =
            Dialog { client: Client::Ip(client), client_name: name.as_bytes().to_vec(), ..Dialog::default() };
        let mut session = Self { gate, dialog, memory: Memory::default() };
        let said = session.judge(Stage::Connect).await;
        session.dialog.helo = Some(b"mx.example.org".to_vec());
        session.judge(Stage::Helo).await;
        (session, said)
    }

    async fn judge(&mut self, stage: Stage) -> String {
        words(self.gate.judge(stage, &self.dialog, &mut self.memory).await)
    }

    async fn mail(&mut self, sender: &str, login: Option<&str>) -> String {
        self.dialog.end_message();
        if let Some(login) = login {
            self.dialog.macros.store(b'M', format!("{{auth_authen}}\0{login}\0").as_bytes(), 4_096);
        }
        let sender = sender.as_bytes().to_vec();
        self.dialog.transaction = Some(Transaction { sender, ..Transaction::default() });
        self.judge(Stage::Mail).await
    }

    async fn rcpt(&mut self, recipient: &str) -> String {
        let recipient = Recipient { address: recipient.as_bytes().to_vec(), parameters: Vec::new() };
        self.dialog.transaction.as_mut().expect("open").recipients = vec![recipient];
        self.judge(Stage::Rcpt).await
    }

    async fn end(&mut self) -> String {
        self.judge(Stage::Message).await
    }
}

fn words(decision: Decision) -> String {
    let removed: Vec<String> = decision
        .edits
        .iter()
        .map(|edit| match edit {
            Edit::DeleteRecipient(recipient) => format!(" without {recipient}"),
            other => format!(" {other:?}"),
        })
        .collect();
    let said = match decision.verdict {
        Verdict::Continue => "goes on".to_owned(),
        Verdict::Refuse(reply) | Verdict::Defer(reply) => reply.to_string(),
        Verdict::Quarantine(reason) => format!("held: {reason}"),
        other => format!("{other:?}").to_lowercase(),
    };
    said + &removed.concat()
}

/// What a client is told at RCPT in a session with one recipient.
async fn told(gate: &Gate, client: &str, sender: &str, recipient: &str) -> String {
    let (mut session, _) = Session::connect(gate, client, "mx.sender.example").await;
    session.mail(sender, None).await;
    session.rcpt(recipient).await
}

#[tokio::test]
async fn a_client_that_a_map_allows_is_let_in_and_nobody_is_asked_about_it() {
    let desk = Desk::new("# friends\nConnect:8.8.0.2\tOK\n");
    let gate = desk.gate("");
    let (log, _guard) = Log::listen();
    assert_eq!(told(&gate, "8.8.0.2", "<a@sender.example>", "<b@mail.example>").await, "goes on");
    assert_eq!(desk.asked(), 0);
    let map = desk.folder.path().join("access").display().to_string();
    let because = format!("connect:8.8.0.2 in {map}:2");
    let spared = log.with(&["action=spared", "rule=access", &because, "stage=connect"]);
    assert_eq!(spared.len(), 1, "{:#?}", log.lines());
    let other = desk.gate("mode = \"shadow\"");
    let refused = told(&other, "8.8.0.2", "<a@sender.example>", "<b@mail.example>").await;
    assert!(refused.starts_with("554 5.7.1 ") && desk.asked() > 0, "{refused}");
    assert_eq!(log.with(&["action=would-spare", "rule=access", &because, "stage=mail"]).len(), 1);
}

#[tokio::test]
async fn a_denial_is_spoken_for_each_recipient_in_the_words_of_the_map() {
    let desk = Desk::new(
        "To:closed.example ERROR:5.1.1:550 nobody here 100%\nTo:later.example TEMPFAIL\nFrom:bad.example REJECT\n",
    );
    let gate = desk.gate("reply = \"550 5.7.1 {sender} from {ip} is not welcome at {stage}\"");
    let (log, _guard) = Log::listen();
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    assert_eq!(session.mail("<x@good.example>", None).await, "goes on");
    assert_eq!(session.rcpt("<a@closed.example>").await, "550 5.1.1 nobody here 100%");
    assert_eq!(
        session.rcpt("<a@later.example>").await,
        "450 4.7.1 x@good.example from 192.0.2.1 is not welcome at rcpt"
    );
    assert_eq!(session.rcpt("<a@open.example>").await, "goes on");
    assert_eq!(session.mail("<x@bad.example>", None).await, "goes on", "it waits for the recipient");
    assert_eq!(
        session.rcpt("<a@open.example>").await,
        "550 5.7.1 x@bad.example from 192.0.2.1 is not welcome at rcpt"
    );
    let lines = log.with(&["action=reject", "stage=rcpt", "rule=access", "reason=rule"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("because=to:closed.example in ") && lines[0].contains("access:1"), "{lines:?}");
    assert!(lines[1].contains("from:bad.example in "), "{lines:?}");
    let built_in = desk.gate("");
    assert_eq!(
        told(&built_in, "192.0.2.1", "<x@bad.example>", "<a@b.example>").await,
        "550 5.7.1 Access denied"
    );
    let later = told(&built_in, "192.0.2.1", "<x@y.example>", "<a@later.example>").await;
    assert_eq!(later, "451 4.7.1 Access denied for now, try again later");
}

#[tokio::test]
async fn without_delay_a_denial_is_spoken_where_it_arises_whatever_the_stage_of_the_lists() {
    let desk =
        Desk::new("Connect:192.0.2 REJECT go away\nFrom:bad.example 450 later\nSpam:friend.example FRIEND\n");
    let gate = desk.gate("delay = \"none\"");
    let (_, said) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    assert_eq!(said, "550 5.7.1 go away");
    let (mut session, said) = Session::connect(&gate, "198.51.100.1", "unknown").await;
    assert_eq!(
        (said.as_str(), &*session.mail("<x@bad.example>", None).await),
        ("goes on", "450 4.7.1 later")
    );
}

#[tokio::test]
async fn a_friend_lifts_the_denial_of_client_and_sender_for_itself_alone() {
    let desk = Desk::new("Connect:192.0.2 REJECT\nSpam:friend.example FRIEND\nTo:closed.example REJECT\n");
    let gate = desk.gate("");
    let (mut session, said) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    assert_eq!(said, "goes on");
    session.mail("<x@y.example>", None).await;
    assert_eq!(session.rcpt("<a@friend.example>").await, "goes on");
    assert_eq!(session.rcpt("<a@other.example>").await, "550 5.7.1 Access denied");
    assert_eq!(session.rcpt("<postmaster@other.example>").await, "goes on", "an exempt recipient");
    assert_eq!(session.rcpt("<abuse@closed.example>").await, "550 5.7.1 Access denied", "its own key holds");
}

#[tokio::test]
async fn an_allowed_recipient_is_let_in_from_a_listed_client_and_others_are_not() {
    let desk = Desk::new("To:open.example OK\nSpam:hater@open.example HATER\n");
    let listed = |said: &str| said.starts_with("554 5.7.1 ");
    for (settings, later) in [("", true), ("exempt = \"any\"", false)] {
        let gate = desk.gate(settings);
        let (mut session, _) = Session::connect(&gate, "8.8.0.2", "unknown").await;
        session.mail("<x@y.example>", None).await;
        assert!(listed(&session.rcpt("<first@other.example>").await));
        assert_eq!(session.rcpt("<a@open.example>").await, "goes on");
        assert_eq!(listed(&session.rcpt("<later@other.example>").await), later, "{settings}");
        assert!(listed(&session.rcpt("<hater@open.example>").await), "{settings}");
    }
}

#[tokio::test]
async fn a_friend_whom_a_list_knows_hears_what_the_map_says_of_the_recipient_and_not_what_the_list_says() {
    let desk = Desk::new(
        "Connect:8.8.0.2 OK\nTo:later.example TEMPFAIL\nTo:closed.example REJECT\nTo:hole.example DISCARD\n\
         To:look.example QUARANTINE\nFrom:slow.example TEMPFAIL\nSpam:hater@later.example HATER\n",
    );
    let (later, closed) = ("451 4.7.1 Access denied for now, try again later", "550 5.7.1 Access denied");
    for stage in ["rcpt", "mail"] {
        let toml = format!("[enforce]\nstage = \"{stage}\"\n[access]\nmap = [\"text:access\"]\n");
        let (gate, _) = desk.open(&toml).expect("a gate");
        for (sender, recipient, said) in [
            ("<a@b.example>", "<c@later.example>", later),
            ("<a@b.example>", "<c@closed.example>", closed),
            ("<a@b.example>", "<c@hole.example>", "goes on"),
            ("<a@slow.example>", "<c@d.example>", later),
            ("<a@slow.example>", "<postmaster@d.example>", "goes on"),
        ] {
            assert_eq!(told(&gate, "8.8.0.2", sender, recipient).await, said, "{stage} {sender} {recipient}");
        }
        for recipient in ["<c@look.example>", "<hater@later.example>"] {
            let said = told(&gate, "8.8.0.2", "<a@b.example>", recipient).await;
            assert!(said.starts_with("554 5.7.1 "), "it wants the checks: {recipient} {said}");
        }
    }
    let gate = desk.gate("");
    let strange = told(&gate, "192.0.2.1", "<a@b.example>", "<c@later.example>").await;
    assert_eq!(strange, later, "whom no list knows");
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    session.mail("<a@slow.example>", None).await;
    assert_eq!(session.rcpt("<c@d.example>").await, later);
}

#[tokio::test]
async fn a_reason_of_a_quarantine_is_cut_and_its_author_is_told_so() {
    let desk =
        Desk::new(&format!("From:look.example QUARANTINE:{}\nFrom:a*@b.example OK\n", "x".repeat(60_000)));
    let (gate, notices) = desk.open("[access]\nmap = [\"text:access\"]\n").expect("a gate");
    let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|line| line.contains("access:1") && line.contains("a reason of 60000 octets")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains("access:2") && line.contains("a key is no pattern")),
        "{told:?}"
    );
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    session.mail("<x@look.example>", None).await;
    session.rcpt("<a@b.example>").await;
    let held = session.end().await;
    assert!(held.starts_with("held: gatepost: access: xxx") && held.len() < 500, "{} {held:.80}", held.len());
}

#[tokio::test]
async fn messages_are_dropped_and_held_at_their_end() {
    let desk = Desk::new(
        "Connect:203.0.113 DISCARD\nFrom:gone.example DISCARD\nFrom:look.example QUARANTINE:look at it\n\
         From:hold.example HOLD\nTo:hole.example DISCARD\n",
    );
    let gate = desk.gate("");
    let needs = gate.needs();
    assert!(needs.permits.contains(Permit::Quarantine) && needs.permits.contains(Permit::DeleteRecipient));
    let (log, _guard) = Log::listen();
    for (sender, end) in [
        ("<x@gone.example>", "discard"),
        ("<x@look.example>", "held: gatepost: access: look at it"),
        ("<x@hold.example>", "held: gatepost: access"),
        ("<x@fine.example>", "goes on"),
    ] {
        let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
        assert_eq!(session.mail(sender, None).await, "goes on");
        assert_eq!(session.rcpt("<a@b.example>").await, "goes on");
        assert_eq!(session.rcpt("<c@b.example>").await, "goes on");
        assert_eq!(session.end().await, end, "{sender}");
    }
    assert_eq!(log.with(&["action=discard", "rule=access", "stage=mail"]).len(), 1, "told once");
    assert_eq!(log.with(&["action=quarantine", "rule=access"]).len(), 2);
    let (mut session, said) = Session::connect(&gate, "203.0.113.1", "unknown").await;
    assert_eq!(said, "goes on", "there is nothing yet to drop");
    session.mail("<x@fine.example>", None).await;
    session.rcpt("<a@b.example>").await;
    assert_eq!(session.end().await, "discard");
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    session.mail("<x@fine.example>", None).await;
    session.rcpt("<a@hole.example>").await;
    session.rcpt("<a@b.example>").await;
    assert_eq!(session.end().await, "goes on without <a@hole.example>");
    // More than can be taken off one message are refused: they must not get it with the others.
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    session.mail("<x@fine.example>", None).await;
    for n in 0..1_000 {
        assert_eq!(session.rcpt(&format!("<{n}@hole.example>")).await, "goes on");
    }
    assert_eq!(session.rcpt("<one-more@hole.example>").await, "550 5.7.1 Access denied");
}

#[tokio::test]
async fn a_login_is_trusted_unless_the_maps_say_something_else() {
    let desk = Desk::new("Auth:mallory REJECT\nAuth:guest SKIP\nFrom:bad.example REJECT\n");
    desk.write("second", "Auth:eve REJECT\n");
    let toml = "[enforce]\nstage = \"rcpt\"\n[access]\nmap = [\"text:access\", \"text:second\"]\n";
    let (trusting, _) = desk.open(toml).expect("a gate");
    let (ignoring, _) = desk.open(&format!("{toml}logins = \"ignore\"\n")).expect("a gate");
    for (login, trusted, ignored) in [
        (Some("alice"), "goes on", "550 5.7.1 Access denied"),
        (Some("guest"), "550 5.7.1 Access denied", "550 5.7.1 Access denied"),
        (Some("mallory"), "550 5.7.1 Access denied", "550 5.7.1 Access denied"),
        (Some("eve"), "550 5.7.1 Access denied", "550 5.7.1 Access denied"),
        (None, "550 5.7.1 Access denied", "550 5.7.1 Access denied"),
    ] {
        for (gate, expected) in [(&trusting, trusted), (&ignoring, ignored)] {
            let (mut session, _) = Session::connect(gate, "192.0.2.1", "unknown").await;
            session.mail("<x@bad.example>", login).await;
            assert_eq!(session.rcpt("<a@b.example>").await, expected, "{login:?}");
        }
    }
}

#[tokio::test]
async fn maps_are_asked_in_their_order_until_one_says_something() {
    let desk = Desk::new("Connect:192.0.2 SKIP\nConnect:198.51.100 OK\n");
    desk.write("second", "192.0.2\tREJECT\n198.51.100\tREJECT\n203.0.113 DUNNO\n");
    let toml = "[access]\nmap = [\"text:access\", \"text:second\"]\n";
    let (gate, _) = desk.open(toml).expect("a gate");
    for (client, refused) in [("192.0.2.1", true), ("198.51.100.1", false), ("203.0.113.1", false)] {
        let said = told(&gate, client, "<a@b.example>", "<c@d.example>").await;
        assert_eq!(said == "550 5.7.1 Access denied", refused, "{client}: {said}");
    }
}

#[tokio::test]
async fn postfix_maps_are_read_in_their_own_language() {
    let desk = Desk::new(
        "192.0.2\t554 5.7.1 no\n  thanks\nbad.example HOLD see below\n<> REJECT\nuser@ 450 4.2.1 later\n",
    );
    let gate = desk.gate("syntax = \"postfix\"");
    assert_eq!(told(&gate, "192.0.2.1", "<a@b.example>", "<c@d.example>").await, "554 5.7.1 no thanks");
    assert_eq!(told(&gate, "198.51.100.1", "<>", "<c@d.example>").await, "550 5.7.1 Access denied");
    assert_eq!(told(&gate, "198.51.100.1", "<a@b.example>", "<User@d.example>").await, "450 4.2.1 later");
}

#[tokio::test]
async fn clients_on_this_host_are_searched_only_if_somebody_wants_it() {
    let desk = Desk::new("Connect:127 REJECT\n");
    for (settings, said) in [("", "goes on"), ("loopback = \"search\"", "550 5.7.1 Access denied")] {
        assert_eq!(told(&desk.gate(settings), "127.0.0.1", "<a@b.example>", "<c@d.example>").await, said);
    }
    let toml = "trusted_networks = [\"192.0.2.0/24\"]\n[access]\nmap = [\"text:access\"]\n";
    desk.write("access", "Connect:192.0.2 REJECT\n");
    let (gate, _) = desk.open(toml).expect("a gate");
    assert_eq!(told(&gate, "192.0.2.1", "<a@b.example>", "<c@d.example>").await, "goes on", "trusted");
}

#[tokio::test]
async fn a_new_file_in_the_place_of_the_map_counts_and_a_broken_one_does_not() {
    let desk = Desk::new("Connect:192.0.2 REJECT one\n");
    let gate = desk.gate("");
    let said = async || told(&gate, "192.0.2.1", "<a@b.example>", "<c@d.example>").await;
    assert_eq!(said().await, "550 5.7.1 one");
    desk.write("access", "Connect:192.0.2 REJECT two\n");
    desk.watcher.refresh();
    assert_eq!(said().await, "550 5.7.1 two");
    let (log, _guard) = Log::listen();
    desk.write("access", "Connect:192.0.2 OK\n Connect:indented OK\nConnect:198.51.100 MAYBE\n");
    desk.watcher.refresh();
    assert_eq!(said().await, "550 5.7.1 two", "what was read before stays");
    let lines = log.with(&["event=source", "line=2", "more=1"]);
    assert_eq!(lines.len(), 1, "{:?}", log.lines());
    desk.write("access", "Connect:192.0.2 OK\n");
    desk.watcher.refresh();
    assert_eq!(said().await, "goes on");
}

#[test]
fn every_line_with_a_mistake_is_a_problem_of_the_configuration() {
    let desk = Desk::new("Connect:192.0.2 OK\nConnect:198.51.100 MAYBE\n indented OK\nConnect:192.0.2 OK\n");
    let toml = "[access]\nmap = [\"text:access\", \"text:missing\"]\n";
    let problems = desk.open(toml).err().expect("problems");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("access:2: access.map: MAYBE is no action"), "{told:#?}");
    assert!(told[1].contains("access:3: access.map: ") && told[2].contains("missing"), "{told:#?}");
    desk.write("access", "Connect:192.0.2 OK\nConnect:192.0.2 REJECT\n");
    let (_, notices) = desk.open("[access]\nmap = [\"text:access\"]\n").expect("a gate");
    assert!(
        notices[0].to_string().contains("has an entry in line 1 already; line 2 is taken"),
        "{notices:?}"
    );
}

#[test]
fn friends_whom_lists_do_not_wait_for_are_told() {
    let desk = Desk::new("Spam:postmaster@ FRIEND\n");
    let map = "[access]\nmap = [\"text:access\"]\n";
    for (stage, told) in [("connect", 1), ("mail", 1), ("rcpt", 0)] {
        let (_, notices) = desk.open(&format!("[enforce]\nstage = \"{stage}\"\n{map}")).expect("a gate");
        assert_eq!(notices.len(), told, "{stage}: {notices:?}");
    }
}

#[test]
fn a_map_that_the_sandbox_keeps_from_the_process_is_told_with_the_restart() {
    let desk = Desk::new("Connect:192.0.2 OK\n");
    let map = desk.folder.path().join("access").display().to_string();
    let config =
        Config::from_texts("", &format!("[access]\nmap = [\"text:{map}\"]\n")).expect("a configuration");
    assert_eq!(config.files, [PathBuf::from(&map)], "what the sandbox opens at a start");
    let elsewhere = TempDir::new().expect("a folder");
    let problems =
        Tables::open(&config, &desk.watcher, &[elsewhere.path().to_owned()]).expect_err("out of reach");
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    assert!(problem.setting == "access.map" && problem.remedy.contains("restart"), "{problem}");
}

#[tokio::test]
async fn what_was_said_goes_with_a_session_into_another_process() {
    let desk = Desk::new("Connect:192.0.2 REJECT by the old map\nFrom:hole.example DISCARD\n");
    let gate = desk.gate("");
    let (mut session, _) = Session::connect(&gate, "192.0.2.1", "unknown").await;
    session.mail("<x@y.example>", None).await;
    desk.write("access", "Connect:198.51.100 OK\n");
    desk.watcher.refresh();
    let next = desk.gate("");
    let stored = serde_json::to_string(&session.memory).expect("stored");
    let memory = serde_json::from_str(&stored).expect("restored");
    let mut there = Session { gate: &next, dialog: session.dialog.clone(), memory };
    assert_eq!(there.rcpt("<a@b.example>").await, "550 5.7.1 by the old map");
    // A process without maps has stored nothing of them.
    let mut fresh = Session { gate: &next, dialog: session.dialog, memory: Memory::default() };
    desk.write("access", "Connect:192.0.2 REJECT by the new map\n");
    desk.watcher.refresh();
    assert_eq!(fresh.rcpt("<a@b.example>").await, "550 5.7.1 by the new map");
    assert_eq!(serde_json::to_value(Memory::default()).expect("stored").get("access"), None);
}

#[tokio::test]
async fn nothing_that_a_client_types_forges_a_line_of_the_log() {
    let desk = Desk::new("gatepost-from: REJECT\ngatepost-to: OK\n");
    let gate = desk.gate("");
    let (log, _guard) = Log::listen();
    for sender in ["<a\u{1}b@x\nINFO event=verdict>", "<\"a\nb\"@y.example>", "<caf\u{e9}@\u{202e}.example>"]
    {
        told(&gate, "192.0.2.1", sender, "<a\nb@c.example>").await;
    }
    assert!(log.lines().iter().all(|line| !line.contains('\n')), "{:?}", log.lines());
    let endless = format!("<{}@{}>", "a".repeat(10_000), "b.".repeat(5_000));
    assert_eq!(told(&gate, "192.0.2.1", &endless, "<a@c.example>").await, "goes on");
}
