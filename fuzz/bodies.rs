//! What each fuzz target does with its input; `tests/corpus.rs` and `tests/properties.rs` run the same.
//!
//! Each function panics if something is wrong, and only then.

use gatepost::limits::Limits;
use gatepost::milter::mta::{Answer, Mta, Sent};
use gatepost::milter::{Actions, Command, Frame, Offer, Protocol};
use gatepost::smtp::{Client, Domain, Event, Needs, Part, Reply, ReversePath, Stage, is_special, printable};
use gatepost::verdict::{Decision, Edit, HeaderName, HeaderValue, Verdict};

use crate::side::{EVENTS, PERMITS, Question, Said, Side, everything};

#[path = "bodies/address.rs"]
pub mod address;
#[path = "bodies/answer.rs"]
pub mod answer;
#[path = "bodies/config.rs"]
pub mod config;
#[path = "bodies/handover.rs"]
pub mod handover;
#[path = "bodies/map.rs"]
pub mod map;
#[path = "bodies/recipient.rs"]
pub mod recipient;
#[path = "bodies/table.rs"]
pub mod table;

/// Packets: whatever comes is taken within the limits, and commands are written as they were read.
pub fn frame(data: &[u8]) {
    let small = Limits { frame: 64, header_frame: 128, negotiation_frame: 32, ..Limits::default() };
    for limits in [Limits::default(), small] {
        let mut rest = data;
        while let Ok(taken) = Frame::take(rest, &limits) {
            let Some((frame, size)) = taken else {
                assert!(
                    rest.len() < 4 + limits.header_frame.max(limits.frame),
                    "more than the limit is asked for"
                );
                break;
            };
            assert_eq!(size, 5 + frame.data.len());
            assert!(size - 4 <= limits.header_frame.max(limits.frame));
            if let Ok(command) = Command::parse(frame) {
                let mut written = Vec::new();
                command.put(&mut written);
                let (again, size) =
                    Frame::take(&written, &Limits::default()).expect("a packet").expect("whole");
                assert_eq!(size, written.len());
                assert_eq!(Command::parse(again), Ok(command));
            }
            rest = &rest[size..];
        }
    }
    replies(data);
}

/// Replies: the MTA's side reads anything a filter can say without harm.
fn replies(data: &[u8]) {
    let mut mta = Mta::new(Offer::V6);
    let mut out = Vec::new();
    let mut rest = data;
    let _ = mta.negotiate(&mut out);
    for step in 0.. {
        while let (true, Ok(Some((frame, size)))) = (mta.is_waiting(), Mta::take(rest)) {
            if mta.receive(frame).is_err() {
                return;
            }
            rest = &rest[size..];
        }
        let next = match step {
            0 => mta.connect(b"x", Client::Unknown, 0, &mut out),
            1 => mta.mail(b"<>", &[], &mut out),
            2 => mta.rcpt(b"<a@example.com>", &[], &mut out),
            3 => mta.data(&mut out),
            4 => mta.header(b"X", b" y", &mut out),
            5 => mta.end_of_headers(&mut out),
            6 => mta.body(b"x", &mut out),
            7 => mta.end_of_message(&mut out),
            _ => return,
        };
        if next.is_err() {
            return;
        }
    }
}

/// Sessions: any octets at all, and every legal conversation judged by the MTA's side.
pub fn session(data: &[u8]) {
    stream(data);
    conversation(data);
}

/// Any octets are survived, answered alike in one piece and in many, and never with an illegal packet.
pub fn stream(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut packets = Vec::new();
    // Most inputs should get past negotiation.
    if first & 1 == 0 {
        Command::Negotiate(Offer::V6).put(&mut packets);
    }
    packets.extend_from_slice(rest);
    let play = |size: usize| {
        let mut dice = Dice(rest);
        let mut side = Side::new(everything(), move |question, _| dice.said(question));
        let mut out = Vec::new();
        let mut end = Ok(true);
        for piece in packets.chunks(size) {
            end = side.feed(piece, &mut out);
            if end != Ok(true) {
                break;
            }
        }
        (out, end)
    };
    let (out, end) = play(packets.len().max(1));
    assert_eq!(play(1), (out.clone(), end));
    let mut said = &out[..];
    while let Some((frame, size)) = Mta::take(said).expect("legal packets only") {
        assert!(b"Ocardystpqhim+2-eb".contains(&frame.code), "{}", char::from(frame.code));
        said = &said[size..];
    }
    assert!(said.is_empty(), "half a packet");
}

/// A conversation in the order of an SMTP session, with any offer, needs and decisions: the session never
/// gives up, and never says what the MTA's side would not hear. What it says is what was decided.
pub fn conversation(data: &[u8]) {
    let (script, decisions) = data.split_at(data.len() / 2);
    let mut script = Dice(script);
    let mut mta = Mta::new(script.offer());
    let needs = script.needs();
    let decided = std::rc::Rc::new(std::cell::RefCell::new(None));
    let notes = decided.clone();
    let mut dice = Dice(decisions);
    let mut side = Side::new(needs, move |question, _| {
        let said = dice.said(question);
        notes.replace(Some(said.clone()));
        said
    });
    let mut sent = Vec::new();
    let mut next = mta.negotiate(&mut sent);
    for _ in 0..256 {
        if next.is_ok() || !sent.is_empty() {
            let outcome = next.unwrap_or(Sent::Silent);
            let mut said = Vec::new();
            decided.replace(None);
            let open = side.feed(&sent, &mut said).expect("a legal session goes on to its end");
            hear(&mut mta, &said, outcome, decided.borrow().as_ref());
            if !open {
                return;
            }
        }
        sent.clear();
        if script.0.is_empty() {
            next = mta.quit(&mut sent);
        } else {
            next = script.event(&mut mta, &mut sent);
        }
    }
}

/// Lets the MTA's side judge what was said to one event.
fn hear(mta: &mut Mta, mut said: &[u8], outcome: Sent, decided: Option<&Said>) {
    let mut answer = None;
    while !said.is_empty() {
        let (frame, size) = Mta::take(said).expect("a packet").expect("a whole packet");
        assert_eq!(answer, None, "something is said after the final reply");
        answer = mta.receive(frame).unwrap_or_else(|violation| panic!("{violation}: {frame:?}"));
        said = &said[size..];
    }
    assert_eq!(answer.is_some(), outcome == Sent::Due, "the final reply: {answer:?}");
    assert!(!mta.is_waiting());
    let (Some(Said::Decision(decision)), Some(answer)) = (decided, answer) else { return };
    match (&answer, &decision.verdict) {
        (Answer::Reply { code, enhanced, lines }, Verdict::Refuse(reply) | Verdict::Defer(reply)) => {
            assert_eq!((*code, enhanced), (reply.code(), &reply.enhanced()));
            assert!(reply.lines().eq(lines.iter().map(String::as_str)));
        }
        (Answer::Accept, Verdict::Accept)
        | (Answer::Discard, Verdict::Discard)
        | (Answer::Reject, Verdict::Reject)
        | (Answer::Tempfail, Verdict::Tempfail)
        | (Answer::Continue, _) => {}
        (answer, verdict) => panic!("{verdict:?} was said as {answer:?}"),
    }
}

/// Mailboxes, domains, addresses: whatever a client types leads to one canonical form or to none.
pub fn mailbox(data: &[u8]) {
    for domain in [
        Domain::from_octets(data).ok().map(|(domain, _)| domain),
        match ReversePath::parse(data) {
            ReversePath::Domain { domain, .. } => Some(domain),
            _ => None,
        },
    ]
    .into_iter()
    .flatten()
    {
        let name = domain.as_str();
        assert!(name.len() <= 253 && name.contains('.'), "{name}");
        for label in name.split('.') {
            assert!((1..=63).contains(&label.len()), "{name}");
            let legal = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            assert!(label.bytes().all(legal), "{name}");
        }
        assert_eq!(Domain::from_octets(name.as_bytes()), Ok((domain.clone(), 0)), "{name}");
        assert_eq!(Domain::from_setting(name), Ok(domain.clone()), "{name}");
        let sender = format!("<someone@{name}>");
        let parsed = ReversePath::parse(sender.as_bytes());
        assert_eq!(parsed, ReversePath::Domain { domain: domain.clone(), trimmed: 0 }, "{name}");
        for room in [0, 20, 253] {
            let short = domain.fit(room);
            assert!(name.ends_with(short.as_str()) && short.labels() > 1, "{name} {short}");
        }
    }
    if let Some(setting) = std::str::from_utf8(data).ok().and_then(|text| Domain::from_setting(text).ok()) {
        assert_eq!(Domain::from_setting(setting.as_str()), Ok(setting));
    }
    for family in *b"46LU" {
        if let Some(ip) = Client::from_connect(family, data).ip() {
            assert_eq!(ip, ip.to_canonical());
            let _ = is_special(ip);
            assert_eq!(Client::from_connect(b'6', ip.to_string().as_bytes()), Client::Ip(ip));
        }
    }
    for limit in [0, 3, 40, 4_096] {
        let line = printable(data, limit);
        assert!(line.len() <= limit.max(3) && line.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    }
    address::address(data);
    reply(data);
}

/// Reply texts: whatever stands in them, the lines on the wire are safe.
fn reply(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(reply) = Reply::new(550, "5.7.1", &text) else { return };
    let lines: Vec<String> = reply.wire_lines().collect();
    assert!(lines.len() <= 32);
    for (n, line) in lines.iter().enumerate() {
        let head = if n + 1 == lines.len() { "550 5.7.1 " } else { "550-5.7.1 " };
        assert!(line.len() <= 510 && line.starts_with(head), "{line}");
        assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line}");
    }
    let stored = String::from(reply.clone());
    assert_eq!(stored.parse(), Ok(reply));
}

/// Octets of the input that decide what happens next; all zero after its end.
struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    fn roll(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes([self.roll(), self.roll(), self.roll(), self.roll()])
    }

    /// A short run of octets as they come.
    fn octets(&mut self) -> &'a [u8] {
        let size = usize::from(self.roll() & 31).min(self.0.len());
        let (octets, rest) = self.0.split_at(size);
        self.0 = rest;
        octets
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.octets()).into_owned()
    }

    fn offer(&mut self) -> Offer {
        let bits = match self.roll() & 7 {
            0 => (6, 0x1ff, 0x1f_ffff),
            1 => (4, 0x1ff, 0x37f),
            2 => (3, 0x1ff, 0x17f),
            3 => (2, 0x1ff, 0x07f),
            4 => (6, 0x0ff, 0x042),
            5 => (2, 0, 0),
            6 => (u32::MAX, u32::MAX, u32::MAX),
            _ => (self.number().max(2), self.number(), self.number()),
        };
        Offer { version: bits.0, actions: Actions(bits.1), protocol: Protocol(bits.2) }
    }

    fn needs(&mut self) -> Needs {
        let bits = self.number();
        let silent = self.roll() & self.roll();
        let mut needs = Needs::default();
        for (n, event) in EVENTS.into_iter().enumerate() {
            if bits >> n & 1 == 0 {
                needs = needs.event(event);
            }
            if n < 8 && silent >> n & 1 == 1 {
                needs = needs.silent(event);
            }
        }
        for (n, permit) in PERMITS.into_iter().enumerate() {
            if bits >> (9 + n) & 1 == 0 {
                needs = needs.permit(permit);
            }
        }
        if bits >> 17 & 1 == 1 {
            needs = needs.macros(Stage::Mail, &["i", "{auth_authen}"]).macros(Stage::Message, &["{msg_id}"]);
        }
        needs.rejected_recipients = bits >> 18 & 1 == 1;
        needs.leading_space = bits >> 19 & 1 == 1;
        for (n, part) in [Part::Recipients, Part::Parameters].into_iter().enumerate() {
            if bits >> (20 + n) & 1 == 0 {
                needs = needs.keep(part);
            }
        }
        needs
    }

    /// One event of an SMTP session, or the caller's mistake.
    fn event(&mut self, mta: &mut Mta, out: &mut Vec<u8>) -> Result<Sent, gatepost::milter::mta::Misuse> {
        let text = |dice: &mut Self| dice.octets();
        match self.roll() & 31 {
            0 => {
                let client = match self.roll() & 3 {
                    0 => Client::Ip(std::net::IpAddr::from(self.number().to_be_bytes())),
                    1 => Client::Ip(std::net::Ipv6Addr::from(u128::from(self.number())).into()),
                    2 => Client::Local,
                    _ => Client::Unknown,
                };
                mta.connect(text(self), client, 25, out)
            }
            1 => mta.helo(text(self), out),
            2..=6 => {
                // Both MTAs send macros before a MAIL that the filter declined, too.
                if mta.agreed().is_some_and(|agreed| agreed.protocol.declines(Event::Mail)) {
                    mta.macros(b'M', &[("i", b"QID")], out)?;
                }
                mta.mail(text(self), &[b"SIZE=1"], out)
            }
            7..=10 => mta.rcpt(text(self), &[], out),
            11 => mta.refused_rcpt(text(self), &[], out),
            12..=14 => mta.data(out),
            // An empty header name is impossible in SMTP.
            15..=17 => mta.header(b"X", text(self), out),
            18..=20 => mta.end_of_headers(out),
            21..=23 => mta.body(text(self), out),
            24..=26 => mta.end_of_message(out),
            27 => mta.unknown(text(self), out),
            28 => mta.abort(out),
            29 => mta.quit_new_connection(out),
            30 => mta.quit(out),
            _ => {
                let letter = b"CHMRTLNBEUZ"[usize::from(self.roll()) % 11];
                let value = self.octets();
                mta.macros(letter, &[("i", b"QID"), ("{auth_authen}", value)], out)
            }
        }
    }

    fn said(&mut self, question: Question) -> Said {
        let verdict = match self.roll() & 15 {
            0..=5 => Verdict::Continue,
            6 => Verdict::Reject,
            7 => Verdict::Tempfail,
            8 => Verdict::Accept,
            9 | 10 => Verdict::Refuse(self.reply(550, "5.7.1")),
            11 => Verdict::Defer(self.reply(451, "4.7.1")),
            12 => Verdict::Discard,
            13 => Verdict::Quarantine(self.text().into()),
            14 => Verdict::Defer(self.reply(421, "4.3.2")),
            _ => return Said::Enough,
        };
        let count =
            if question == Question::Judge(Stage::Message) { self.roll() & 3 } else { self.roll() / 255 };
        let edits = (0..count).filter_map(|_| self.edit()).collect();
        Said::Decision(Decision { verdict, edits })
    }

    fn reply(&mut self, code: u16, enhanced: &str) -> Reply {
        let text = format!("no {}", self.text());
        Reply::new(code, enhanced, &text).expect("a text")
    }

    fn edit(&mut self) -> Option<Edit> {
        let kind = self.roll();
        let mut field = || {
            let (name, value) = (HeaderName::new(&self.text()), HeaderValue::new(&self.text()));
            Some((name.ok()?, value.ok()?))
        };
        Some(match kind & 7 {
            0 => field().map(|(name, value)| Edit::AddHeader(name, value))?,
            1 => {
                let (name, value) = field()?;
                Edit::InsertHeader(self.number(), name, value)
            }
            2 => {
                let (name, value) = field()?;
                Edit::ChangeHeader(self.number(), name, value)
            }
            3 => Edit::DeleteHeader(self.number(), HeaderName::new(&self.text()).ok()?),
            4 => {
                let parameters = (kind & 8 != 0).then(|| self.text());
                Edit::AddRecipient { address: self.text(), parameters }
            }
            5 => Edit::DeleteRecipient(self.text()),
            6 => {
                let parameters = (kind & 8 != 0).then(|| self.text());
                Edit::ChangeSender { address: self.text(), parameters }
            }
            _ => {
                let times = if kind & 8 != 0 { 40_000 } else { 1 };
                Edit::ReplaceBody(self.octets().repeat(times).into())
            }
        })
    }
}
