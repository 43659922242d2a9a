//! The reverse-path: what a client writes after MAIL FROM.

use super::{Domain, NoDomain};

/// The reverse-path of MAIL (RFC 5321, section 4.1.2), reduced to the domain that answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`, or an empty argument as Postfix passes it for mail that did not come by SMTP.
    Null,
    /// A local part alone, such as `<postmaster>`.
    NoDomain,
    /// A mailbox whose domain can be asked about; `trimmed` if only the right part of it is legal.
    Domain {
        /// The domain.
        domain: Domain,
        /// Whether labels were left out, see [`Domain::from_octets`].
        trimmed: bool,
    },
    /// A mailbox whose domain cannot be asked about, an address literal for example.
    Unusable(NoDomain),
}

impl ReversePath {
    /// Reads the argument of MAIL in any form that clients use: with and without brackets, quoted
    /// local parts, source routes, comments, U-labels, stray blanks.
    ///
    /// Never fails, in time linear in the input: what is no address at all is still searched for the
    /// domain that the MTA would see in it.
    pub fn parse(argument: &[u8]) -> Self {
        let path = inside_brackets(argument.trim_ascii());
        if path.is_empty() {
            return Self::Null;
        }
        let Some(at) = last_at(path) else { return Self::NoDomain };
        let domain = &path[at + 1..];
        if path.starts_with(b"@") && route_end(path).is_some_and(|colon| at < colon) {
            // `@relay.example:user`: the only domain is that of the route.
            return Self::NoDomain;
        }
        let domain = without_comment(domain).trim_ascii();
        if domain.is_empty() {
            return Self::NoDomain;
        }
        match Domain::from_octets(domain) {
            Ok((domain, trimmed)) => Self::Domain { domain, trimmed },
            Err(why) => Self::Unusable(why),
        }
    }
}

/// What stands between `<` and the last `>`; all of it if there are no brackets.
fn inside_brackets(argument: &[u8]) -> &[u8] {
    let Some(rest) = argument.strip_prefix(b"<") else { return argument };
    let end = memchr::memrchr(b'>', rest).unwrap_or(rest.len());
    rest[..end].trim_ascii()
}

/// The last `@` outside quotes, comments and brackets. Where one of those is never closed, the text is no
/// address by any grammar, and the last `@` of all is the best guess at what the MTA made of it.
fn last_at(path: &[u8]) -> Option<usize> {
    match scan(path, b'@') {
        Ok(at) => at,
        Err(Unclosed) => memchr::memrchr(b'@', path),
    }
}

/// The last `:` outside quotes, comments and brackets.
fn route_end(path: &[u8]) -> Option<usize> {
    scan(path, b':').ok().flatten()
}

struct Unclosed;

/// The last `wanted` octet that is neither quoted nor in a comment or address literal.
fn scan(path: &[u8], wanted: u8) -> Result<Option<usize>, Unclosed> {
    let (mut quoted, mut comments, mut literal) = (false, 0_usize, false);
    let mut found = None;
    let mut octets = path.iter().enumerate();
    while let Some((at, &octet)) = octets.next() {
        match octet {
            b'\\' if quoted || comments > 0 => {
                octets.next();
            }
            b'"' if comments == 0 => quoted = !quoted,
            b'(' if !quoted => comments += 1,
            b')' if !quoted && comments > 0 => comments -= 1,
            b'[' if !quoted && comments == 0 => literal = true,
            b']' if !quoted && comments == 0 => literal = false,
            _ if octet == wanted && !quoted && comments == 0 && !literal => found = Some(at),
            _ => {}
        }
    }
    if quoted || comments > 0 { Err(Unclosed) } else { Ok(found) }
}

/// A domain without the comments around it, as in `(a) example.org (b)`.
fn without_comment(mut domain: &[u8]) -> &[u8] {
    while let Some(rest) = domain.trim_ascii_start().strip_prefix(b"(") {
        let Some(end) = memchr::memchr(b')', rest) else { return domain };
        domain = &rest[end + 1..];
    }
    let end = domain.iter().position(|octet| matches!(octet, b'(' | b' ' | b'\t')).unwrap_or(domain.len());
    let lead = domain.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    if lead > 0 && lead < domain.len() { without_comment(&domain[lead..]) } else { &domain[..end] }
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
