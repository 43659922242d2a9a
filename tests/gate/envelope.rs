//! Who may write to whom, as sessions meet it.

use std::fs;

use gatepost::config::{Config, Problem};
use gatepost::dns::{Dns, Source};
use gatepost::gate::{Gate, Memory, Meters, Tables, expect};
use gatepost::milter::Filter as _;
use gatepost::smtp::{Client, Dialog, Recipient, Stage, Transaction};
use gatepost::source::Watcher;
use gatepost::verdict::Verdict;
use tempfile::TempDir;

use super::common::log::Log;

/// Nothing is asked in DNS.
pub(super) const ALONE: &str = "local_domains = [\"own.example\"]\n[zen]\nenable = false\n[dbl]\nenable = false\n[zrd]\nenable = false\n";

/// What stands before all tables of a configuration that only looks on.
const OBSERVED: &str = "observe = true\n";

/// A configuration with a folder for member files.
pub(super) struct Desk {
    folder: TempDir,
    watcher: Watcher,
    meters: Meters,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
            watcher: Watcher::default(),
            meters: Meters::default(),
        }
    }

    /// Puts a member file in its place, as careful programs do.
    pub(super) fn write(&self, name: &str, text: &str) {
        let aside = self.folder.path().join("aside");
        fs::write(&aside, text).expect("a file");
        fs::rename(aside, self.folder.path().join(name)).expect("in its place");
        self.watcher.refresh();
    }

    /// A gate with these tables; `DIR` in them is the folder.
    fn opened(&self, toml: &str) -> (Gate, Vec<Problem>) {
        let (head, toml) = toml.strip_prefix(OBSERVED).map_or(("", toml), |toml| (OBSERVED, toml));
        let toml = format!("{head}{ALONE}{}", toml.replace("DIR", &self.folder.path().display().to_string()));
        let config = Config::from_texts("", &toml).unwrap_or_else(|problems| panic!("{problems}"));
        let dns = Dns::new((&config).into(), None, Source::Table(expect::answers(&[])));
        let (tables, notices) =
            Tables::open(&config, &self.watcher, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
        (Gate::compile(&config, &tables, dns).metering(&self.meters), notices)
    }

    /// One that only looks on.
    pub(super) fn observing(&self, toml: &str) -> Gate {
        self.gate(&format!("{OBSERVED}{toml}"))
    }

    pub(super) fn gate(&self, toml: &str) -> Gate {
        let (gate, notices) = self.opened(toml);
        assert_eq!(notices, []);
        gate
    }
}

/// A session with a gate.
pub(super) struct Session<'a> {
    gate: &'a Gate,
    dialog: Dialog,
    pub(super) memory: Memory,
}

impl<'a> Session<'a> {
    pub(super) async fn of(gate: &'a Gate, client: Client) -> (Self, String) {
        let mut session =
            Self { gate, dialog: Dialog { client, ..Dialog::default() }, memory: Memory::default() };
        let said = session.judge(Stage::Connect).await;
        (session, said)
    }

    pub(super) async fn from(gate: &'a Gate, client: &str) -> Self {
        let client = Client::Ip(client.parse().expect("an address"));
        let (session, said) = Self::of(gate, client).await;
        assert_eq!(said, "Continue");
        session
    }

    /// The same session in a process with another gate.
    pub(super) fn handed_to(self, gate: &Gate) -> Session<'_> {
        let stored = serde_json::to_string(&self.memory).expect("json");
        Session { gate, dialog: self.dialog, memory: serde_json::from_str(&stored).expect("back") }
    }

    pub(super) async fn judge(&mut self, stage: Stage) -> String {
        match self.gate.judge(stage, &self.dialog, &mut self.memory).await.verdict {
            Verdict::Refuse(reply) | Verdict::Defer(reply) => reply.to_string(),
            other => format!("{other:?}"),
        }
    }

    pub(super) async fn mail(&mut self, arguments: &[&str]) -> String {
        let octets = |text: &&str| text.as_bytes().to_vec();
        self.dialog.transaction = Some(Transaction {
            sender: octets(&arguments[0]),
            parameters: arguments[1..].iter().map(octets).collect(),
            recipients: Vec::new(),
        });
        self.judge(Stage::Mail).await
    }

    pub(super) async fn login(&mut self, sender: &str) -> String {
        self.dialog.macros.store(b'M', b"{auth_authen}\0bob\0", 1_000);
        self.mail(&[sender]).await
    }

    pub(super) async fn rcpt(&mut self, recipient: &str) -> String {
        self.rcpt_octets(recipient.as_bytes()).await
    }

    async fn rcpt_octets(&mut self, recipient: &[u8]) -> String {
        let recipient = Recipient { address: recipient.to_vec(), parameters: Vec::new() };
        self.dialog.transaction.get_or_insert_default().recipients = vec![recipient];
        self.judge(Stage::Rcpt).await
    }
}

/// What a message from this sender to this recipient hears.
async fn sent(gate: &Gate, sender: &str, recipient: &str) -> String {
    let mut session = Session::from(gate, "192.0.2.7").await;
    assert_eq!(session.mail(&[sender]).await, "Continue");
    session.rcpt(recipient).await
}

pub(super) const LIST: &str = "[[recipient]]\nname = \"announce\"\nrecipients = [\"<Announce@Lists.Example.ORG\"]\n\
                    senders = [\"Alice@Example.org\", \"@local\"]\n\
                    reply = \"550 5.7.1 only members may post to {recipient}, not {sender}\"\n";

// T58, T60, T65
#[tokio::test]
async fn an_unauthorised_sender_is_refused_and_the_other_recipients_get_the_mail() {
    let gate = Desk::new().gate(LIST);
    let (log, _guard) = Log::listen();
    let mut session = Session::from(&gate, "192.0.2.7").await;
    assert_eq!(session.mail(&["<mallory@evil.example>"]).await, "Continue");
    let refused = "550 5.7.1 only members may post to announce@lists.example.org, not mallory@evil.example";
    for (recipient, said) in [
        ("<bob@own.example>", "Continue"),
        ("<announce@lists.example.org>", refused),
        ("<carol@own.example>", "Continue"),
        ("ANNOUNCE@LISTS.EXAMPLE.ORG", refused),
    ] {
        assert_eq!(session.rcpt(recipient).await, said, "{recipient}");
    }
    assert_eq!(session.judge(Stage::Message).await, "Continue");
    let told = log.with(&["action=reject", "rule=recipient-announce", "stage=rcpt"]);
    assert_eq!(told.len(), 2, "{:#?}", log.lines());
    assert!(told[0].contains("because=sender is not among those who may write"), "{}", told[0]);
    for sender in ["<alice@example.org>", "<ALICE+x@EXAMPLE.org>", "<x@sub.own.example>"] {
        assert_eq!(sent(&gate, sender, "<announce@lists.example.org>").await, "Continue", "{sender}");
    }
}

#[tokio::test]
async fn the_delimiters_of_access_maps_hold_for_recipient_policies_too() {
    let gate = Desk::new().gate(&format!("[access]\ndetail = \"-\"\n{LIST}"));
    for recipient in ["<announce-x@lists.example.org>", "<announce@lists.example.org>"] {
        assert!(sent(&gate, "<mallory@evil.example>", recipient).await.starts_with("550 5.7.1 only members"));
    }
    assert_eq!(sent(&gate, "<mallory@evil.example>", "<announce+x@lists.example.org>").await, "Continue");
    assert_eq!(sent(&gate, "<alice-x@example.org>", "<announce@lists.example.org>").await, "Continue");
}

// T59
#[tokio::test]
async fn a_missing_bracket_changes_nothing() {
    let gate = Desk::new().gate(LIST);
    for recipient in
        ["<announce@lists.example.org", "announce@lists.example.org>", "announce@lists.example.org"]
    {
        assert!(
            sent(&gate, "<x@evil.example>", recipient).await.starts_with("550 5.7.1 only"),
            "{recipient}"
        );
        for sender in ["alice@example.org", "<alice@example.org", "alice@example.org>"] {
            assert_eq!(sent(&gate, sender, recipient).await, "Continue", "{sender} {recipient}");
        }
    }
}

// T61
#[tokio::test]
async fn a_member_file_is_honoured_as_it_is_now_and_defers_while_it_is_missing() {
    let desk = Desk::new();
    let toml = "[[recipient]]\nname = \"l\"\nrecipients = [\"l@own.example\"]\nsenders = [\"file:DIR/members\", \"boss@own.example\"]\n";
    let (gate, notices) = desk.opened(toml);
    assert!(notices[0].to_string().contains("members: recipient.senders: cannot be read"), "{}", notices[0]);
    let deferred = "451 4.7.1 Who may write to l@own.example cannot be told now, try again later";
    let refused = "550 5.7.1 x@a.example may not write to l@own.example";
    let (log, _guard) = Log::listen();
    assert_eq!(sent(&gate, "<x@a.example>", "<l@own.example>").await, deferred);
    assert_eq!(sent(&gate, "<boss@own.example>", "<l@own.example>").await, "Continue");
    let told = log.with(&["action=tempfail", "rule=recipient-l"]);
    assert!(told[0].contains("members cannot be used"), "{}", told[0]);
    for (text, said) in [
        ("# nobody\n", refused),
        ("X <x@a.example>\n", "Continue"),
        ("y@a.example\n", refused),
        ("", refused),
        ("no\0text", deferred),
        ("y@a.example\nX@A.example\n", "Continue"),
    ] {
        desk.write("members", text);
        assert_eq!(sent(&gate, "<x@a.example>", "<l@own.example>").await, said, "{text:?}");
    }
    fs::remove_file(desk.folder.path().join("members")).expect("it was there");
    desk.watcher.refresh();
    assert_eq!(sent(&gate, "<x@a.example>", "<l@own.example>").await, deferred);
    assert!(!log.with(&["event=source", "on_trouble says"]).is_empty(), "{:#?}", log.lines());
    let lenient = desk.opened(&format!("{toml}on_trouble = \"accept\"\n")).0;
    assert_eq!(sent(&lenient, "<x@a.example>", "<l@own.example>").await, "Continue");
    assert_eq!(log.with(&["action=log", "rule=recipient-l"]).len(), 1, "{:#?}", log.lines());
}

// T62
#[tokio::test]
async fn bounces_reach_a_protected_recipient_only_if_the_null_sender_is_named() {
    let gate = Desk::new().gate(&format!(
        "{LIST}[[recipient]]\nname = \"b\"\nrecipients = [\"bounces@own.example\"]\nsenders = [\"<>\"]\n"
    ));
    for sender in ["<>", ""] {
        let said = sent(&gate, sender, "<announce@lists.example.org>").await;
        assert_eq!(said, "550 5.7.1 only members may post to announce@lists.example.org, not <>");
        assert_eq!(sent(&gate, sender, "<bounces@own.example>").await, "Continue");
    }
    let said = sent(&gate, "<x@a.example>", "<bounces@own.example>").await;
    assert_eq!(said, "550 5.7.1 x@a.example may not write to bounces@own.example");
}

// T63
#[tokio::test]
async fn the_most_particular_policy_decides() {
    let policy = |name: &str, recipient: &str| {
        format!(
            "[[recipient]]\nname = \"{name}\"\nrecipients = [\"{recipient}\"]\nsenders = []\nreply = \"550 5.7.1 {name}\"\n"
        )
    };
    let gate = Desk::new().gate(
        &(policy("suffix", ".own.example")
            + &policy("domain", "@own.example")
            + &policy("wide", "*@own.example")
            + &policy("narrow", "*-announce@own.example")
            + &policy("exact", "a-announce@own.example")),
    );
    for (recipient, by) in [
        ("<a-announce@own.example>", "exact"),
        ("<a-announce+x@own.example>", "exact"),
        ("<b-announce@own.example>", "narrow"),
        ("<b@own.example>", "wide"),
        ("<b@sub.own.example>", "suffix"),
    ] {
        assert_eq!(sent(&gate, "<x@a.example>", recipient).await, format!("550 5.7.1 {by}"), "{recipient}");
    }
    assert_eq!(sent(&gate, "<x@a.example>", "<b@other.example>").await, "Continue");
    // Whoever is refused must be able to ask why, unless that very address has a policy.
    assert_eq!(sent(&gate, "<x@a.example>", "<postmaster@own.example>").await, "Continue");
    let gate = Desk::new().gate(&policy("own", "abuse@own.example"));
    assert_eq!(sent(&gate, "<x@a.example>", "<abuse@own.example>").await, "550 5.7.1 own");
}

// T64
#[tokio::test]
async fn a_recipient_without_a_sender_is_one_of_the_null_sender() {
    let gate = Desk::new().gate(LIST);
    let mut session = Session::from(&gate, "192.0.2.7").await;
    assert!(session.rcpt("<announce@lists.example.org>").await.starts_with("550 5.7.1 only members"));
    assert_eq!(session.rcpt("<bob@own.example>").await, "Continue");
    session.dialog.transaction = None;
    assert_eq!(session.judge(Stage::Rcpt).await, "Continue");
}

// T56
#[tokio::test]
async fn a_reply_with_percent_signs_and_foreign_letters_is_legal() {
    let policy = LIST
        .replace("<Announce@Lists.Example.ORG", "@own.example")
        .replace("only members", "100%d %s members");
    let gate = Desk::new().gate(&policy);
    let mut session = Session::from(&gate, "192.0.2.7").await;
    session.mail(&["<m%s\u{fc}ller@evil.example>"]).await;
    let said = session.rcpt_octets(b"<caf\xe9%n\r\n250@own.example>").await;
    assert_eq!(
        said,
        "550 5.7.1 100%d %s members may post to caf?%n250@own.example, not m%s?ller@evil.example"
    );
}

#[tokio::test]
async fn mail_of_this_host_is_never_refused_for_its_recipient() {
    let gate = Desk::new().gate(LIST);
    let (log, _guard) = Log::listen();
    let local = [Client::Local, Client::Unknown, Client::Ip([127, 0, 0, 1].into())];
    for client in local {
        let (mut session, said) = Session::of(&gate, client).await;
        assert_eq!(said, "Continue");
        assert_eq!(session.mail(&["<mallory@evil.example>"]).await, "Continue");
        assert_eq!(session.rcpt("<announce@lists.example.org>").await, "Continue", "{client}");
    }
    let told = log.with(&["action=log", "rule=recipient-announce", "let in, for it"]);
    assert_eq!(told.len(), local.len(), "{:#?}", log.lines());
}

#[tokio::test]
async fn a_policy_in_shadow_and_a_login_do_what_they_say() {
    let gate = Desk::new().gate(&format!("{LIST}mode = \"shadow\"\n"));
    let (log, _guard) = Log::listen();
    assert_eq!(sent(&gate, "<x@a.example>", "<announce@lists.example.org>").await, "Continue");
    assert_eq!(log.with(&["action=would-reject", "rule=recipient-announce"]).len(), 1, "{:#?}", log.lines());
    for (logins, without, with) in
        [("senders", "550", "550"), ("allow", "550", "Cont"), ("require", "550", "550")]
    {
        let gate = Desk::new().gate(&format!("{LIST}logins = \"{logins}\"\n"));
        let said = sent(&gate, "<x@a.example>", "<announce@lists.example.org>").await;
        assert!(said.starts_with(without), "{logins} {said}");
        let mut session = Session::from(&gate, "192.0.2.7").await;
        session.login("<x@a.example>").await;
        let said = session.rcpt("<announce@lists.example.org>").await;
        assert!(said.starts_with(with), "{logins} {said}");
    }
}

#[test]
fn what_is_wrong_with_the_tables_is_told_all_at_once() {
    let toml = "[zen]\nenable = false\n\
        [[recipient]]\nname = \"a\"\nrecipients = [\"list\", \"l@x y\", \"ok@own.example\"]\nsenders = [\"@local\", \"file:members\", \"a b\"]\n\
        [[recipient]]\nname = \"b\"\nrecipients = [\"OK@Own.example.\"]\n\
        [[recipient]]\nname = \"c\"\nsenders = []\nreply = \"450 4.7.1 no\"\n\
        [syntax]\nreject = [\"dot\"]\n\
        [[limit]]\nname = \"l\"\nper = \"sender\"\nof = \"connections\"\nmost = 5\n\
        [[limit]]\nname = \"w\"\nper = \"Client\"\nmost = 5\nwithin = \"1h\"\n\
        [[limit]]\nname = \"n\"\nmost = 5\nwithin = \"1h\"\n\
        [[limit]]\nname = \"m\"\nper = \"message\"\nwithin = \"1h\"\nmost = 0\n\
        [[rule]]\nname = \"limit-x\"\nlist = \"dbl\"\naction = \"tag\"\n";
    let problems = Config::from_texts("", toml).expect_err("much is wrong").to_string();
    for told in [
        "recipient.a.recipients: list would protect nobody",
        "recipient.a.recipients: \"l@x y\" would protect nobody",
        "@local stands for nobody",
        "recipient.a.senders: the value is no absolute path",
        "recipient.a.senders: \"a b\" is no sender",
        "has a policy already, a",
        "recipient.b.senders: it does not say who may write",
        "recipient.c.recipients: it names no recipient",
        "recipient.c.reply: a reply that begins with 4 does not reject",
        "syntax.reject",
        "limit.l.of: who the sender is",
        "limit.l.within: it does not say",
        "limit.w.per: ",
        "limit.n.per: it does not say for whom",
        "limit.n.of: it does not say what",
        "limit.m.within: what is counted in a message takes no time",
        "limit.m.most: nothing would come in at all",
        "rule.limit-x",
    ] {
        assert!(problems.contains(told), "{told} is missing in\n{problems}");
    }
    assert_eq!(problems.matches("limit.w.").count(), 1, "one mistake is told once:\n{problems}");
}

#[tokio::test]
async fn nothing_is_negotiated_for_tables_that_are_not_there() {
    let desk = Desk::new();
    let needs = |toml: &str| desk.gate(toml).needs();
    let none = needs("");
    assert!(!none.events.contains(gatepost::smtp::Event::Rcpt));
    for toml in
        [LIST, "[syntax]\nreject = [\"dots\"]\n", "[[limit]]\nname = \"a\"\nper = \"message\"\nmost = 5\n"]
    {
        assert!(needs(toml).events.contains(gatepost::smtp::Event::Rcpt), "{toml}");
    }
    assert!(desk.gate(LIST).judges_recipients());
    let kept = |toml: &str| needs(toml).kept.contains(gatepost::smtp::Part::Parameters);
    assert!(kept("[syntax]\nreject = [\"smtputf8\"]\n") && !kept(LIST));
}
