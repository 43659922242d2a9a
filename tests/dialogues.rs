//! Conversations with mail servers, as text files in `tests/dialogues`.
//!
//! Each file is a world of its own, and reads from top to bottom:
//!
//! ```text
//! # What it shows.
//! set NAME=VALUE           a setting, as in the env file without its prefix; before all else
//! dns NAME ANSWER          what the name server says: 127.0.0.2,127.0.0.4 or servfail, refused, silence,
//!                          cut 127.0.0.2 (complete over TCP only), after 0.3 127.0.0.2; else not listed
//! > connect NAME FAMILY [ADDRESS PORT]
//! > macro LETTER NAME=VALUE …
//! > helo NAME              > mail ADDRESS [PARAMETER …]        > rcpt ADDRESS
//! > data                   DATA, an empty message and its end
//! > abort                  > quit                              > session (hangs up and calls anew)
//! < ANSWER                 continue, accept, withheld (no MTA would send it now), closed, or a reply
//! <~ BEGINNING             the same, but only how it begins
//! took SECONDS             how long the last answer took, to a few hundredths
//! pass SECONDS             time goes by
//! query NAME [TIMES]       what was asked so far, and how often: once
//! no-query NAME            what was not asked; * for nothing at all
//! log WORD …               a log line has all these words
//! ```
//!
//! In arguments `\xNN` is an octet and `\x20` a blank.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::clock::Clock;
use common::log::Log;
use common::nameserver::{Act, NameServer};
use common::phone::Phone;
use common::world::World;
use hickory_proto::op::ResponseCode;

/// A file as it is played.
struct Play {
    world: World,
    clock: Clock,
    log: Log,
    phone: Phone,
    /// The last answer that no line has looked at, and how long it took.
    answer: Option<(String, Duration)>,
    took: Duration,
    /// Lines that say what must be.
    checks: usize,
}

impl Play {
    /// Plays one line; an error says what is wrong with it.
    async fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == ">" {
            self.expect_nothing()?;
            return self.say(rest).await;
        }
        match word {
            "dns" => {
                let (name, answer) = rest.split_once(' ').ok_or("no answer")?;
                self.world.names.on(name, act(answer)?);
            }
            "pass" => self.clock.pass(seconds(rest)?).await,
            "<" | "<~" => {
                let (answer, took) = self.answer.take().ok_or("nothing was said")?;
                self.took = took;
                let right = if word == "<" { answer == rest } else { answer.starts_with(rest) };
                check(right, || format!("the answer is: {answer}"))?;
            }
            "took" => {
                let (time, slack) = (seconds(rest)?, Duration::from_millis(30));
                let right = (time.saturating_sub(slack)..=time + slack).contains(&self.took);
                check(right, || format!("it took {:?}", self.took))?;
            }
            "query" => {
                let (name, times) = rest.split_once(' ').unwrap_or((rest, "1"));
                self.clock.settle().await;
                check(self.world.names.count(name).to_string() == times, || self.asked())?;
            }
            "no-query" => {
                self.clock.settle().await;
                let none = if rest == "*" {
                    self.world.names.total() == 0
                } else {
                    self.world.names.count(rest) == 0
                };
                check(none, || self.asked())?;
            }
            "log" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let lines = self.log.with(&words);
                check(!lines.is_empty(), || format!("no such line in {:#?}", self.log.with(&["event="])))?;
            }
            _ => return Err("no such word".to_owned()),
        }
        self.checks += usize::from(!matches!(word, "dns" | "pass"));
        Ok(())
    }

    async fn say(&mut self, what: &str) -> Result<(), String> {
        let mut words = what.split(' ').filter(|word| !word.is_empty());
        let event = words.next().ok_or("nothing to say")?;
        let words: Vec<&str> = words.collect();
        let arguments = words.iter().map(|word| octets(word)).collect::<Result<Vec<_>, _>>()?;
        let argument = arguments.first().map_or(&b""[..], Vec::as_slice);
        let phone = &mut self.phone;
        let (answer, took) = match event {
            "connect" => {
                let (name, family) = (words.first().ok_or("no name")?, words.get(1).ok_or("no family")?);
                let port = words.get(3).map_or(Ok(0), |port| port.parse()).map_err(|_| "no port")?;
                let address = words.get(2).unwrap_or(&"").as_bytes();
                self.clock.run(phone.connect_as(name, family.as_bytes()[0], port, address)).await
            }
            "helo" => self.clock.run(phone.helo(argument)).await,
            "mail" => self.clock.run(phone.mail(&arguments)).await,
            "rcpt" => self.clock.run(phone.rcpt(argument)).await,
            "data" => self.clock.run(phone.data()).await,
            "macro" => {
                let pairs = words[1..].iter().map(|pair| pair.split_once('=').ok_or("no value"));
                phone.macros(argument[0], &pairs.collect::<Result<Vec<_>, _>>()?);
                return Ok(());
            }
            "abort" => {
                phone.abort().await;
                return Ok(());
            }
            "session" | "quit" => {
                let next = self.world.call().await;
                let (quiet, _) = self.clock.run(std::mem::replace(phone, next).quit()).await;
                return check(quiet, || "the filter did not just hang up".to_owned());
            }
            _ => return Err("no such event".to_owned()),
        };
        self.answer = Some((answer, took));
        Ok(())
    }

    fn expect_nothing(&self) -> Result<(), String> {
        check(self.answer.is_none(), || format!("an answer that no line looks at: {:?}", self.answer))
    }

    fn asked(&self) -> String {
        let names: Vec<String> = self.world.names.asked().into_iter().map(|asked| asked.name).collect();
        format!("asked so far: {}", names.join(" "))
    }
}

fn check(right: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(wrong()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs_f64).map_err(|_| "no number of seconds".to_owned())
}

fn act(answer: &str) -> Result<Act, String> {
    Ok(match answer.split_once(' ').unwrap_or((answer, "")) {
        ("servfail", _) => Act::Code(ResponseCode::ServFail),
        ("refused", _) => Act::Code(ResponseCode::Refused),
        ("silence", _) => Act::Silence,
        ("cut", rest) => Act::Cut(Box::new(act(rest)?)),
        ("after", rest) => {
            let (time, rest) = rest.split_once(' ').ok_or("no answer")?;
            act(rest)?.after(seconds(time)?)
        }
        _ => {
            let records: Result<Vec<_>, _> = answer.split(',').map(str::parse).collect();
            Act::Records(records.map_err(|_| "no answer of a name server")?, 60)
        }
    })
}

/// The octets of an argument.
fn octets(word: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = word;
    while let Some((plain, escaped)) = rest.split_once("\\x") {
        octets.extend_from_slice(plain.as_bytes());
        let (digits, after) = escaped.split_at_checked(2).ok_or("half an octet")?;
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| "no octet")?);
        rest = after;
    }
    octets.extend_from_slice(rest.as_bytes());
    Ok(octets)
}

/// Plays a file; an error begins with the place of the line.
async fn play(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).expect("a dialogue");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let settings: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("set ")).collect();
    let (log, _guard) = Log::listen();
    let clock = Clock::stop();
    let world = World::with(NameServer::start().await, &settings).await;
    let phone = world.call().await;
    let mut play = Play { world, clock, log, phone, answer: None, took: Duration::ZERO, checks: 0 };
    let name = path.file_name().expect("a name").to_string_lossy();
    for (n, line) in lines.iter().enumerate() {
        if line.is_empty() || line.starts_with('#') || line.starts_with("set ") {
            continue;
        }
        play.line(line).await.map_err(|wrong| format!("{name}:{}: {line}\n    {wrong}", n + 1))?;
    }
    play.expect_nothing()
        .and_then(|()| check(play.checks > 0, || "nothing is checked".to_owned()))
        .map_err(|wrong| format!("{name}: {wrong}"))
}

#[test]
fn the_conversations_go_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("dialogues").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 25, "{} dialogues", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        // A runtime each: the clock of the last one stands still.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        wrong.extend(runtime.block_on(play(file)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
