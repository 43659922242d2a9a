//! `gatepost reload`, `drain` and `cache`: orders to the running daemon.

use std::io::Write as _;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args;
use super::words::shown;
use crate::daemon::{AskError, CacheStatus, Exit, ask};
use crate::smtp::plain_json;

/// What came of an order.
#[derive(Deserialize)]
struct Done {
    ok: bool,
    problems: Vec<String>,
    notices: Vec<String>,
}

pub(super) fn reload(socket: &args::Socket) -> Exit {
    order(socket, "reload", Exit::Config, "the new configuration is in force")
}

pub(super) fn drain(socket: &args::Socket) -> Exit {
    order(socket, "drain", Exit::Unavailable, "it ends when the open messages have finished")
}

pub(super) fn cache(what: &args::Cache) -> Exit {
    let lists: Vec<&String> = what.named.iter().chain(&what.list).collect();
    match (&what.act, &lists[..]) {
        (args::CacheAct::Flush, []) => order(&what.socket, "cache flush", Exit::Unavailable, ""),
        (args::CacheAct::Flush, lists) => flush(&what.socket, lists),
        (args::CacheAct::Stats, []) => stats(&what.socket),
        (args::CacheAct::Stats, _) => {
            eprintln!("cache stats takes no list");
            Exit::Usage
        }
    }
}

/// Which lists there are is the daemon's to know.
fn flush(socket: &args::Socket, lists: &[&String]) -> Exit {
    let is_name = |name: &String| {
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    if let Some(name) = lists.iter().find(|name| !is_name(name)) {
        eprintln!("{} is no name of a list", shown(name.as_bytes()));
        return Exit::Usage;
    }
    for name in lists {
        let exit = order(socket, &format!("cache flush {name}"), Exit::Usage, "");
        if exit != Exit::Ok {
            return exit;
        }
    }
    Exit::Ok
}

fn stats(socket: &args::Socket) -> Exit {
    let told = asked(socket, "cache stats").and_then(|text| reply::<CacheStatus>(socket, &text));
    match told {
        Ok(CacheStatus { entries, max, hits, asked, under_way, evictions }) => {
            say(&format!(
                "answers      {entries} of {max} at most, {evictions} forgotten for lack of room\n\
                 questions    {asked} asked, {hits} answered from memory, {under_way} under way\n"
            ));
            Exit::Ok
        }
        Err(exit) => exit,
    }
}

fn order(socket: &args::Socket, request: &str, failed: Exit, well: &str) -> Exit {
    match asked(socket, request).and_then(|text| reply::<Done>(socket, &text)) {
        Ok(done) => {
            done.problems.iter().for_each(|problem| eprintln!("{problem}"));
            done.notices.iter().for_each(|notice| say(&format!("{notice}\n")));
            if done.ok && !well.is_empty() {
                say(&format!("{well}\n"));
            }
            if done.ok { Exit::Ok } else { failed }
        }
        Err(exit) => exit,
    }
}

/// Writes to standard output. Whoever reads only the first lines of it makes no error.
pub(super) fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// A line of JSON on standard output: whoever's texts are in it, a terminal shows them and does nothing else.
pub(super) fn say_json(value: &Value) {
    say(&(plain_json(&value.to_string()) + "\n"));
}

/// Asks the daemon; what hinders it goes to standard error.
pub(super) fn asked(socket: &args::Socket, request: &str) -> Result<String, Exit> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Err(Exit::Unavailable);
    };
    runtime.block_on(ask(&socket.path(), request)).map_err(|error| {
        eprintln!("{error}");
        match error {
            AskError::Forbidden(_) => Exit::Permission,
            AskError::Away { .. } | AskError::Late(_) | AskError::Broken { .. } => Exit::Unavailable,
        }
    })
}

/// Reads a reply.
pub(super) fn reply<T: DeserializeOwned>(socket: &args::Socket, text: &str) -> Result<T, Exit> {
    serde_json::from_str(text).map_err(|_| {
        // A refusal has another form than what was asked for.
        match serde_json::from_str::<Done>(text) {
            Ok(done) => done.problems.iter().for_each(|problem| eprintln!("{problem}")),
            Err(_) => eprintln!(
                "{}: the reply is none of a gatepost of this version; does the daemon have to be restarted?",
                socket.path().display()
            ),
        }
        Exit::Unavailable
    })
}
