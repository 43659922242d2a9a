//! What the log tells of rules.

use std::net::Ipv4Addr;
use std::sync::Arc;

use gatepost::config::Config;
use gatepost::dns::{Answers, Dns, Source};
use gatepost::gate::{Gate, Memory, Tables};
use gatepost::milter::Filter as _;
use gatepost::smtp::{Client, Dialog, Recipient, Stage, Transaction};
use gatepost::telemetry::{Figures, Metrics};
use gatepost::verdict::{Decision, Verdict};

use super::*;

/// Lists that hold everything with one code each.
struct All;

impl Answers for All {
    fn answer(&self, name: &str) -> Vec<Ipv4Addr> {
        match name.rsplit_once('.') {
            Some((_, "dbl")) => vec![Ipv4Addr::new(127, 0, 1, 102)],
            _ => vec![Ipv4Addr::new(127, 0, 0, 4)],
        }
    }
}

/// Of the lists DBL alone is asked.
const DBL_ALONE: &str = "[zen]\nenable = false\n[zrd]\nenable = false\n";

/// Plays MAIL and recipients to a gate, with the verdict at RCPT.
async fn mail(rules: &str, recipients: &[&str]) {
    ended(&format!("[enforce]\nstage = \"rcpt\"\n{DBL_ALONE}{rules}"), recipients).await;
}

/// Plays MAIL, as many recipients as are asked about, and the end of the message.
async fn ended(toml: &str, recipients: &[&str]) -> Decision {
    let config = Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{problems}"));
    let dns = Dns::new((&config).into(), None, Source::Table(Arc::new(All)));
    let gate = Gate::compile(&config, &Tables::default(), dns);
    let mut memory = Memory::default();
    let mut dialog = Dialog { client: Client::Ip([8, 8, 0, 2].into()), ..Dialog::default() };
    gate.judge(Stage::Connect, &dialog, &mut memory).await;
    dialog.transaction =
        Some(Transaction { sender: b"<u@abused.example>".to_vec(), ..Transaction::default() });
    gate.judge(Stage::Mail, &dialog, &mut memory).await;
    for recipient in recipients {
        let recipient = Recipient { address: recipient.as_bytes().to_vec(), parameters: Vec::new() };
        dialog.transaction.as_mut().expect("open").recipients.push(recipient);
        if gate.judges_recipients() {
            gate.judge(Stage::Rcpt, &dialog, &mut memory).await;
        }
    }
    gate.judge(Stage::Message, &dialog, &mut memory).await
}

#[tokio::test]
async fn a_shadow_on_the_same_finding_as_a_tag_is_told() {
    let (log, _guard) = Log::listen();
    let rules = "[[rule]]\nname = \"mark\"\nlist = \"dbl\"\naction = \"tag\"\n\
                 [[rule]]\nname = \"new\"\nlist = \"dbl\"\naction = \"reject\"\nmode = \"shadow\"\n";
    mail(rules, &["<one@mail.example>", "<two@mail.example>"]).await;
    assert_eq!(log.with(&["action=tag", "rule=mark"]).len(), 1, "{:#?}", log.lines());
    assert_eq!(log.with(&["action=would-reject", "rule=new"]).len(), 2, "for each recipient");
}

#[tokio::test]
async fn each_rule_that_marks_a_message_is_told_once() {
    let (log, _guard) = Log::listen();
    let rule = |name: &str, action: &str, recipient: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nlist = \"dbl\"\naction = \"{action}\"\n\
             when = {{ recipient = \"{recipient}@\" }}\n"
        )
    };
    let rules = rule("mark", "tag", "one") + &rule("hold", "quarantine", "two");
    mail(&rules, &["<one@mail.example>", "<two@mail.example>", "<one@mail.example>", "<two@x.example>"])
        .await;
    assert_eq!(log.with(&["action=tag", "rule=mark"]).len(), 1, "{:#?}", log.lines());
    assert_eq!(log.with(&["action=quarantine", "rule=hold"]).len(), 1, "{:#?}", log.lines());
}

#[tokio::test]
async fn a_score_does_not_hide_who_was_spared() {
    let (log, _guard) = Log::listen();
    let rules = "[[rule]]\nname = \"friends\"\nwhen = { recipient = \"one@\" }\naction = \"allow\"\n\
                 [[rule]]\nname = \"count\"\nlist = \"dbl\"\nscore = 3\n[score]\ntag = 3\n";
    mail(rules, &["<two@mail.example>", "<one@mail.example>"]).await;
    assert_eq!(log.with(&["action=tag", "rule=score"]).len(), 1, "{:#?}", log.lines());
    assert_eq!(log.with(&["action=spared", "rule=friends"]).len(), 1, "{:#?}", log.lines());
}

#[tokio::test]
async fn who_lets_in_nobody_is_not_said_to_and_a_shadow_says_that_it_would() {
    let refused = "[[rule]]\nname = \"all\"\nwhen = { client = \"8.8.0.2\" }\naction = \"reject\"\n";
    for (rule, spared, would) in [
        ("when = { sender = \"abused.example\" }", 0, 0),
        ("when = { client = \"8.8.0.2\" }\nmode = \"shadow\"", 0, 1),
        ("when = { client = \"8.8.0.2\" }", 1, 0),
    ] {
        let (log, _guard) = Log::listen();
        let rules = format!("{refused}[[rule]]\nname = \"known\"\naction = \"allow\"\n{rule}\n");
        mail(&rules, &["<a@mail.example>"]).await;
        let told = |action| log.with(&[action, "rule=known"]).len();
        assert_eq!(
            (told("action=spared"), told("action=would-spare")),
            (spared, would),
            "{rule}: {:#?}",
            log.lines()
        );
    }
}

#[tokio::test]
async fn what_a_login_might_change_is_asked_anew_and_nothing_else() {
    for settings in [&["ENFORCE_STAGE=mail"][..], &["AUTHBL_ENABLE=1", "ENFORCE_STAGE=mail"]] {
        let (log, _guard) = Log::listen();
        let world = World::new(settings).await;
        world.names.on("2.0.8.8.zen", Act::records(["127.0.0.30"]));
        let mut phone = world.call().await;
        phone.connect("8.8.0.2").await;
        phone.helo("a.example").await;
        for _ in 0..3 {
            phone.from("<u@x.example>").await;
            phone.abort().await;
        }
        let lines = log.with(&["event=verdict", "identity=client", "zone=zen"]);
        assert_eq!(lines.len(), 1, "{settings:?}: {:#?}", log.lines());
    }
}

#[tokio::test]
async fn forged_fields_are_taken_out_but_not_of_what_a_trusted_network_brings() {
    let toml =
        "trusted_networks = [\"8.8.4.0/24\"]\n[[rule]]\nname = \"mark\"\nlist = \"dbl\"\naction = \"tag\"\n";
    let config = Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{problems}"));
    let dns = Dns::new((&config).into(), None, Source::Table(Arc::new(All)));
    let gate = Gate::compile(&config, &Tables::default(), dns);
    for (client, edits) in [([8, 8, 4, 1], 0), ([8, 8, 0, 1], 2)] {
        let mut memory = Memory::default();
        let mut dialog = Dialog { client: Client::Ip(client.into()), ..Dialog::default() };
        dialog.transaction = Some(Transaction::default());
        for name in [&b"X-Gatepost"[..], b"Subject", b"x-gatepost"] {
            gate.header(&dialog, &mut memory, name, b"anything");
        }
        let decision = gate.judge(Stage::Message, &dialog, &mut memory).await;
        assert_eq!(decision.edits.len(), edits, "{client:?}");
    }
}

#[tokio::test]
async fn a_message_of_forged_fields_is_refused_at_its_end_told_and_counted() {
    let (log, _guard) = Log::listen();
    let end = async |mode: &str, fields: usize| {
        let rule =
            format!("[[rule]]\nname = \"mark\"\nlist = \"dbl\"\naction = \"tag\"\nmode = \"{mode}\"\n");
        let config = Config::from_texts("", &rule).unwrap_or_else(|problems| panic!("{problems}"));
        let dns = Dns::new((&config).into(), None, Source::Table(Arc::new(All)));
        let metrics = Arc::new(Metrics::default());
        let gate = Gate::compile(&config, &Tables::default(), dns).counting(Arc::clone(&metrics));
        let mut memory = Memory::default();
        let mut dialog = Dialog { client: Client::Ip([8, 8, 0, 1].into()), ..Dialog::default() };
        dialog.transaction = Some(Transaction::default());
        (0..fields).for_each(|_| {
            gate.header(&dialog, &mut memory, b"X-Gatepost", b"yes");
        });
        (gate.judge(Stage::Message, &dialog, &mut memory).await, metrics)
    };
    let (refused, metrics) = end("enforce", 12_000).await;
    assert_eq!(Figures::default().with(&metrics).rejected, 1);
    let Verdict::Refuse(reply) = refused.verdict else { panic!("{refused:?}") };
    assert!(reply.to_string().starts_with("554 5.7.1 ") && refused.edits.is_empty(), "{reply}");
    let told = ["stage=message", "action=reject", "rule=forged-fields", "client_ip=8.8.0.1", "554 5.7.1"];
    assert_eq!(log.with(&told).len(), 1, "{:#?}", log.lines());
    for (mode, fields, edits) in [("enforce", 100, 100), ("shadow", 12_000, 0)] {
        let (let_in, _) = end(mode, fields).await;
        assert_eq!((let_in.verdict, let_in.edits.len()), (Verdict::Continue, edits), "{mode} {fields}");
    }
}

#[tokio::test]
async fn what_a_rule_drops_or_holds_reaches_exempt_recipients_at_every_stage() {
    let rule = |action: &str| format!("[[rule]]\nname = \"spam\"\nlist = \"dbl\"\naction = \"{action}\"\n");
    let score = "[[rule]]\nname = \"spam\"\nlist = \"dbl\"\nscore = 3\n[score]\ndiscard = 3\n".to_owned();
    for (rules, lost) in
        [(rule("discard"), "Discard"), (rule("quarantine"), "Quarantine"), (score, "Discard")]
    {
        for stage in ["connect", "mail", "rcpt"] {
            for (recipients, expected) in [
                (&["<one@mail.example>"][..], lost),
                (&["<postmaster@mail.example>"], "Continue"),
                (&["<one@mail.example>", "<abuse@mail.example>"], "Continue"),
            ] {
                let end =
                    ended(&format!("[enforce]\nstage = \"{stage}\"\n{DBL_ALONE}{rules}"), recipients).await;
                let verdict = format!("{:?}", end.verdict);
                assert!(verdict.starts_with(expected), "{stage} {recipients:?} {rules}: {verdict}");
            }
        }
    }
    // Who may not be exempt costs nothing.
    let none = format!("exempt_recipients = []\n{DBL_ALONE}{}", rule("discard"));
    let end = ended(&none, &["<postmaster@mail.example>"]).await;
    assert_eq!(end.verdict, Verdict::Discard);
}
