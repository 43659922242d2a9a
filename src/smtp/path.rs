//! The reverse-path: what a client writes after MAIL FROM.

use super::mailbox::{Raw, last_name};
use super::{Domain, NoDomain};

/// The reverse-path of MAIL (RFC 5321, section 4.1.2), reduced to the domain that answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`, or an empty argument as Postfix passes it for mail that did not come by SMTP.
    Null,
    /// A local part alone, such as `<postmaster>`.
    NoDomain,
    /// A mailbox whose domain can be asked about; `trimmed` of its labels were left out.
    Domain {
        /// The domain.
        domain: Domain,
        /// How many labels were left out, see [`Domain::from_octets`].
        trimmed: usize,
    },
    /// A mailbox whose domain cannot be asked about, an address literal for example.
    Unusable(NoDomain),
}

impl ReversePath {
    /// Reads the argument of MAIL in any form that clients use: with and without brackets, quoted
    /// local parts and domains, source routes, comments, U-labels, stray blanks and backslashes.
    ///
    /// Never fails, in time linear in the input: what is no address at all is still searched for the
    /// domain that the MTA would see in it. Without an `@` that is the one of `domain!user` or
    /// `user%domain`, which Postfix and Sendmail rewrite to `user@domain`.
    pub fn parse(argument: &[u8]) -> Self {
        // Nearly all paths look so; the way below makes a copy and looks at each octet several times.
        if let Some(domain) = plain(argument).and_then(|(_, domain)| Domain::from_octets(domain).ok()) {
            let (domain, trimmed) = domain;
            return Self::Domain { domain, trimmed };
        }
        let mailbox = Raw::read(argument);
        let domain = match mailbox.domain() {
            Some(domain) if !domain.is_empty() => domain,
            // No address by any grammar: what follows the last `@` of all is the best guess.
            _ if mailbox.unclosed => match last_name(argument) {
                Some(name) => name,
                None => return Self::NoDomain,
            },
            _ if mailbox.octets.is_empty() => return Self::Null,
            _ => return Self::NoDomain,
        };
        match Domain::from_octets(domain) {
            Ok((domain, trimmed)) => Self::Domain { domain, trimmed },
            Err(why) => Self::Unusable(why),
        }
    }
}

/// Local part and domain of a path that has nothing special in it: `<user@dom>`.
fn plain(argument: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = argument.strip_prefix(b"<")?.strip_suffix(b">")?;
    let at = memchr::memchr(b'@', path)?;
    let (local, domain) = (&path[..at], &path[at + 1..]);
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b".-_+=".contains(octet);
    (at > 0 && local.iter().chain(domain).all(is_plain)).then_some((local, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(argument: &[u8]) -> Option<String> {
        match ReversePath::parse(argument) {
            ReversePath::Domain { domain, .. } => Some(domain.to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_plain_path_is_read_as_any_other() {
        let mut words = vec![Vec::new()];
        for _ in 0..5 {
            let longer = words.iter().flat_map(|word: &Vec<u8>| {
                b"aZ0.-_+=@!%:\"\\[(".iter().map(move |octet| [word.as_slice(), &[*octet]].concat())
            });
            let longer: Vec<_> = longer.collect();
            for word in &longer {
                for path in [[b"<", &**word, b".example>"].concat(), [b"<u@", &**word, b">"].concat()] {
                    if let Some((local, domain)) = plain(&path) {
                        let slow = Raw::read(&path);
                        assert_eq!(slow.split(), (local, Some(domain)), "{word:?}");
                        assert!(!slow.unclosed);
                    }
                }
            }
            words = if longer.len() > 4_096 { break } else { longer };
        }
        let parts = plain(b"<a.user+x@sub.example>");
        assert_eq!(parts, Some((&b"a.user+x"[..], &b"sub.example"[..])));
        for path in [&b"<@dom.example>"[..], b"a@dom.example", b"<a@b@dom.example>", b"<\"a\"@dom.example>"] {
            assert_eq!(plain(path), None);
        }
    }

    #[test]
    fn every_way_to_write_an_address_leads_to_its_domain() {
        for argument in [
            "<u@spam.example>",
            "u@spam.example",
            "  <u@spam.example>  ",
            "< u@spam.example >",
            "<u@SPAM.Example>",
            "<u@spam.example.>",
            "<\"a@b\"@spam.example>",
            "<\"a\\\"@b\"@spam.example>",
            "<\"a>b\"@spam.example>",
            "<@relay.example,@x.example:u@spam.example>",
            "<@relay.example:\"a:b@c\"@spam.example>",
            "<user@spam.example (comment)>",
            "<user(a@b)@spam.example>",
            "<user@(comment)spam.example>",
            "<user@(a(b)spam.example>",
            "<\"open@spam.example>",
            "<(open@spam.example>",
            "<a@b@spam.example>",
            "<u@spam.example",
            "<u@spam.example> SIZE=10",
            // Postfix 3.7 takes each of these, and queues mail from u@spam.example.
            "<u@(a(b))spam.example>",
            "<u@(a\\)b)spam.example>",
            "<u@spam.(a)example>",
            "<u@spam.example>>",
            "<x <u@spam.example>>",
            "<u@spam. example>",
            "<u@spam . example>",
            "<u@\"spam.example\">",
            "<u@spam\\.example>",
            "<u@spam.exampl\\e>",
            "<spam.example!u>",
            "<spam.example!u%x.example>",
            "<u%spam.example>",
            "<u%x.example%spam.example>",
            "u@spam.example<",
            "<u@spam.example(a>",
            "<u@spam.example;>",
            "<u@spam.example,>",
            "<,u@spam.example>",
            "<group:u@spam.example;>",
            "group:u@spam.example;",
            "<group:spam.example!u;>",
        ] {
            assert_eq!(domain(argument.as_bytes()).as_deref(), Some("spam.example"), "{argument}");
        }
        assert_eq!(domain("<u@b\u{fc}cher.example>".as_bytes()).as_deref(), Some("xn--bcher-kva.example"));
        let padded = [&b"<"[..], &vec![b'a'; 40_000], b"@spam.example>"].concat();
        assert_eq!(domain(&padded).as_deref(), Some("spam.example"));
    }

    #[test]
    fn no_domain_is_not_an_error() {
        assert_eq!(ReversePath::parse(b"<>"), ReversePath::Null);
        assert_eq!(ReversePath::parse(b""), ReversePath::Null);
        assert_eq!(ReversePath::parse(b" < > "), ReversePath::Null);
        assert_eq!(ReversePath::parse(b"<postmaster>"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<\"a@b\">"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<user@>"), ReversePath::NoDomain);
        assert_eq!(ReversePath::parse(b"<@relay.example:user>"), ReversePath::NoDomain);
        for (argument, why) in [
            ("<u@[192.0.2.9]>", NoDomain::Literal),
            ("<u@[IPv6:2001:db8::1]>", NoDomain::Literal),
            ("<@relay.example:u@[IPv6:2001:db8::1]>", NoDomain::Literal),
            ("<u@1.2.3.4>", NoDomain::Numeric),
            ("<u@localhost>", NoDomain::Single),
        ] {
            assert_eq!(ReversePath::parse(argument.as_bytes()), ReversePath::Unusable(why), "{argument}");
        }
        assert_eq!(ReversePath::parse(b"<u@caf\xe9.example>"), ReversePath::Unusable(NoDomain::Encoding));
    }
}
