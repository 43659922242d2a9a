//! The keys that a subject is looked up by, the most particular first.
//!
//! One sequence for all kinds of maps: whoever can get a value for a key can be asked.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::key::{KEY, ends_in_number, is_ambiguous};
use super::network::{self, Lengths};
use super::subject::bracketed;
use super::{Address, Host, Syntax, Tag};

/// Parents of a domain that are looked up, beside the domain itself. The deepest names in use have 34 labels
/// (IPv6 addresses in `ip6.arpa`); a client may well type 127.
pub(super) const PARENTS: usize = 36;

/// One key of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    text: Box<str>,
    /// The IPv6 network in it, and where.
    v6: Option<(Ipv6Net, usize, usize)>,
}

impl Key {
    /// The key in canonical form, as text maps hold it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The spellings that a map of another program may have it in, to be tried one after the other.
    pub fn spellings(&self) -> Vec<String> {
        let Some((network, start, end)) = self.v6 else { return vec![self.text.to_string()] };
        let (head, tail) = (&self.text[..start], &self.text[end..]);
        network::spellings(network).into_iter().map(|form| format!("{head}{form}{tail}")).collect()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whom a key is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A client by its address.
    Client(&'a Host),
    /// A client by its name, or by what stands for it.
    Name(&'a Host),
    /// A sender or recipient.
    Mailbox(&'a Address),
    /// The null sender, which Postfix' maps alone have a key for.
    Null,
    /// A login.
    Login(&'a str),
}

/// How keys are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form<'a> {
    /// The map's syntax.
    pub syntax: Syntax,
    /// Characters that begin the detail of a local part.
    pub detail: &'a str,
    /// Lengths of networks that the map has keys of.
    pub lengths: Lengths,
    /// Parents of a domain that are looked up, those nearest to the root.
    pub parents: usize,
}

impl Default for Form<'_> {
    fn default() -> Self {
        Self { syntax: Syntax::default(), detail: "+", lengths: Lengths::NONE, parents: PARENTS }
    }
}

/// A piece of a key.
#[derive(Debug, Clone)]
struct Part<'a> {
    text: Cow<'a, str>,
    v6: Option<Ipv6Net>,
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Part<'a> {
    fn from(text: T) -> Self {
        Self { text: text.into(), v6: None }
    }
}

/// The keys of one subject, or of a pair for a [combination](Tag::is_combined).
///
/// At most some 1,700 keys for a pair of the deepest names, some 50 for any one subject. Keys that no map
/// can hold are left out: those with control characters, those that are too long, and those that look as if they had another
/// tag.
pub fn keys<'a>(tag: Tag, subjects: (Subject<'a>, Option<Subject<'a>>), form: &Form<'_>) -> Keys<'a> {
    let mut first = parts(subjects.0, form);
    if tag.names_networks() && !matches!(subjects.0, Subject::Client(_)) {
        // No name ends in a number (RFC 1123, section 2.1), so whoever sends as `x@192.0.2` is not that network.
        first.retain(|part| part.text.contains('@') || !ends_in_number(&part.text));
    }
    let second = subjects.1.map_or_else(Vec::new, |subject| parts(subject, form));
    // Of a client the name comes last, and with it what holds for all others.
    if tag.has_default() && !matches!(subjects.0, Subject::Client(_)) {
        first.push("".into());
    }
    Keys { tag, syntax: form.syntax, first, second, next: 0 }
}

/// A sequence of keys, see [`keys`].
#[derive(Debug, Clone)]
pub struct Keys<'a> {
    tag: Tag,
    syntax: Syntax,
    first: Vec<Part<'a>>,
    second: Vec<Part<'a>>,
    next: usize,
}

impl Iterator for Keys<'_> {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        let width = if self.tag.is_combined() { self.second.len() } else { 1 };
        while self.next < self.first.len() * width {
            let n = self.next;
            self.next += 1;
            let rest = if self.tag.is_combined() { self.second.get(n % width) } else { None };
            let first = &self.first[n / width];
            if self.syntax == Syntax::Sendmail && first.v6.is_none() && is_ambiguous(self.tag, &first.text) {
                continue;
            }
            if let Some(key) = key(self.tag, first, rest) {
                return Some(key);
            }
        }
        None
    }
}

fn key(tag: Tag, part: &Part<'_>, rest: Option<&Part<'_>>) -> Option<Key> {
    let [prefix, head] = tag.head();
    let start = prefix.len() + head.len();
    let end = start + part.text.len();
    let (infix, rest) = (rest.and(tag.infix()).unwrap_or_default(), rest.map_or("", |rest| &rest.text));
    let length = end + infix.len() + rest.len();
    if length > KEY {
        return None;
    }
    let mut text = String::with_capacity(length);
    for piece in [prefix, head, &part.text, infix, rest] {
        text.push_str(piece);
    }
    if text.bytes().any(|octet| octet.is_ascii_control()) {
        return None;
    }
    Some(Key { text: text.into(), v6: part.v6.map(|network| (network, start, end)) })
}

fn parts<'a>(subject: Subject<'a>, form: &Form<'_>) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(12);
    match subject {
        Subject::Client(host) => {
            let networks = host.ip().into_iter().flat_map(|ip| network::around(ip, form.lengths));
            parts.extend(networks.map(|network| Part {
                text: network::key(network).into(),
                v6: if let IpNet::V6(network) = network { Some(network) } else { None },
            }));
        }
        Subject::Name(host) => names(host, form, &mut parts),
        Subject::Mailbox(address) => mailbox(address, form, &mut parts),
        Subject::Null if form.syntax == Syntax::Postfix => parts.push("<>".into()),
        Subject::Null => {}
        Subject::Login(login) => parts.push(login.to_ascii_lowercase().into()),
    }
    parts
}

/// The name of a client, or what stands for it.
fn names<'a>(host: &'a Host, form: &Form<'_>, parts: &mut Vec<Part<'a>>) {
    if let Some(name) = host.name() {
        return domains(name, form, parts);
    }
    if let Some(ip) = host.ip() {
        let v6 = if let IpAddr::V6(v6) = ip { Some(Ipv6Net::from(v6)) } else { None };
        let own = bracketed(ip);
        // What other programs call it; text maps have the form above.
        let others = v6.into_iter().flat_map(network::spellings).map(|form| format!("[{form}]"));
        let others: Vec<Part<'_>> = others.filter(|form| *form != own).map(Part::from).collect();
        parts.push(own.into());
        parts.extend(others);
    }
    // Postfix' name for it.
    parts.push("unknown".into());
}

/// A domain and its parents.
fn domains<'a>(name: &'a str, form: &Form<'_>, parts: &mut Vec<Part<'a>>) {
    if name.is_empty() {
        return;
    }
    parts.push(name.into());
    if name.starts_with('[') {
        return;
    }
    let labels = name.split('.').count();
    let parents = name.match_indices('.').skip(labels.saturating_sub(form.parents + 1));
    for (dot, _) in parents {
        if form.syntax == Syntax::Postfix {
            parts.push(name[dot..].into());
        }
        parts.push(name[dot + 1..].into());
    }
}

fn mailbox<'a>(address: &'a Address, form: &Form<'_>, parts: &mut Vec<Part<'a>>) {
    let (local, domain) = (address.local(), address.domain());
    let bare = address.without_detail(form.detail).filter(|bare| !bare.is_empty());
    if !domain.is_empty() {
        if !local.is_empty() {
            parts.push(address.as_str().into());
        }
        parts.extend(bare.map(|bare| format!("{bare}@{domain}").into()));
        domains(domain, form, parts);
    }
    if !local.is_empty() {
        parts.push(address.local_at().map_or_else(|| format!("{local}@").into(), Part::from));
    }
    parts.extend(bare.map(|bare| format!("{bare}@").into()));
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::super::key::read;
    use super::*;

    fn list(tag: Tag, first: Subject<'_>, second: Option<Subject<'_>>, syntax: Syntax) -> Vec<String> {
        let form = Form { syntax, ..Form::default() };
        keys(tag, (first, second), &form).map(|key| key.to_string()).collect()
    }

    #[test]
    fn a_mailbox_is_reduced_by_detail_then_domain_then_local_part() {
        let address = Address::parse(b"<A+X@Sub.Dom.Example>").expect("an address");
        assert_eq!(
            list(Tag::To(Owner::Gatepost), Subject::Mailbox(&address), None, Syntax::Sendmail),
            [
                "a+x@sub.dom.example",
                "a@sub.dom.example",
                "sub.dom.example",
                "dom.example",
                "example",
                "a+x@",
                "a@",
                ""
            ]
            .map(|subject| format!("gatepost-to:{subject}"))
        );
        assert_eq!(
            list(Tag::Bare, Subject::Mailbox(&address), None, Syntax::Postfix),
            [
                "a+x@sub.dom.example",
                "a@sub.dom.example",
                "sub.dom.example",
                ".dom.example",
                "dom.example",
                ".example",
                "example",
                "a+x@",
                "a@"
            ]
        );
        let literal = Address::parse(b"<a@[IPv6:2001:DB8::1]>").expect("an address");
        assert_eq!(
            list(Tag::From(Owner::Sendmail), Subject::Mailbox(&literal), None, Syntax::Sendmail),
            ["from:a@[ipv6:2001:db8::1]", "from:[ipv6:2001:db8::1]", "from:a@"]
        );
    }

    #[test]
    fn the_null_sender_has_a_key_in_postfix_maps_only() {
        assert!(list(Tag::From(Owner::Sendmail), Subject::Null, None, Syntax::Sendmail).is_empty());
        assert_eq!(list(Tag::Bare, Subject::Null, None, Syntax::Postfix), ["<>"]);
    }

    #[test]
    fn a_client_without_a_name_is_known_by_its_address_in_brackets() {
        let ip = "192.0.2.9".parse().ok();
        for name in [&b"unknown"[..], b"", b"[192.0.2.9]", b"UNKNOWN"] {
            let host = Host::new(ip, name);
            assert_eq!(
                list(Tag::Connect(Owner::Spamc), Subject::Name(&host), None, Syntax::Sendmail),
                ["milter-spamc-connect:[192.0.2.9]", "milter-spamc-connect:unknown", "milter-spamc-connect:"]
            );
        }
        let host = Host::new("2001:db8::1".parse().ok(), b"");
        assert_eq!(
            list(Tag::Connect(Owner::Sendmail), Subject::Name(&host), None, Syntax::Sendmail),
            [
                "[ipv6:2001:db8::1]",
                "[ipv6:2001:db8:0:0:0:0:0:1]",
                "[2001:db8:0:0:0:0:0:1]",
                "[2001:db8::1]",
                "unknown"
            ]
            .map(|name| format!("connect:{name}")),
            "once each"
        );
    }

    #[test]
    fn of_a_deep_name_the_parents_nearest_to_the_root_are_looked_up() {
        for (name, parents, expected) in [
            ("a.b.c.d.example", 2, &["a.b.c.d.example", "d.example", "example"][..]),
            ("c.d.example", 2, &["c.d.example", "d.example", "example"]),
            ("c.d.example", 0, &["c.d.example"]),
        ] {
            let host = Host::new(None, name.as_bytes());
            let form = Form { syntax: Syntax::Postfix, parents, ..Form::default() };
            let keys = keys(Tag::Bare, (Subject::Name(&host), None), &form).map(|key| key.to_string());
            let keys: Vec<String> = keys.filter(|key| !key.starts_with('.')).collect();
            assert_eq!(keys, expected, "{name}");
        }
    }

    #[test]
    fn the_longest_key_of_a_map_is_looked_up_and_nothing_longer() {
        let to = Address::parse(b"<a>").expect("an address");
        for (tag, head, second, tail) in [
            (Tag::From(Owner::Sendmail), "from:", None, ""),
            (Tag::FromTo, "from:", Some(Subject::Mailbox(&to)), ":to:a@"),
        ] {
            let longest = KEY - head.len() - "@".len() - tail.len();
            for (octets, can_be) in [(longest, true), (longest + 1, false)] {
                let local = "x".repeat(octets);
                let written = format!("{head}{local}@{tail}");
                let address = Address::parse(local.as_bytes()).expect("an address");
                let asked = list(tag, Subject::Mailbox(&address), second, Syntax::Sendmail);
                assert_eq!(asked.contains(&written), can_be, "{tag} {octets}");
                assert_eq!(read(&written, Syntax::Sendmail).is_ok(), can_be, "{tag} {octets}");
            }
        }
    }

    #[test]
    fn no_subject_can_pass_itself_off_as_a_tag() {
        let address = |text: &str| Address::parse(text.as_bytes()).expect("an address");
        let bare = |text: &str, syntax| list(Tag::Bare, Subject::Mailbox(&address(text)), None, syntax);
        for local in [
            "to:abuse",
            "Spam:postmaster",
            "gatepost-to:list",
            "from:a:to:b",
            "connect:192.0.2.1",
            "AuthInfo:x",
        ] {
            let text = format!("<\"{local}\"@evil.example>");
            assert_eq!(bare(&text, Syntax::Sendmail), ["evil.example", "example"], "{local}");
            assert_eq!(bare(&text, Syntax::Postfix).len(), 5, "there are no tags: {local}");
        }
        assert_eq!(bare("<\"c:d\"@evil.example>", Syntax::Sendmail).len(), 4);
        let pair = address("<\"friend.example:To:list\"@evil.example>");
        let (pair, to) = (Subject::Mailbox(&pair), address("<a@b.example>"));
        let from = Tag::From(Owner::Sendmail);
        assert_eq!(list(from, pair, None, Syntax::Sendmail), ["from:evil.example", "from:example"]);
        assert_eq!(list(Tag::From(Owner::Gatepost), pair, None, Syntax::Sendmail).len(), 5);
        let keys = list(Tag::FromTo, pair, Some(Subject::Mailbox(&to)), Syntax::Sendmail);
        assert_eq!(keys[0], "from:evil.example:to:a@b.example");
    }

    #[test]
    fn no_domain_can_pass_itself_off_as_a_network() {
        let address = Address::parse(b"<x@a.192.0>").expect("an address");
        let keys = |tag, syntax| list(tag, Subject::Mailbox(&address), None, syntax);
        assert_eq!(keys(Tag::Bare, Syntax::Sendmail), ["x@a.192.0", "x@"]);
        assert_eq!(keys(Tag::Bare, Syntax::Postfix), ["x@a.192.0", "x@"]);
        assert_eq!(keys(Tag::From(Owner::Sendmail), Syntax::Sendmail).len(), 5, "no network is a sender");
        let host = Host::new(None, b"a.192.0");
        assert!(list(Tag::Connect(Owner::Sendmail), Subject::Name(&host), None, Syntax::Sendmail).is_empty());
    }

    #[test]
    fn an_ipv6_key_has_the_spellings_of_other_programs() {
        let host = Host::new("2001:db8::1".parse().ok(), b"");
        let form = Form::default();
        let spelled: Vec<String> =
            keys(Tag::ConnectFrom, (Subject::Client(&host), Some(Subject::Login("x"))), &form)
                .flat_map(|key| key.spellings())
                .collect();
        assert_eq!(spelled[0], "connect:ipv6:2001:db8:0:0:0:0:0:1:from:x");
        assert!(spelled.contains(&"connect:2001:db8:from:x".to_owned()), "{spelled:?}");
    }

    #[test]
    fn the_deepest_names_make_a_bounded_number_of_keys() {
        let deep = "a.".repeat(2_000) + "example";
        let host = Host::new("2001:db8::1".parse().ok(), deep.as_bytes());
        let address = Address::parse(format!("x+y@{deep}").as_bytes()).expect("an address");
        let pair = (Subject::Name(&host), Some(Subject::Mailbox(&address)));
        let all: Vec<Key> = keys(Tag::ConnectTo, pair, &Form::default()).collect();
        assert!(
            all.len() < 1_700 && all.last().expect("keys").as_str() == "connect:example:to:x@",
            "{}",
            all.len()
        );
        assert!(all.iter().all(|key| key.as_str().len() <= KEY));
        let hostile = Address::parse(b"<\"a\0b\"@x.example>").expect("an address");
        let keys = list(Tag::From(Owner::Sendmail), Subject::Mailbox(&hostile), None, Syntax::Sendmail);
        assert_eq!(keys, ["from:x.example", "from:example"]);
    }
}
