//! Lists in files, in the same rules as those in DNS.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gatepost::config::Config;
use gatepost::dns::{Answers, Dns, Source};
use gatepost::gate::{Gate, Memory, Tables};
use gatepost::milter::Filter as _;
use gatepost::smtp::{Client, Dialog, Recipient, Stage, Transaction};
use gatepost::source::Watcher;
use gatepost::verdict::{Finding, Origin, Outcome, Verdict};
use tempfile::TempDir;

use super::common::log::Log;

/// Name servers that list one address, and note what they are asked.
#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Answers for Names {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        self.0.lock().expect("no panic").push(name.to_owned());
        if name == "2.0.8.8.zen" { vec![Ipv4Addr::new(127, 0, 0, 4)] } else { Vec::new() }
    }
}

/// A folder with the file of a list, and the gate that knows it.
struct Desk {
    folder: TempDir,
    watcher: Watcher,
    names: Arc<Names>,
}

/// What came of a session, and what was found.
struct Outcomes {
    said: String,
    findings: Vec<Finding>,
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder"), watcher: Watcher::default(), names: Arc::default() }
    }

    fn write(&self, text: &str) -> PathBuf {
        let (aside, list) = (self.folder.path().join("aside"), self.folder.path().join("list"));
        fs::write(&aside, text).expect("a file");
        fs::rename(aside, &list).expect("in its place");
        list
    }

    /// Whether a name server was asked for anything in this list.
    fn was_asked(&self, list: &str) -> bool {
        let asked = self.names.0.lock().expect("no panic");
        asked.iter().any(|name| name.rsplit('.').next() == Some(list))
    }

    /// A gate with the list `own`, as these keys have it, and these rules.
    fn gate(&self, keys: &str, rules: &str) -> Gate {
        let file = self.folder.path().join("list");
        let toml = format!(
            "[enforce]\nstage = \"rcpt\"\n[[list]]\nname = \"own\"\nfile = \"{}\"\n{keys}\n{rules}\n",
            file.display()
        );
        let config = Config::from_texts("", &toml).unwrap_or_else(|problems| panic!("{problems}"));
        let names = Arc::<Names>::clone(&self.names);
        let dns = Dns::new((&config).into(), None, Source::Table(names));
        let opened = Tables::open(&config, &self.watcher, &[]);
        let (tables, notices) = opened.unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(notices, []);
        Gate::compile(&config, &tables, dns)
    }
}

/// Plays a session, to its first recipient.
async fn session(gate: &Gate, client: &str, sender: &str) -> Outcomes {
    let client: IpAddr = client.parse().expect("an address");
    let mut memory = Memory::default();
    let mut dialog = Dialog { client: Client::Ip(client), ..Dialog::default() };
    gate.judge(Stage::Connect, &dialog, &mut memory).await;
    dialog.helo = Some(b"mx.example.org".to_vec());
    gate.judge(Stage::Helo, &dialog, &mut memory).await;
    let sender = sender.as_bytes().to_vec();
    dialog.transaction = Some(Transaction { sender, ..Transaction::default() });
    gate.judge(Stage::Mail, &dialog, &mut memory).await;
    let recipient = Recipient { address: b"<b@mail.example>".to_vec(), parameters: Vec::new() };
    dialog.transaction.as_mut().expect("open").recipients.push(recipient);
    let said = match gate.judge(Stage::Rcpt, &dialog, &mut memory).await.verdict {
        Verdict::Refuse(reply) | Verdict::Defer(reply) => reply.to_string(),
        other => format!("{other:?}"),
    };
    let own = memory.findings().filter(|finding| finding.list.name() == "own");
    Outcomes { said, findings: own.cloned().collect() }
}

const REJECT: &str = "[[rule]]\nname = \"own\"\nlist = \"own\"\naction = \"reject\"\n";

#[tokio::test]
async fn an_entry_of_a_file_rejects_at_once_and_asks_nobody() {
    let desk = Desk::new();
    desk.write(":3:see https://list.example/$\n8.8.0.0/28\n!8.8.0.7\n");
    let rules = format!("{REJECT}reply = \"550 5.7.1 {{ip}} in {{zone}}, {{code}}: {{text}}\"\n");
    let gate = desk.gate("format = \"ip4set\"", &rules);
    let (log, _guard) = Log::listen();
    let listed = session(&gate, "8.8.0.5", "<a@example.org>").await;
    assert_eq!(listed.said, "550 5.7.1 8.8.0.5 in OWN, 127.0.0.3: see https://list.example/8.8.0.5");
    let [found] = &listed.findings[..] else { panic!("{:?}", listed.findings) };
    assert!(matches!(found.outcome, Outcome::Hit(_)) && found.origin == Origin::File, "{found:?}");
    assert_eq!((&*found.subject, found.waited.as_nanos()), ("8.8.0.5", 0));
    assert_eq!(log.with(&["action=reject", "zone=own", "codes=127.0.0.3", "cache=file"]).len(), 1);
    for clean in ["8.8.0.7", "8.8.0.16", "2001:db8::1"] {
        let let_in = session(&gate, clean, "<a@example.org>").await;
        assert_eq!(let_in.said, "Continue", "{clean}");
    }
    assert!(!desk.was_asked("own"));
}

#[tokio::test]
async fn private_addresses_are_looked_up_in_files_and_nowhere_else() {
    let desk = Desk::new();
    desk.write("10.1.0.0/16\n");
    let gate = desk.gate("format = \"plain\"\nkind = \"address\"", REJECT);
    assert!(session(&gate, "10.1.2.3", "<a@example.org>").await.said.starts_with("554 5.7.1 "));
    assert_eq!(session(&gate, "10.2.2.3", "<a@example.org>").await.said, "Continue");
    assert!(!desk.was_asked("zen") && desk.was_asked("dbl"));
}

#[tokio::test]
async fn friends_in_a_file_come_in_although_they_are_listed() {
    let desk = Desk::new();
    desk.write("8.8.0.2 :2:\n8.8.0.3 :4:\n");
    let rule = "[[rule]]\nname = \"friends\"\nlist = \"own\"\ncodes = \"liked\"\naction = \"allow\"\n";
    let keys = "format = \"ip4trie\"\nbits = { liked = 2, known = 4 }";
    let gate = desk.gate(keys, rule);
    assert_eq!(session(&gate, "8.8.0.2", "<a@example.org>").await.said, "Continue");
    desk.write("8.8.0.2 :4:\n");
    desk.watcher.refresh();
    let refused = session(&gate, "8.8.0.2", "<a@example.org>").await;
    assert!(refused.said.contains("XBL"), "known, but not liked: {}", refused.said);
}

#[tokio::test]
async fn mailboxes_are_looked_up_as_they_are() {
    let desk = Desk::new();
    desk.write("offers@spam.example\n@bad.example\ntrap@\n<>\n");
    let gate = desk.gate("format = \"plain\"\nkind = \"mailbox\"", REJECT);
    for (sender, listed) in [
        ("<Offers@Spam.example>", true),
        ("<offers+x@spam.example>", false),
        ("<a@spam.example>", false),
        ("<a@bad.example>", true),
        ("<trap@example.org>", true),
        ("<trap>", true),
        ("<trap@[192.0.2.1]>", true),
        ("<>", true),
    ] {
        let played = session(&gate, "8.8.200.200", sender).await;
        assert_eq!(played.said.starts_with("550 5.7.1 "), listed, "{sender}: {}", played.said);
    }
}

#[tokio::test]
async fn domains_are_looked_up_with_what_is_below_them_if_the_file_says_so() {
    let desk = Desk::new();
    desk.write(".spam.example\nonly.example\n!good.spam.example\n");
    let gate = desk.gate("format = \"dnset\"\nask = \"sender\"", REJECT);
    for (sender, listed) in [
        ("<a@spam.example>", true),
        ("<a@deep.spam.example>", true),
        ("<a@good.spam.example>", false),
        ("<a@only.example>", true),
        ("<a@not.only.example>", false),
        ("<>", false),
    ] {
        let played = session(&gate, "8.8.200.200", sender).await;
        assert_eq!(played.said.starts_with("550 5.7.1 "), listed, "{sender}: {}", played.said);
    }
}

#[tokio::test]
async fn addresses_can_stand_among_names() {
    let desk = Desk::new();
    desk.write("9.0.8.8 A 127.0.0.2\n9.0.8.8 A 127.0.0.9\n");
    let gate =
        desk.gate("format = \"generic\"\nkind = \"address\"\nanswers = { bad = \"127.0.0.9\" }", REJECT);
    let played = session(&gate, "8.8.0.9", "<a@example.org>").await;
    assert!(played.said.starts_with("554 5.7.1 "), "{}", played.said);
}

#[tokio::test]
async fn what_a_list_says_in_its_text_cannot_break_the_reply() {
    let desk = Desk::new();
    desk.write("8.8.0.5 :2:caf\u{e9} {ip} %s\u{85}250 ok\n");
    let gate = desk.gate("format = \"ip4set\"", &format!("{REJECT}reply = \"550 5.7.1 no: {{text}}\"\n"));
    let played = session(&gate, "8.8.0.5", "<a@example.org>").await;
    assert_eq!(played.said, "550 5.7.1 no: caf? {ip} %s?250 ok");
}

#[tokio::test]
async fn sessions_meet_the_table_that_is_in_use_when_they_ask() {
    let desk = Desk::new();
    desk.write("8.8.0.5\n");
    let gate = desk.gate("format = \"plain\"\nkind = \"address\"", REJECT);
    assert!(session(&gate, "8.8.0.5", "<>").await.said.starts_with("554 "));
    desk.write("8.8.0.6\n");
    desk.watcher.refresh();
    assert_eq!(session(&gate, "8.8.0.5", "<>").await.said, "Continue");
    assert!(session(&gate, "8.8.0.6", "<>").await.said.starts_with("554 "));
    // Half a line too many: nothing of it is used.
    desk.write("8.8.0.5\n8.8.0.6\n<html>\n");
    desk.watcher.refresh();
    assert_eq!(session(&gate, "8.8.0.5", "<>").await.said, "Continue");
    assert!(session(&gate, "8.8.0.6", "<>").await.said.starts_with("554 "));
}

#[tokio::test]
async fn an_emptied_file_leaves_what_was_read_before() {
    let desk = Desk::new();
    desk.write("8.8.0.5\n");
    let gate = desk.gate("format = \"plain\"\nkind = \"address\"", REJECT);
    for nothing in ["", "\n"] {
        desk.write(nothing);
        desk.watcher.refresh();
        assert!(session(&gate, "8.8.0.5", "<>").await.said.starts_with("554 "), "{nothing:?}");
    }
    // A comment says that it is meant.
    desk.write("# nothing\n");
    desk.watcher.refresh();
    assert_eq!(session(&gate, "8.8.0.5", "<>").await.said, "Continue");
}
