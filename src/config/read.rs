//! From the text of a setting to its value.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::choice::{CodeActs, Mode, OnFailure, Sandbox, WithoutKey, Word};
use super::value::{Fault, Reading, Value, no_path, shown};
use crate::dns::Key;
use crate::limits::Overload;
use crate::list::MailboxPattern;
use crate::policy::{OnTrouble, ReplyStyle, Template, Variable};
use crate::server::Listen;
use crate::smtp::{Domain, Stage, is_unprintable};
use crate::telemetry::Level;
use crate::verdict::{Act, Codes, List};

/// The DNS port.
pub(super) const DOMAIN: u16 = 53;
/// The highest code that ZEN is known to answer with.
const ZEN_LAST: u8 = 30;
/// What DBL answers to a question about an address.
const DBL_MISUSE: u8 = 255;

pub(super) fn flag(value: &Value) -> Reading<bool> {
    let text = value.one();
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Fault::new(format!("{} is neither yes nor no", shown(text)), "write 1 or 0")),
    }
    .into()
}

/// A whole number within bounds.
pub(super) fn count(value: &Value, bounds: RangeInclusive<usize>) -> Reading<usize> {
    whole(value.one(), &bounds).into()
}

fn whole(text: &str, bounds: &RangeInclusive<usize>) -> Result<usize, Fault> {
    let (least, most) = (bounds.start(), bounds.end());
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && bounds.contains(&number) => Ok(number),
        _ if digits => Err(Fault::new(
            format!("{} is out of bounds", shown(text)),
            format!("give a number from {least} to {most}"),
        )),
        _ => Err(Fault::new(
            format!("{} is not a whole number", shown(text)),
            format!("give a number from {least} to {most}"),
        )),
    }
}

/// Seconds within bounds, with decimals.
pub(super) fn seconds(value: &Value, bounds: RangeInclusive<f64>) -> Reading<Duration> {
    let text = value.one();
    let (least, most) = (bounds.start(), bounds.end());
    let remedy = format!("give seconds from {least} to {most}");
    match text.parse::<f64>() {
        Ok(number) if bounds.contains(&number) => {
            // Tenths of a millisecond are noise of the decimal notation.
            Ok(Duration::from_secs_f64((number * 1000.0).round() / 1000.0))
        }
        Ok(_) => Err(Fault::new(format!("{} is out of bounds", shown(text)), remedy)),
        Err(_) => Err(Fault::new(format!("{} is not a number", shown(text)), remedy)),
    }
    .into()
}

/// Whole seconds, 0 for never.
pub(super) fn interval(value: &Value) -> Reading<Option<Duration>> {
    let text = value.one();
    whole(text, &(0..=86_400))
        .and_then(|number| match number {
            0 => Ok(None),
            1..60 => Err(Fault::new(
                format!("{} s is too often", shown(text)),
                "give seconds from 60 to 86400, or 0 for never",
            )),
            _ => Ok(Some(Duration::from_secs(number as u64))),
        })
        .into()
}

pub(super) fn hours(value: &Value) -> Reading<u8> {
    let number = whole(value.one(), &(2..=24));
    number.and_then(|n| u8::try_from(n).map_err(|_| Fault::new("out of bounds", ""))).into()
}

/// One word out of a few.
pub(super) fn word<T: Word>(value: &Value) -> Reading<T> {
    let text = value.one();
    let unknown = || {
        let known = T::WORDS.join(", ");
        Fault::new(format!("{} is none of its words", shown(text)), format!("choose from {known}"))
    };
    T::from_word(text).ok_or_else(unknown).into()
}

pub(super) fn log_level(value: &Value) -> Reading<Level> {
    word(value)
}

pub(super) fn sandbox(value: &Value) -> Reading<Sandbox> {
    word(value)
}

pub(super) fn without_key(value: &Value) -> Reading<WithoutKey> {
    word(value)
}

pub(super) fn act(value: &Value) -> Reading<Act> {
    word(value)
}

pub(super) fn overload(value: &Value) -> Reading<Overload> {
    word(value)
}

pub(super) fn reply_style(value: &Value) -> Reading<ReplyStyle> {
    word(value)
}

pub(super) fn enforce_stage(value: &Value) -> Reading<Stage> {
    word(value)
}

/// `accept`, `tempfail`, or one of them for each list: `zen=tempfail,dbl=accept`.
pub(super) fn on_failure(value: &Value) -> Reading<OnFailure> {
    let entries = value.entries();
    if let [(_, text, _)] = entries[..]
        && let Some(act) = OnTrouble::from_word(text)
    {
        return Ok(OnFailure::all(act)).into();
    }
    let mut seen: Vec<(List, String)> = Vec::new();
    let one = |text: &str| {
        let pair = text.split_once('=').and_then(|(list, act)| {
            let name = list.trim().to_ascii_lowercase();
            let list = List::DQS.into_iter().find(|list| list.name() == name)?;
            Some((list, OnTrouble::from_word(act.trim())?))
        });
        let Some((list, act)) = pair else {
            let remedy = "write accept, tempfail, or for each list as in zen=tempfail,dbl=accept";
            return Err(Fault::new(format!("{} says nothing about a list", shown(text)), remedy));
        };
        let text = format!("{list}={}", act.word());
        if let Some((_, before)) = seen.iter().find(|(other, _)| *other == list) {
            let cause = format!("{text} comes after {before}");
            return Err(Fault::new(cause, format!("keep one entry about {list}")));
        }
        seen.push((list, text));
        Ok(((list, act), None))
    };
    let pairs = needed(each(value, one), "write accept or tempfail");
    let value = pairs.value.map(|pairs| {
        let mut all = OnFailure::all(OnTrouble::LetIn);
        for (list, act) in pairs {
            all.set(list, act);
        }
        all
    });
    Reading { value, faults: pairs.faults, remarks: pairs.remarks }
}

/// Reads every entry of a list, each with a fault or a remark of its own.
pub(super) fn each<T>(
    value: &Value,
    mut read: impl FnMut(&str) -> Result<(T, Option<Fault>), Fault>,
) -> Reading<Vec<T>> {
    let entries = value.entries();
    let many = entries.len() > 1;
    let mut reading = Reading { value: None, faults: Vec::new(), remarks: Vec::new() };
    let mut values = Vec::with_capacity(entries.len());
    for (number, text, place) in entries {
        let placed = |fault: Fault| {
            let cause = if many { format!("entry {number}: {}", fault.cause) } else { fault.cause };
            Fault { cause, place: Some(place.clone()), ..fault }
        };
        match read(text) {
            Ok((value, remark)) => {
                values.push(value);
                reading.remarks.extend(remark.map(placed));
            }
            Err(fault) => reading.faults.push(placed(fault)),
        }
    }
    reading.value = Some(values);
    reading
}

/// Makes an empty list a fault: it would switch something off that nobody asked to.
fn needed<T>(mut reading: Reading<Vec<T>>, remedy: &str) -> Reading<Vec<T>> {
    if reading.value.as_ref().is_some_and(Vec::is_empty) {
        reading.value = None;
        if reading.faults.is_empty() {
            reading.faults.push(Fault::new("the list is empty", remedy));
        }
    }
    reading
}

/// Sockets in libmilter's notation.
pub(super) fn listen(value: &Value) -> Reading<Vec<Listen>> {
    let read = |text: &str| match text.parse::<Listen>() {
        Ok(listen) if !text.contains(is_unprintable) => Ok((listen, None)),
        _ => {
            let cause = format!("{} is no socket", shown(text));
            Err(Fault::new(cause, "write inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH"))
        }
    };
    needed(each(value, read), "name at least one socket, such as inet:11332@localhost")
}

/// A Unix socket, or none if the text is empty.
pub(super) fn local_socket(value: &Value) -> Reading<Option<Listen>> {
    let text = value.one();
    if text.is_empty() {
        return Ok(None).into();
    }
    let remedy = "write unix:/PATH, such as unix:/run/gatepost/control.sock";
    match text.parse::<Listen>() {
        Ok(listen @ Listen::Unix(_)) if !text.contains(is_unprintable) => Ok(Some(listen)),
        Ok(_) => Err(Fault::new(
            format!("{} is no Unix socket", shown(text)),
            format!("{remedy}; HTTP is served by gatepost metrics-exporter"),
        )),
        Err(_) => Err(Fault::new(format!("{} is no socket", shown(text)), remedy)),
    }
    .into()
}

/// An account name; whether it exists is seen at start.
pub(super) fn user(value: &Value) -> Reading<String> {
    account_name(value.one()).into()
}

/// The name of an account or a group, or nothing.
pub(super) fn account(value: &Value) -> Reading<Option<String>> {
    let text = value.one();
    if text.is_empty() { Ok(None) } else { account_name(text).map(Some) }.into()
}

fn account_name(text: &str) -> Result<String, Fault> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.$".contains(&octet);
    if !text.is_empty() && text.len() <= 64 && !text.starts_with('-') && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(format!("{} is no account name", shown(text)), "name an account, such as gatepost"))
    }
}

/// Permissions in octal. Who may connect to a milter may ask lists at its owner's expense, but nothing
/// worse: 0666 is allowed.
pub(super) fn mode(value: &Value) -> Reading<Mode> {
    let text = value.one();
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|octet| (b'0'..=b'7').contains(&octet));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(Mode(mode)),
        _ => {
            let cause = format!("{} are no permissions of a socket", shown(text));
            Err(Fault::new(cause, "write them in octal and in quotes, such as \"0660\"; the owner needs 6"))
        }
    }
    .into()
}

/// The key. Its faults say nothing of the text.
pub(super) fn key(value: &Value) -> Reading<Option<Key>> {
    let remedy = "copy it from the Spamhaus portal, without anything around it";
    Key::new(value.one()).map(Some).map_err(|bad| Fault::new(bad.to_string(), remedy)).into()
}

/// An absolute path. A fault does not repeat it: people put the key itself there.
pub(super) fn path(value: &Value) -> Reading<Option<PathBuf>> {
    let text = value.one();
    match no_path(text) {
        None => Ok(Some(PathBuf::from(text))),
        Some(why) => Err(Fault::new(why, "name the file that holds the key, such as /etc/gatepost/dqs.key")),
    }
    .into()
}

pub(super) fn nameservers(value: &Value) -> Reading<Vec<SocketAddr>> {
    let read = |text: &str| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let ip = bare.parse::<IpAddr>().ok().filter(|ip| bare == text || ip.is_ipv6());
        let server = text.parse().ok().or_else(|| ip.map(|ip| SocketAddr::new(ip, DOMAIN)));
        match server {
            Some(server) if server.port() != 0 && !server.ip().is_unspecified() => Ok((server, None)),
            _ => Err(Fault::new(
                format!("{} is not the address of a name server", shown(text)),
                "write an address, with a port as in 127.0.0.1:5353 or [::1]:5353",
            )),
        }
    };
    needed(each(value, read), "name at least one server, such as 127.0.0.1")
}

/// Networks and single addresses.
pub(super) fn networks(value: &Value) -> Reading<Vec<IpNet>> {
    each(value, |text| {
        let wrong = || {
            Fault::new(
                format!("{} is neither an address nor a network", shown(text)),
                "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
            )
        };
        let net = network(text).ok_or_else(wrong)?;
        let whole = net.trunc();
        let remark = if net != whole {
            let cause = format!("{} has bits set beyond its prefix", shown(text));
            Some(Fault::new(cause, format!("it is taken as {whole}; write that")))
        } else if net.prefix_len() == 0 {
            Some(Fault::new(format!("{whole} covers every client"), "name networks instead"))
        } else {
            None
        };
        Ok((whole, remark))
    })
}

/// A network or a single address, as it is written; IPv4-mapped ones as the clients are seen in them.
fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(IpNet::from(ip.to_canonical())),
        Err(_) => unmapped(text.parse().ok()?),
    }
}

/// A network or a single address without bits beyond its prefix, which would be a slip of the pen.
pub(super) fn one_network(text: &str) -> Option<IpNet> {
    network(text).filter(|net| *net == net.trunc())
}

/// A network of IPv4-mapped addresses as the IPv4 network that the clients are seen in; `None` if
/// the network holds those and others.
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(six) = net else { return Some(net) };
    let Some(four) = six.addr().to_ipv4_mapped() else { return Some(net) };
    let prefix = six.prefix_len().checked_sub(96)?;
    Ipv4Net::new(four, prefix).ok().map(IpNet::V4)
}

/// Codes of a list and what they do: `2-99=reject,102-106=tag`.
pub(super) fn code_acts(value: &Value, of: List) -> Reading<CodeActs> {
    let pairs = each(value, |text| {
        let pair = text.split_once('=').and_then(|(codes, act)| {
            let codes = codes.trim();
            let (first, last) = codes.split_once('-').unwrap_or((codes, codes));
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let known = |code: &u8| of.all_codes().contains(*code);
            let act = Act::from_word(act.trim())?;
            (first <= last && (first..=last).any(|code| known(&code))).then_some((first, last, act))
        });
        let wrong = || {
            let cause = format!("{} says nothing about codes of {of}", shown(text));
            Fault::new(cause, "write codes and what they do, as in 2-99=reject,102-106=tag")
        };
        pair.map(|pair| (pair, None)).ok_or_else(wrong)
    });
    Reading { value: pairs.value.map(CodeActs), faults: pairs.faults, remarks: pairs.remarks }
}

/// Mailboxes, single ones and whole domains.
pub(super) fn mailboxes(value: &Value) -> Reading<Vec<MailboxPattern>> {
    each(value, |text| {
        let wrong = || {
            let remedy = "write user@mail.example, mail.example, .mail.example or user@";
            Fault::new(format!("{} is no mailbox", shown(text)), remedy)
        };
        MailboxPattern::parse(text).map(|entry| (entry, None)).ok_or_else(wrong)
    })
}

/// Domains: the whole name must be legal.
pub(super) fn domains(value: &Value) -> Reading<Vec<Domain>> {
    each(value, |text| one_domain(text).map(|domain| (domain, None)))
}

/// Domains with everything below them; a leading dot, as some programs write them, is understood.
pub(super) fn suffixes(value: &Value) -> Reading<Vec<Domain>> {
    each(value, |text| one_domain(text.strip_prefix('.').unwrap_or(text)).map(|domain| (domain, None)))
}

/// One domain.
pub(super) fn domain(value: &Value) -> Reading<Domain> {
    one_domain(value.one()).into()
}

fn one_domain(text: &str) -> Result<Domain, Fault> {
    Domain::from_setting(text).map_err(|_| {
        let remedy = "write a name such as mail.example, without wildcard, address part or port";
        Fault::new(format!("{} is no domain", shown(text)), remedy)
    })
}

/// Names of MTA daemons.
pub(super) fn names(value: &Value) -> Reading<Vec<String>> {
    each(value, |text| {
        if !text.is_empty() && text.len() <= 255 && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Ok((text.to_owned(), None));
        }
        let cause = format!("{} is no daemon name", shown(text));
        Err(Fault::new(cause, "write the {daemon_name} of the MTA, such as submission"))
    })
}

pub(super) fn zen_codes(value: &Value) -> Reading<Codes> {
    codes(value, 0, "enable = false in [zen] or SPAMHAUS_DQS_ZEN_ENABLE=0", |last| {
        (last > ZEN_LAST).then(|| {
            let cause = format!("ZEN is not known to answer with codes above {ZEN_LAST}");
            Fault::new(cause, "they will not match anything")
        })
    })
}

pub(super) fn dbl_codes(value: &Value) -> Reading<Codes> {
    codes(value, 1, "enable = false in [dbl] or SPAMHAUS_DQS_DBL_ENABLE=0", |last| {
        (last == DBL_MISUSE).then(|| {
            Fault::new(
                "255 is DBL's answer to a wrong question, never a listing",
                "it will not match anything",
            )
        })
    })
}

/// Return codes, single ones and ranges: `2,3,9-11`.
fn codes(value: &Value, group: u8, off: &str, remark: impl Fn(u8) -> Option<Fault>) -> Reading<Codes> {
    let read = |text: &str| {
        let wrong = || {
            Fault::new(
                format!("{} is not a return code (2 to 255)", shown(text)),
                "write codes and ranges as in 2,3,9-11",
            )
        };
        let code = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse::<u8>().ok().filter(|code| digits && *code >= 2)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (code(first.trim()), code(last.trim())) {
            (Some(first), Some(last)) if first <= last => Ok(((first, last), remark(last))),
            _ => Err(wrong()),
        }
    };
    let remedy = format!("it would refuse nothing; to switch the list off, set {off}");
    let ranges = needed(each(value, read), &remedy);
    let set = |ranges: Vec<(u8, u8)>| Codes::of(group, ranges.into_iter().flat_map(|(a, b)| a..=b));
    Reading { value: ranges.value.map(set), faults: ranges.faults, remarks: ranges.remarks }
}

/// A reply that refuses mail; nothing if the text is empty.
pub(super) fn template(value: &Value) -> Reading<Option<Template>> {
    let text = value.one();
    if text.is_empty() {
        return Ok(None).into();
    }
    let remedy = || {
        let names: Vec<String> = Variable::ALL.map(|variable| format!("{{{}}}", variable.name())).to_vec();
        format!("write it as in \"550 5.7.1 {{domain}} is listed\"; there are {}", names.join(" "))
    };
    Template::parse(text)
        .map(Some)
        .map_err(|bad| Fault::new(super::value::elided(&bad.to_string(), 100), remedy()))
        .into()
}

/// A reply that defers mail; nothing if the text is empty.
pub(super) fn deferral(value: &Value) -> Reading<Option<Template>> {
    let reading = template(value);
    if reading.value.as_ref().is_some_and(|t| t.as_ref().is_some_and(|t| !t.is_temporary())) {
        let cause = "trouble with a list must not refuse mail for good";
        return Err(Fault::new(cause, "begin the reply with 451 4.7.1")).into();
    }
    reading
}
