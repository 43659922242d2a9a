//! The MTA's side of one session, written by hand from the protocol, as Postfix speaks it.
//!
//! Independent of the crate under test on purpose: one mistake in both would cancel out.

use crate::subject::{Identity, STAGES, Stage};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a filter said, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Continue,
    Accept,
    Refuse,
    /// No more of the body.
    Skip,
}

/// How a session went.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// The stage that refused, if one did.
    pub(crate) refused: Option<Stage>,
    /// The sum of all waits for a reply.
    pub(crate) waited: Duration,
    /// The longest wait at each stage.
    pub(crate) stages: [Duration; STAGES],
    /// How many replies there were: a filter that negotiates a command away has less to do.
    pub(crate) replies: u32,
}

/// How packets become writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Writing {
    /// All that goes before a reply in one write, without Nagle's algorithm: as Postfix does.
    Burst,
    /// A write for each packet, with Nagle's algorithm: as Sendmail does.
    Packet,
}

/// An open milter connection.
pub(crate) struct Session<S> {
    stream: S,
    /// What an MTA holds back until it needs a reply.
    out: Vec<u8>,
    input: Vec<u8>,
    /// The protocol flags that the filter asked for.
    flags: u32,
    /// The macros it asked for, by stage number.
    lists: [Option<Vec<String>>; 7],
    writing: Writing,
    /// Why talking ended early: after a refusal or an acceptance the MTA says no more of this mail.
    settled: Option<Reply>,
    course: Course,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(stream: S, writing: Writing) -> Self {
        Self {
            stream,
            out: Vec::with_capacity(512),
            input: Vec::with_capacity(512),
            flags: 0,
            lists: Default::default(),
            writing,
            settled: None,
            course: Course::default(),
        }
    }

    /// Says what Postfix can do and takes note of what the filter wants.
    pub(crate) async fn negotiate(&mut self) -> Result<(), String> {
        let mut offer = 6_u32.to_be_bytes().to_vec();
        offer.extend(0x1ff_u32.to_be_bytes());
        offer.extend(0x1f_ffff_u32.to_be_bytes());
        self.push(b'O', &offer);
        let answer = self.exchange("OPTNEG").await?;
        let word = |at: usize| {
            answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
        };
        let (Some(b'O'), Some(version), Some(_), Some(flags)) = (answer.first(), word(1), word(5), word(9))
        else {
            return Err(format!("OPTNEG: answered with {answer:02x?}"));
        };
        if !(2..=6).contains(&version) {
            return Err(format!("OPTNEG: version {version} in the answer"));
        }
        self.flags = flags;
        let mut rest = &answer[13..];
        while let Some((stage, list)) = rest.split_first_chunk::<4>() {
            let end = list.iter().position(|&byte| byte == 0).ok_or("OPTNEG: a list without its NUL")?;
            let names = String::from_utf8_lossy(&list[..end]);
            if let Some(slot) = self.lists.get_mut(u32::from_be_bytes(*stage) as usize) {
                *slot = Some(names.split_whitespace().map(str::to_owned).collect());
            }
            rest = &list[end + 1..];
        }
        Ok(())
    }

    /// CONNECT and HELO, with a pause before each.
    pub(crate) async fn introduce(&mut self, who: &Identity, pause: Duration) -> Result<(), String> {
        let address = who.address.to_string();
        let mut connect = format!("{}\0", who.helo).into_bytes();
        connect.extend([b'4', 0x9c, 0x40]);
        connect.extend(address.as_bytes());
        connect.push(0);
        self.say(Stage::Connect, &connect, who, pause).await?;
        self.say(Stage::Helo, format!("{}\0", who.helo).as_bytes(), who, pause).await
    }

    /// MAIL and RCPT, with a pause before each.
    pub(crate) async fn send(&mut self, who: &Identity, pause: Duration) -> Result<(), String> {
        let mail = format!("<news@{}>\0SIZE=2048\0", who.domain);
        self.say(Stage::Mail, mail.as_bytes(), who, pause).await?;
        self.say(Stage::Rcpt, b"<user@here.example>\0", who, pause).await
    }

    /// DATA, a header of twelve lines, and a body of so many octets, up to the verdict on the message.
    pub(crate) async fn message(&mut self, who: &Identity, octets: usize) -> Result<(), String> {
        if self.settled.is_some() {
            return Ok(());
        }
        self.part(b'T', "DATA", &[], 0x200, 0x10000).await?;
        for (name, value) in header(who) {
            self.part(b'L', "header", format!("{name}\0{value}\0").as_bytes(), 0x20, 0x80).await?;
        }
        self.part(b'N', "EOH", &[], 0x40, 0x40000).await?;
        // A megabyte that nobody wants is not written either: it would cost the filter its warm cache.
        let wanted = if self.flags & 0x10 == 0 { octets } else { 0 };
        let line = b"Seventy-six octets of a line in a message that says nothing of any weight.\r\n";
        for chunk in line.repeat(wanted.div_ceil(line.len()))[..wanted].chunks(CHUNK) {
            if self.part(b'B', "body", chunk, 0x10, 0x80000).await? == Some(Reply::Skip) {
                break;
            }
        }
        self.say(Stage::Eom, &[], who, Duration::ZERO).await
    }

    /// A packet of the message, unless the filter has negotiated it away; its reply, if there is one.
    async fn part(
        &mut self,
        code: u8,
        name: &str,
        data: &[u8],
        left_out: u32,
        unanswered: u32,
    ) -> Result<Option<Reply>, String> {
        if self.flags & left_out != 0 {
            return Ok(None);
        }
        if matches!(code, b'T' | b'N') {
            self.push(b'D', &[&[code], b"i\x003F2A9C0B1D\0".as_slice()].concat());
        }
        self.push(code, data);
        if self.flags & unanswered != 0 {
            return Ok(None);
        }
        match reply(&self.exchange(name).await?).map_err(|why| format!("{name}: {why}"))? {
            Reply::Skip if code != b'B' => Err(format!("{name}: skipped")),
            Reply::Accept | Reply::Refuse => Err(format!("{name}: ended before the end of the message")),
            answer => Ok(Some(answer)),
        }
    }

    /// Gets ready for another message on the same connection. False after a refusal of the whole connection.
    pub(crate) fn next(&mut self) -> bool {
        self.push(b'A', &[]);
        self.settled = None;
        !matches!(self.course.refused, Some(Stage::Connect | Stage::Helo))
    }

    /// ABORT and QUIT, then waits for the filter to close without another word.
    ///
    /// After a refusal at CONNECT or HELO Postfix closes without QUIT.
    pub(crate) async fn end(mut self) -> Result<Course, String> {
        if !matches!(self.course.refused, Some(Stage::Connect | Stage::Helo)) {
            self.push(b'A', &[]);
            self.push(b'Q', &[]);
            self.flush("QUIT").await?;
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) if self.input.is_empty() => {}
                Ok(_) => return Err(format!("QUIT: answered with {:02x?}", self.input)),
                Err(error) => return Err(format!("QUIT: {error}")),
            }
        }
        Ok(self.course)
    }

    async fn say(
        &mut self,
        stage: Stage,
        command: &[u8],
        who: &Identity,
        pause: Duration,
    ) -> Result<(), String> {
        if self.settled.is_some() {
            return Ok(());
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let Event { name, code, left_out, unanswered } = Event::of(stage);
        let mut macros = vec![code];
        // DATA stands between RCPT and the end of the message.
        let list = if stage == Stage::Eom { 5 } else { stage as usize };
        for name in self.lists[list].as_deref().unwrap_or(&Event::default_macros(stage)) {
            if let Some(value) = macro_value(name, who) {
                macros.extend(name.as_bytes());
                macros.push(0);
                macros.extend(value.as_bytes());
                macros.push(0);
            }
        }
        self.push(b'D', &macros);
        if self.flags & left_out != 0 {
            return Ok(());
        }
        self.push(code, command);
        if self.flags & unanswered != 0 {
            return Ok(());
        }
        let begun = Instant::now();
        let mut answer = self.exchange(name).await?;
        // What a filter wants to be changed in the message comes before its verdict.
        while stage == Stage::Eom
            && matches!(
                answer.first(),
                Some(b'+' | b'-' | b'2' | b'b' | b'e' | b'h' | b'i' | b'm' | b'p' | b'q')
            )
        {
            answer = self.packet(name).await?;
        }
        let waited = begun.elapsed();
        self.course.replies += 1;
        self.course.waited += waited;
        let longest = &mut self.course.stages[stage as usize];
        *longest = waited.max(*longest);
        match reply(&answer).map_err(|why| format!("{name}: {why}"))? {
            Reply::Continue => {}
            Reply::Skip => return Err(format!("{name}: skipped")),
            Reply::Refuse => {
                self.course.refused = Some(stage);
                self.settled = Some(Reply::Refuse);
            }
            // Accepting the recipient is letting go of it; earlier it would spare the filter the rest.
            Reply::Accept if stage >= Stage::Rcpt => self.settled = Some(Reply::Accept),
            Reply::Accept => return Err(format!("{name}: accepted the session before its end")),
        }
        Ok(())
    }

    fn push(&mut self, code: u8, data: &[u8]) {
        let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
        self.out.extend(length.to_be_bytes());
        self.out.push(code);
        self.out.extend(data);
    }

    /// Writes what is held back.
    async fn flush(&mut self, what: &str) -> Result<(), String> {
        let mut rest = self.out.as_slice();
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            let end = match self.writing {
                Writing::Burst => rest.len(),
                Writing::Packet => 4 + u32::from_be_bytes(*length) as usize,
            };
            self.stream.write_all(&rest[..end]).await.map_err(|error| format!("{what}: {error}"))?;
            rest = &rest[end..];
        }
        self.out.clear();
        Ok(())
    }

    /// Writes what is held back, and reads one packet. A second one may come after it only at the end of a message.
    async fn exchange(&mut self, what: &str) -> Result<Vec<u8>, String> {
        self.flush(what).await?;
        let packet = self.packet(what).await?;
        if what != "EOM" && !self.input.is_empty() {
            return Err(format!("{what}: more than one reply"));
        }
        Ok(packet)
    }

    async fn packet(&mut self, what: &str) -> Result<Vec<u8>, String> {
        loop {
            if let Some((length, rest)) = self.input.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length == 0 || length > 65536 {
                    return Err(format!("{what}: a reply of {length} octets"));
                }
                if let Some(packet) = rest.get(..length) {
                    let packet = packet.to_vec();
                    self.input.drain(..4 + length);
                    return Ok(packet);
                }
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(format!("{what}: the filter closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(format!("{what}: {error}")),
            }
        }
    }
}

/// The largest piece of a body that Postfix sends.
const CHUNK: usize = 65535;

/// As much as a message has after one hop.
fn header(who: &Identity) -> [(&'static str, String); 12] {
    let day = "Thu, 26 Nov 2026 10:00:00 +0000";
    [
        ("Return-Path", format!(" <news@{}>", who.domain)),
        (
            "Received",
            format!(
                " from {} (unknown [192.0.2.1])\n\tby {} (Postfix) with ESMTP id 1A2B3C4D5E\n\tfor <user@here.example>; {day}",
                who.domain, who.helo
            ),
        ),
        (
            "DKIM-Signature",
            format!(
                " v=1; a=rsa-sha256; c=relaxed/relaxed; d={}; s=mail;\n\th=from:to:subject:date; bh={}; b={}",
                who.domain,
                "b".repeat(44),
                "s".repeat(344)
            ),
        ),
        ("Date", format!(" {day}")),
        ("From", format!(" News <news@{}>", who.domain)),
        ("To", " user@here.example".into()),
        ("Subject", " Of the week".into()),
        ("Message-ID", format!(" <20261126100000.1@{}>", who.domain)),
        ("MIME-Version", " 1.0".into()),
        ("Content-Type", " text/plain; charset=us-ascii".into()),
        ("Content-Transfer-Encoding", " 7bit".into()),
        ("X-Mailer", " bench".into()),
    ]
}

/// Reads a reply as strictly as an MTA does, and takes a deferral for the failure that it is here.
fn reply(packet: &[u8]) -> Result<Reply, String> {
    match packet {
        b"c" => Ok(Reply::Continue),
        b"a" => Ok(Reply::Accept),
        b"r" => Ok(Reply::Refuse),
        b"s" => Ok(Reply::Skip),
        [b'y', b'5', b'5', b'0' | b'4', b' ', text @ .., 0] if !text.contains(&0) => Ok(Reply::Refuse),
        other => Err(format!("answered with {}", String::from_utf8_lossy(other).escape_debug())),
    }
}

/// One line of the command table.
struct Event {
    name: &'static str,
    code: u8,
    /// The flag that says "do not send it".
    left_out: u32,
    /// The flag that says "I will not reply".
    unanswered: u32,
}

impl Event {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Connect => Self { name: "CONNECT", code: b'C', left_out: 0x01, unanswered: 0x1000 },
            Stage::Helo => Self { name: "HELO", code: b'H', left_out: 0x02, unanswered: 0x2000 },
            Stage::Mail => Self { name: "MAIL", code: b'M', left_out: 0x04, unanswered: 0x4000 },
            Stage::Rcpt => Self { name: "RCPT", code: b'R', left_out: 0x08, unanswered: 0x8000 },
            Stage::Eom => Self { name: "EOM", code: b'E', left_out: 0, unanswered: 0 },
        }
    }

    /// What Postfix sends when the filter names no list.
    fn default_macros(stage: Stage) -> Vec<String> {
        let names: &[&str] = match stage {
            Stage::Connect => &["j", "{daemon_name}", "{daemon_addr}", "v", "_"],
            Stage::Helo => &[],
            Stage::Mail => &["{mail_addr}", "{mail_host}", "{mail_mailer}"],
            Stage::Rcpt => &["{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"],
            Stage::Eom => &["i"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

/// Postfix leaves out a macro that it has no value for.
fn macro_value(name: &str, who: &Identity) -> Option<String> {
    let value = match name.trim_matches(['{', '}']) {
        "j" | "daemon_name" => "mx.here.example".to_owned(),
        "daemon_addr" => "192.0.2.25".to_owned(),
        "v" => "Postfix 3.7.11".to_owned(),
        "_" => format!("{} [{}]", who.helo, who.address),
        "client_addr" => who.address.to_string(),
        "client_name" | "client_ptr" => who.helo.clone(),
        "client_port" => "40000".to_owned(),
        "client_connections" => "1".to_owned(),
        "client_resolve" => "OK".to_owned(),
        "mail_addr" => format!("news@{}", who.domain),
        "mail_host" => who.domain.clone(),
        "mail_mailer" => "smtp".to_owned(),
        "rcpt_addr" => "user@here.example".to_owned(),
        "rcpt_host" => "here.example".to_owned(),
        "rcpt_mailer" => "local".to_owned(),
        "i" => "3F2A9C0B1D".to_owned(),
        _ => return None,
    };
    Some(value)
}
