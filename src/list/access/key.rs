//! Keys as an administrator writes them, read into the one form in which they are looked up.
//!
//! A key that could never be found is an error here: in a list of whom to refuse it would let
//! everybody in.

use std::borrow::Cow;

use ipnet::IpNet;

use crate::smtp::{Domain, excerpt};

use super::tag::strip;
use super::{Owner, Syntax, Tag, network, subject};

/// Longest key in octets: two addresses of the longest form that SMTP has, and the tags (RFC 5321, section
/// 4.5.3.1.3).
pub const KEY: usize = 560;

/// Tags of Sendmail that are not about access. Some of their values are secret, and none is looked at.
const FOREIGN: [&str; 13] = [
    "authinfo:",
    "certissuer:",
    "certsubject:",
    "clientconn:",
    "clientrate:",
    "greetpause:",
    "helo:",
    "smtp:",
    "srv_features:",
    "tls_clt:",
    "tls_rcpt:",
    "tls_srv:",
    "try_tls:",
];
/// Prefixes of libsnert's other programs.
const OTHER_MILTERS: [&str; 3] = ["milter-", "smtpf-", "grey-"];

/// A key that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) tag: Tag,
    /// The whole key in canonical form.
    pub(super) text: String,
    /// A network that is looked up by its own length.
    pub(super) odd: Option<IpNet>,
    pub(super) notice: Option<&'static str>,
}

/// What a key can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Key(Written),
    /// A tag of another program.
    Foreign,
}

/// Reads a key. An error is a clause that says what is wrong, and what to write instead.
pub(super) fn read(key: &str, syntax: Syntax) -> Result<Found, String> {
    if key.is_empty() {
        return Err("the key is empty; take the entry out".to_owned());
    }
    let (tag, subject) = match syntax {
        Syntax::Postfix => (Tag::Bare, key),
        Syntax::Sendmail => Tag::take(key),
    };
    let (tag, first, second) = combination(tag, subject);
    if tag == Tag::Bare && syntax == Syntax::Sendmail {
        if is_foreign(key) {
            return Ok(Found::Foreign);
        }
        no_tag(key)?;
    }
    if first.is_empty() && second.is_none() && !tag.has_default() {
        return Err(format!(
            "{tag} needs something behind it; the tag alone is a key for gatepost- and milter-spamc- only"
        ));
    }
    let mut written = Written { tag, text: String::with_capacity(key.len() + 8), odd: None, notice: None };
    tag.head().into_iter().for_each(|part| written.text.push_str(part));
    match tag {
        // What holds for all others.
        Tag::From(_) | Tag::To(_) if first.is_empty() => {}
        Tag::From(_) | Tag::To(_) | Tag::Spam | Tag::FromTo => mailbox(first, syntax, &mut written)?,
        Tag::Auth(_) => written.text.push_str(&first.to_ascii_lowercase()),
        Tag::Bare if first == "<>" && syntax == Syntax::Postfix => written.text.push_str(first),
        Tag::Bare if first == "<>" => mailbox(first, syntax, &mut written)?,
        Tag::Bare if first.contains('@') => mailbox(first, syntax, &mut written)?,
        Tag::Connect(_) | Tag::ConnectFrom | Tag::ConnectTo | Tag::Bare => {
            client(first, syntax, &mut written)?;
        }
    }
    if let (Some(infix), Some(second)) = (tag.infix(), second) {
        written.text.push_str(infix);
        if second.is_empty() {
            return Err(format!("there is nothing behind {infix}"));
        }
        mailbox(second, syntax, &mut written)?;
    }
    if written.text.len() > KEY {
        return Err(format!("a key of {} octets; no address is longer than {KEY}", written.text.len()));
    }
    Ok(Found::Key(written))
}

/// Tells a combination by its second tag.
fn combination(tag: Tag, subject: &str) -> (Tag, &str, Option<&str>) {
    let pairs: &[(Tag, &str)] = match tag {
        Tag::Connect(Owner::Sendmail) => &[(Tag::ConnectFrom, ":from:"), (Tag::ConnectTo, ":to:")],
        Tag::From(Owner::Sendmail) => &[(Tag::FromTo, ":to:")],
        _ => &[],
    };
    for (combined, infix) in pairs {
        let found = memchr::memchr_iter(b':', subject.as_bytes())
            .find_map(|at| Some((&subject[..at], strip(subject.get(at..)?, infix)?)));
        if let Some((first, second)) = found {
            return (*combined, first, Some(second));
        }
    }
    (tag, subject, None)
}

/// Whether a key of this tag and subject, the first of two, would be read as one with another tag: a sender `to:abuse@...` must
/// not be let in by the entry `To:abuse@`, which it looks like without a tag.
pub(super) fn is_ambiguous(tag: Tag, subject: &str) -> bool {
    if !subject.contains(':') {
        return false;
    }
    match tag {
        Tag::Bare => Tag::take(subject).0 != Tag::Bare || is_foreign(subject),
        Tag::Connect(_) | Tag::From(_) => combination(tag, subject).2.is_some(),
        Tag::ConnectFrom | Tag::ConnectTo => combination(Tag::Connect(Owner::Sendmail), subject).2.is_some(),
        Tag::FromTo => combination(Tag::From(Owner::Sendmail), subject).2.is_some(),
        Tag::To(_) | Tag::Auth(_) | Tag::Spam => false,
    }
}

fn is_foreign(key: &str) -> bool {
    let Some((tag, _)) = key.split_once(':') else { return false };
    FOREIGN.iter().any(|foreign| strip(key, foreign).is_some())
        || OTHER_MILTERS.iter().any(|prefix| strip(tag, prefix).is_some_and(|rest| rest.contains('-')))
            && strip(tag, "milter-spamc-").is_none()
}

/// A bare key with a colon is an IPv6 address, or a tag that does not exist.
fn no_tag(key: &str) -> Result<(), String> {
    let Some((tag, _)) = key.split_once(':') else { return Ok(()) };
    let is_word = tag.len() <= 4 && tag.bytes().all(|octet| octet.is_ascii_hexdigit());
    if is_word || tag.eq_ignore_ascii_case("ipv6") || key.starts_with('[') {
        return Ok(());
    }
    Err(format!(
        "{}: is no tag; these are Connect:, From:, To:, Auth: and Spam:, the first four also with gatepost- or milter-spamc- in front",
        excerpt(tag.as_bytes(), 40)
    ))
}

/// A client: an address, a network, a name.
fn client(text: &str, syntax: Syntax, written: &mut Written) -> Result<(), String> {
    match network::read(text) {
        None if !text.starts_with('[') && ends_in_number(text) => Err(format!(
            "{} is neither an address nor a name; write a network like 192.0.2.0/24",
            shown(text)
        )),
        None => domain(text, syntax, written),
        Some(read) => {
            let (network, truncated) = read?;
            if truncated {
                written.notice = Some("the address has bits outside of its network; they are taken as 0");
            }
            if !network::is_cut(network) {
                written.odd = Some(network);
            }
            written.text.push_str(&network::key(network));
            Ok(())
        }
    }
}

/// Whether the last label is a number, as no name's is (RFC 1123, section 2.1): `192.0.2.1-192.0.2.9`.
pub(super) fn ends_in_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|octet| octet.is_ascii_digit())
}

/// A sender or recipient: `user@domain`, `user@`, `domain`.
fn mailbox(text: &str, syntax: Syntax, written: &mut Written) -> Result<(), String> {
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    if text.is_empty() {
        return Err(
            "<> is the null sender, who has no key but in Postfix' syntax; take the line out".to_owned()
        );
    }
    let Some((local, host)) = text.rsplit_once('@') else { return domain(text, syntax, written) };
    let typed = local.contains(['"', '\\', '(', '<', ':']).then(|| subject::Address::parse(text.as_bytes()));
    // In the form in which senders and recipients are looked up: else the key would never be found.
    let (local, host) = match &typed {
        _ if memchr::memchr_iter(b'"', local.as_bytes()).count() % 2 == 1 => {
            return Err(format!("a quote in {} has no end", shown(text)));
        }
        Some(Some(address)) => (address.local(), address.domain()),
        Some(None) => return Err(format!("{} is no address", shown(text))),
        None => (local, host),
    };
    if local.is_empty() {
        return Err(format!(
            "{} has nothing before its @; for a whole domain write it without @",
            shown(text)
        ));
    }
    if local == "*" {
        return Err(format!(
            "{} is a pattern, and a key is none; for a whole domain write {}",
            shown(text),
            shown(host)
        ));
    }
    if local.contains(['*', '?']) {
        written.notice = Some("a key is no pattern; * and ? stand for themselves in it");
    }
    written.text.push_str(&local.to_ascii_lowercase());
    written.text.push('@');
    match host {
        "" => Ok(()),
        host if host.starts_with('.') => Err(format!("{} has a dot behind its @", shown(text))),
        host => domain(host, syntax, written),
    }
}

fn domain(text: &str, syntax: Syntax, written: &mut Written) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    if text.starts_with('[') {
        let literal =
            subject::literal(text).ok_or_else(|| format!("{} is no address in brackets", shown(text)))?;
        written.text.push_str(&literal);
        return Ok(());
    }
    let (dot, name) = match text.strip_prefix('.') {
        Some(name) if syntax == Syntax::Postfix => (".", name),
        Some(name) => {
            return Err(format!("a key does not begin with a dot; {} covers all below it, too", shown(name)));
        }
        None => ("", text),
    };
    if let Some(name) = name.strip_prefix("*.") {
        return Err(format!("a key is no pattern; {} covers all below it, too", shown(name)));
    }
    written.text.push_str(dot);
    written.text.push_str(&canonical(name).ok_or_else(|| format!("{} is no domain", shown(name)))?);
    Ok(())
}

/// The domain as clients' domains are folded.
fn canonical(name: &str) -> Option<Cow<'_, str>> {
    // Nearly all are written so.
    let plain = |label: &str| {
        let legal = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(legal)
    };
    if name.len() <= 253 && name.split('.').all(plain) {
        return Some(Cow::Borrowed(name));
    }
    Domain::from_setting(name).ok().map(|domain| Cow::Owned(domain.as_str().to_owned()))
}

/// A key as an error shows it. A semicolon in an error is followed by the remedy.
fn shown(text: &str) -> String {
    excerpt(text.as_bytes(), 80).replace(';', "\\x3b")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &str, syntax: Syntax) -> String {
        match read(key, syntax) {
            Ok(Found::Key(written)) => written.text,
            Ok(Found::Foreign) => "foreign".to_owned(),
            Err(cause) => format!("error: {cause}"),
        }
    }

    #[test]
    fn keys_have_one_form() {
        for (key, expected) in [
            ("From:Foo.Example", "from:foo.example"),
            ("from:<A+x@B\u{fc}cher.example>", "from:a+x@xn--bcher-kva.example"),
            ("TO:postmaster@", "to:postmaster@"),
            ("Milter-Spamc-Connect:", "milter-spamc-connect:"),
            ("gatepost-connect:IPv6:2001:0DB8", "gatepost-connect:ipv6:2001:db8"),
            ("Connect:[IPv6:2001:DB8:0:0:0:0:0:7]", "connect:[ipv6:2001:db8::7]"),
            ("connect:2001:db8:From:A@B.example", "connect:ipv6:2001:db8:from:a@b.example"),
            ("From:sender.example:To:a@", "from:sender.example:to:a@"),
            ("connect:192.0.2.0/24:to:list@b.example", "connect:192.0.2:to:list@b.example"),
            ("milter-spamc-auth:Alice", "milter-spamc-auth:alice"),
            ("Spam:postmaster@", "spam:postmaster@"),
            ("192.0.2", "192.0.2"),
            ("2001:db8::/32", "ipv6:2001:db8"),
            ("user@a.example", "user@a.example"),
            ("To:a@[192.0.2.1]", "to:a@[192.0.2.1]"),
            ("From:\"John.Doe\"@b.example", "from:john.doe@b.example"),
            ("From:j\\ohn@B.example", "from:john@b.example"),
            ("From:(x)john@b.example", "from:john@b.example"),
            ("From:<@relay.example:john@b.example>", "from:john@b.example"),
            ("From:\"a@x\"@b.example:To:\"c\"@", "from:a@x@b.example:to:c@"),
            ("GreetPause:localhost", "foreign"),
            ("AuthInfo:mail.example", "foreign"),
            ("milter-link-connect:192.0.2.1", "foreign"),
        ] {
            assert_eq!(text(key, Syntax::Sendmail), expected, "{key}");
        }
        for (key, expected) in [
            (".example.org", ".example.org"),
            ("<>", "<>"),
            ("2001:db8:1:2", "ipv6:2001:db8:1:2"),
            ("postmaster@", "postmaster@"),
        ] {
            assert_eq!(text(key, Syntax::Postfix), expected, "{key}");
        }
    }

    #[test]
    fn a_key_that_could_never_be_found_is_an_error_with_its_remedy() {
        let long = [62, 63, 63, 63].map(|octets| "a".repeat(octets)).join(".");
        for (key, remedy) in [
            ("Form:a@b.example", "these are Connect:"),
            ("gatepost-form:a@b.example", "these are Connect:"),
            ("milter-spamc-spam:a@b.example", "these are Connect:"),
            ("From:@b.example", "write it without @"),
            ("From:*@b.example", "write b.example"),
            ("From:*.b.example", "b.example covers all below it"),
            ("From:.b.example", "b.example covers all below it"),
            ("From:", "from: needs something behind it"),
            ("connect:192.0.2:to:", "nothing behind"),
            ("", "the key is empty"),
            ("Connect:192.0.2.0/33", "is no network"),
            ("Connect:300", "is no IPv4 address"),
            ("Connect:[192.0.2.1", "no address in brackets"),
            ("from:a@b.example:to:", "nothing behind"),
            ("From:<>", "<> is the null sender"),
            ("gatepost-from:<>", "<> is the null sender"),
            ("gatepost-to:<>", "<> is the null sender"),
            ("Connect:192.0.2:From:<>", "<> is the null sender"),
            ("From:<>:To:a@b.example", "<> is the null sender"),
            ("Spam:<>", "<> is the null sender"),
            ("<>", "<> is the null sender"),
            ("Connect:192.0.2.1-192.0.2.9", "write a network like 192.0.2.0/24"),
            ("From:\"a@b.example", "has no end"),
            ("to:a..b", "is no domain"),
            (";", "\\x3b is no domain"),
            ("From:\"\"@b.example", "write it without @"),
            (&format!("From:{long}"), "is no domain"),
        ] {
            let said = text(key, Syntax::Sendmail);
            assert!(said.starts_with("error: ") && said.contains(remedy), "{key}: {said}");
        }
        assert_eq!(text(&long[1..], Syntax::Sendmail), long[1..], "one octet less is a name");
        let said = text("a@.b.example", Syntax::Postfix);
        assert!(said.contains("has a dot behind its @"), "dots begin domains alone: {said}");
    }

    #[test]
    fn a_key_of_dqs_in_the_place_of_an_entry_is_not_shown_nor_its_beginning() {
        let key = "abcdefghij0123456789klmnop";
        let told = |entry: &str| {
            let said = text(entry, Syntax::Sendmail);
            assert!(said.starts_with("error: ") && !said.contains("abc"), "{said}");
        };
        for entry in
            [format!("{key}:"), format!("From:*@{key}"), format!("Connect:.{key}"), format!("\"{key}@x")]
        {
            told(&entry);
        }
        for before in 0..90 {
            let before = "x".repeat(before);
            told(&format!("{before}-{key}: OK"));
            told(&format!("To:..{before}.{key}"));
            told(&format!("Connect:{before}-{key}.0"));
        }
    }
}
