//! Settings from the process environment and from the env file.
//!
//! The grammar of the env file is what the Python milter and systemd's `EnvironmentFile=` read alike.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use zeroize::Zeroizing;

use super::Place;
use super::near::nearest;
use super::report::{Report, Tally};
use super::settings::{ELSEWHERE, PREFIX, SETTINGS, Setting, by_env};
use super::value::{Fault, Value, elided};

/// The variable that names the env file; it can stand in the process environment only.
pub(super) const ENV_FILE: &str = "SPAMHAUS_DQS_ENV_FILE";

/// Settings with their values, as one source has them.
pub(super) type Values = Vec<(&'static Setting, Value)>;

/// What of an env file is not as it should be, to be judged when it is known how strict to be.
pub(super) type Lapses = Vec<(Place, String, Fault)>;

/// The settings in the process environment.
pub(super) fn from_environment(environment: &BTreeMap<OsString, OsString>) -> (Values, Lapses) {
    let (mut values, mut lapses) = (Values::new(), Lapses::new());
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
        if name == ENV_FILE {
            continue;
        }
        match (lookup(name), value.to_str()) {
            (None, _) => lapses.push((Place::Environment, named(name), unknown(name))),
            (Some(setting), Some(text)) => values.push((setting, Value::text(text, Place::Environment))),
            (Some(_), None) => {
                let fault = Fault::new("the value is not UTF-8", "set it again");
                lapses.push((Place::Environment, named(name), fault));
            }
        }
    }
    (values, lapses)
}

/// The settings in the text of an env file.
///
/// Each line is looked at by itself: a blank line, a comment that begins with `#`, or `KEY=value`,
/// which may follow `export`. A value may stand in single or double quotes; nothing within it is
/// expanded, escaped or continued.
pub(super) fn from_file(path: &Path, text: &str, report: &mut Report) -> (Values, Lapses) {
    let (mut values, mut lapses, mut strangers) = (Values::new(), Tally::new(), Tally::new());
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (n, line) in text.split('\n').enumerate() {
        let place = Place::line(path, n + 1);
        let (name, value) = match parse_line(line) {
            Ok(None) => continue,
            Ok(Some(pair)) => pair,
            Err(fault) => {
                lapses.push(|| (place, String::new(), fault));
                continue;
            }
        };
        // A path is the name of a key file: no secret, and needed in the remedy.
        if name.contains("KEY") && !value.starts_with('/') {
            report.hide(&value);
        }
        if !name.to_ascii_uppercase().starts_with("SPAMHAUS") {
            strangers.push(|| (place, stranger(&name)));
            continue;
        }
        if name == ENV_FILE {
            let fault = Fault::new("an env file cannot name another one", "set it in the environment");
            lapses.push(|| (place, named(&name), fault));
            continue;
        }
        match lookup(&name) {
            Some(setting) => {
                if let Some(before) = seen.insert(setting.env, n + 1) {
                    lapses.push(|| {
                        let cause = format!("it is set in line {before} already");
                        (place.clone(), named(&name), Fault::new(cause, "keep one of the lines"))
                    });
                }
                values.push((setting, Value::text(&value, place)));
            }
            None => lapses.push(|| (place, named(&name), unknown(&name))),
        }
    }
    let (strangers, rest) = strangers.close();
    for (place, fault) in strangers.into_iter().chain(rest.map(|rest| (Place::file(path), rest))) {
        report.notice(place, "", fault);
    }
    let (mut lapses, rest) = lapses.close();
    lapses.extend(rest.map(|rest| (Place::file(path), String::new(), rest)));
    (values, lapses)
}

/// Reads one line: name and value, or nothing if it says nothing.
pub(super) fn parse_line(line: &str) -> Result<Option<(String, Zeroizing<String>)>, Fault> {
    let line = line.strip_suffix('\r').unwrap_or(line).trim_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err(Fault::new("the line holds a control character", "write it again"));
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => line,
    };
    let Some((name, raw)) = line.split_once('=') else {
        return Err(Fault::new("the line has no =", "write NAME=value, or # in front of a comment"));
    };
    let name = name.trim_end_matches([' ', '\t']);
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(legal) {
        let cause = "what stands before the = is no name of a variable";
        return Err(Fault::new(cause, "write NAME=value, or # in front of a comment"));
    }
    let value = unquote(raw.trim_matches([' ', '\t']))?;
    // dotenvy expands, escapes and splits what is not in quotes, so everything is, whatever the
    // file had. Its errors repeat the line and are never shown.
    let mut quoted = Zeroizing::new(format!("{name}=\""));
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    match dotenvy::from_read_iter(quoted.as_bytes()).next() {
        Some(Ok((name, value))) => Ok(Some((name, Zeroizing::new(value)))),
        _ => Err(Fault::new("the line cannot be read", "write NAME=value")),
    }
}

/// Takes off a pair of single quotes and then one of double quotes, as the Python milter does.
/// Where it and systemd would come to different values the line is refused.
fn unquote(raw: &str) -> Result<&str, Fault> {
    let mut text = raw;
    for quote in ['\'', '"'] {
        let Some(rest) = text.strip_prefix(quote) else { continue };
        let Some(inner) = rest.strip_suffix(quote) else {
            let cause = "a quote at the beginning of the value has no partner at its end";
            return Err(Fault::new(cause, "put the whole value in quotes, or nothing of it"));
        };
        if inner.contains(quote) {
            let cause = "there are quotes within quotes of the same kind";
            return Err(Fault::new(cause, "use the other kind around the value"));
        }
        text = inner;
    }
    if text == raw && raw.ends_with(['\'', '"']) {
        let cause = "a quote at the end of the value has no partner at its beginning";
        return Err(Fault::new(cause, "put the whole value in quotes"));
    }
    Ok(text)
}

/// Whether a name in the process environment is meant for us.
fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The setting with a whole name.
fn lookup(name: &str) -> Option<&'static Setting> {
    by_env(name.strip_prefix(PREFIX)?)
}

/// What is wrong with a name that no setting has.
fn unknown(name: &str) -> Fault {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    let is_announced =
        |known: &str| short.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    if let Some((_, remedy)) = ELSEWHERE.iter().find(|(known, _)| is_announced(known)) {
        return Fault::new("there is no such setting", *remedy);
    }
    let variables: Vec<String> = SETTINGS.iter().filter_map(Setting::variable).collect();
    let remedy = match nearest(name, variables.iter().map(String::as_str).chain([ENV_FILE])) {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it or see gatepost.conf(5)".to_owned(),
    };
    Fault::new("there is no such setting", remedy)
}

/// What to say about a variable of somebody else in the env file.
fn stranger(name: &str) -> Fault {
    match by_env(&name.to_ascii_uppercase()) {
        Some(setting) => Fault::new(
            format!("{} without its prefix is no setting", setting.env),
            format!("did you mean {}?", setting.variable().unwrap_or_default()),
        ),
        None => Fault::new("the line sets a variable that is not ours", "it has no effect here"),
    }
}

/// A name as a message may show it: somebody may have put the key there.
fn named(name: &str) -> String {
    elided(name, 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a line: the value, nothing, or a refusal.
    fn value(line: &str) -> Result<Option<String>, ()> {
        parse_line(line).map(|pair| pair.map(|(_, value)| value.to_string())).map_err(|_| ())
    }

    // case: K07
    #[test]
    fn lines_mean_what_they_mean_to_the_python_milter() {
        for (line, expected) in [
            ("A=plain", "plain"),
            ("A=two words", "two words"),
            ("  A = blanks around  ", "blanks around"),
            ("A=\"double quotes\"", "double quotes"),
            ("A='single quotes'", "single quotes"),
            ("A='\"both\"'", "both"),
            ("A=\"it's\"", "it's"),
            ("A=it's", "it's"),
            ("A=pa$$word ${HOME} $HOME", "pa$$word ${HOME} $HOME"),
            ("A=a;b", "a;b"),
            ("A=back\\slash\\n", "back\\slash\\n"),
            ("A=no # comment", "no # comment"),
            ("A=\"  kept  \"", "  kept  "),
            ("A=crlf\r", "crlf"),
            ("A=a=b", "a=b"),
            ("A=", ""),
            ("export A=b", "b"),
            ("export\tA='b c'", "b c"),
            ("A=say \"no\" twice", "say \"no\" twice"),
            ("A=b\u{fc}cher.example", "b\u{fc}cher.example"),
        ] {
            assert_eq!(value(line), Ok(Some(expected.to_owned())), "{line}");
        }
        for line in ["", "   ", "# A=b", "  # comment", "\r"] {
            assert_eq!(value(line), Ok(None), "{line}");
        }
    }

    // case: K07
    #[test]
    fn lines_that_could_mean_two_things_are_refused() {
        for line in [
            "no equals sign",
            "=value",
            "1A=b",
            "A B=c",
            "; A=b",
            "A-B=c",
            "A=\"open",
            "A=open\"",
            "A='open",
            "A=\"a\" b",
            "A=\"a\"b\"",
            "A=\"a\\\"b\"",
            "A=bell\u{7}",
            "A=a\rB=c",
            "export",
            "A: b",
        ] {
            assert_eq!(value(line), Err(()), "{line}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        let text = "\u{feff}SPAMHAUS_DQS_THREADS=2\r\nSPAMHAUS_DQS_CACHE_MAX=3\r\n";
        let (values, lapses) = from_file(Path::new("/x"), text, &mut Report::default());
        let read: Vec<_> = values.iter().map(|(setting, value)| (setting.env, value.one())).collect();
        assert_eq!(read, [("THREADS", "2"), ("CACHE_MAX", "3")]);
        assert!(lapses.is_empty());
    }
}
