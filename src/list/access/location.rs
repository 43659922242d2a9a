//! Where a map is, as an administrator writes it: `cdb:/etc/mail/access.cdb`.
//!
//! Opens nothing. Both the notation of Postfix (`text:/path`) and that of milter-spamc (`text!/path`) are read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::smtp::is_unprintable;

/// The port of milter-spamc's socket maps, where none is named.
pub const PORT: u16 = 7953;

/// Longest name of a socket map. Postfix' have some ten characters; it goes out with each question.
const NAME: usize = 100;
/// Longest name of a table or column.
const IDENTIFIER: usize = 64;

/// What there is, to be named in an error.
const KINDS: &str = "text:, cdb:, lmdb:, sqlite: or socketmap:";

/// The place and kind of a map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A text file, the source of makemap or postmap.
    Text(PathBuf),
    /// A constant database, made by `postmap cdb:` or cdbmake.
    Cdb(PathBuf),
    /// An LMDB database, made by `postmap lmdb:`.
    Lmdb(PathBuf),
    /// A table of an SQLite database.
    Sqlite(Table),
    /// A server that speaks Sendmail's socket map protocol.
    Socketmap(Socketmap),
}

/// Two columns of a table in a file of SQLite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// The table's name: letters, digits and `_`, as those of the columns.
    pub table: String,
    /// The column that keys are in.
    pub key: String,
    /// The column that values are in.
    pub value: String,
}

/// A map behind a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Socketmap {
    /// Where the server listens.
    pub server: Server,
    /// What the map is called there: printable, without blanks.
    pub name: String,
}

/// Where a server of socket maps listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// TCP.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a text names no map that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}; {remedy}")]
pub struct BadLocation {
    /// What is wrong, and why.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl Location {
    /// The file that is read; none for a socket map.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Text(path) | Self::Cdb(path) | Self::Lmdb(path) | Self::Sqlite(Table { path, .. }) => {
                Some(path)
            }
            Self::Socketmap(_) => None,
        }
    }

    /// The TCP port of its server, if it has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Socketmap(Socketmap { server: Server::Inet(address), .. }) => Some(address.port()),
            _ => None,
        }
    }

    /// What kind of map it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Cdb(_) => "cdb",
            Self::Lmdb(_) => "lmdb",
            Self::Sqlite(_) => "sqlite",
            Self::Socketmap(_) => "socketmap",
        }
    }
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let text = text.trim();
        if let Some(unseen) = text.chars().find(|c| is_unprintable(*c)) {
            let code = u32::from(unseen);
            return bad(
                format!("there is a character in it that cannot be seen (U+{code:04X})"),
                "remove it",
            );
        }
        if text.starts_with('/') {
            return file(text);
        }
        let Some(at) = text.find([':', '!']) else { return file(text) };
        let (kind, rest) = (&text[..at], &text[at + 1..]);
        match (kind.to_ascii_lowercase().as_str(), text.as_bytes()[at]) {
            ("text" | "file" | "texthash", _) => file(rest),
            ("cdb", _) => Ok(Self::Cdb(path(rest, "cdb:/etc/mail/access.cdb")?)),
            ("lmdb", _) => Ok(Self::Lmdb(path(rest, "lmdb:/etc/postfix/access.lmdb")?)),
            ("sqlite" | "sql", _) => {
                let table = table(rest)?;
                if cfg!(feature = "sqlite") { Ok(Self::Sqlite(table)) } else { Err(without_sqlite()) }
            }
            ("socketmap", b':') => postfix(rest).map(Self::Socketmap),
            ("socketmap", _) => spamc(rest, "access").map(Self::Socketmap),
            ("hash" | "btree" | "dbm" | "db" | "sdbm" | "gdbm" | "ndbm", _) => Err(berkeley(kind, rest)),
            // `access!socketmap!host:port`: the name of the map comes first.
            (_, b'!') if rest.starts_with("socketmap!") => {
                spamc(&rest["socketmap!".len()..], kind).map(Self::Socketmap)
            }
            (_, b'!') if ["text!", "file!", "sql!", "db!"].iter().any(|kind| rest.starts_with(kind)) => {
                rest.parse()
            }
            _ => bad(
                format!("{} is no kind of map that can be read", shown(kind)),
                format!(
                    "use {KINDS}; what only the mail server can read, export as text: postmap -s {}",
                    shown(text)
                ),
            ),
        }
    }
}

impl fmt::Display for Location {
    /// In the notation of Postfix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(path) => write!(f, "text:{}", path.display()),
            Self::Cdb(path) => write!(f, "cdb:{}", path.display()),
            Self::Lmdb(path) => write!(f, "lmdb:{}", path.display()),
            Self::Sqlite(Table { path, table, key, value }) => {
                write!(f, "sqlite:{}?table={table}&key={key}&value={value}", path.display())
            }
            Self::Socketmap(Socketmap { server: Server::Inet(address), name }) => {
                write!(f, "socketmap:inet:{address}:{name}")
            }
            Self::Socketmap(Socketmap { server: Server::Unix(path), name }) => {
                write!(f, "socketmap:unix:{}:{name}", path.display())
            }
        }
    }
}

/// The error for a map of Berkeley DB, with what to do instead.
pub fn berkeley(kind: &str, path: &str) -> BadLocation {
    let source = path.strip_suffix(".db").unwrap_or(path).rsplit_once('!').map_or_else(
        || path.strip_suffix(".db").unwrap_or(path),
        |(_, path)| path.strip_suffix(".db").unwrap_or(path),
    );
    let source = shown(source);
    let kind = if kind == "btree" { kind } else { "hash" };
    BadLocation {
        cause: "maps of Berkeley DB cannot be read".to_owned(),
        remedy: format!(
            "name the text that it is made from (text:{source}), or export it: postmap -s {kind}:{source} >{source}.txt, with \
             Sendmail makemap -u {kind} {source} >{source}.txt; or make it of another kind: postmap cdb:{source}"
        ),
    }
}

/// The error for SQLite where it was left out.
fn without_sqlite() -> BadLocation {
    BadLocation {
        cause: "this gatepost was built without SQLite".to_owned(),
        remedy: "build it with --features sqlite, or install the package, which has it".to_owned(),
    }
}

fn bad<T>(cause: impl Into<String>, remedy: impl Into<String>) -> Result<T, BadLocation> {
    Err(BadLocation { cause: cause.into(), remedy: remedy.into() })
}

fn shown(text: &str) -> String {
    crate::smtp::printable(text.as_bytes(), 200)
}

fn path(text: &str, example: &str) -> Result<PathBuf, BadLocation> {
    if !text.starts_with('/') {
        return bad("it has no absolute path", format!("write it like {example}"));
    }
    Ok(text.into())
}

/// A file without a kind is a text.
fn file(text: &str) -> Result<Location, BadLocation> {
    let path = path(text, "text:/etc/mail/access")?;
    let ends = |end: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(end));
    if ends("db") {
        return Err(berkeley("hash", text));
    }
    for (end, name) in [("cdb", "a constant database"), ("lmdb", "an LMDB database")] {
        if ends(end) {
            return bad(
                format!("a file of this name is {name}, and no text"),
                format!("write {end}:{}", shown(text)),
            );
        }
    }
    Ok(Location::Text(path))
}

/// `/path?table=kvm&key=k&value=v`; what is left out is milter-spamc's.
fn table(text: &str) -> Result<Table, BadLocation> {
    const EXAMPLE: &str = "sqlite:/var/lib/gatepost/access.sq3?table=kvm&key=k&value=v";
    let (file, options) = text.split_once('?').unwrap_or((text, ""));
    let mut table =
        Table { path: path(file, EXAMPLE)?, table: "kvm".into(), key: "k".into(), value: "v".into() };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let place = match name {
            "table" => &mut table.table,
            "key" => &mut table.key,
            "value" => &mut table.value,
            _ => {
                let cause = format!("{} is not known behind the ?", shown(name));
                return bad(cause, format!("write it like {EXAMPLE}"));
            }
        };
        let legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
        if !(1..=IDENTIFIER).contains(&value.len()) || !value.bytes().all(legal) {
            return bad(
                format!("{name}={} is no name of a table or column", shown(value)),
                "use letters, digits and _; for anything else make a view in the database",
            );
        }
        value.clone_into(place);
    }
    Ok(table)
}

/// `inet:host:port:name`, `unix:/path:name`, as in Postfix.
fn postfix(text: &str) -> Result<Socketmap, BadLocation> {
    const EXAMPLE: &str =
        "write it like socketmap:unix:/run/maps/socket:access or socketmap:inet:127.0.0.1:7953:access";
    let Some((place, map)) = text.rsplit_once(':') else {
        return bad("a socket map needs a server and a name", EXAMPLE);
    };
    let server = match place.split_once(':') {
        Some(("unix", socket)) => Server::Unix(path(socket, "socketmap:unix:/run/maps/socket:access")?),
        Some(("inet", address)) => Server::Inet(inet(address, None)?),
        _ => return bad("a socket map is reached by unix: or by inet:", EXAMPLE),
    };
    Ok(Socketmap { server, name: name(map)? })
}

/// `host:port`, `host`, `[v6]:port` or a path, as in milter-spamc.
fn spamc(text: &str, map: &str) -> Result<Socketmap, BadLocation> {
    let server = match text {
        "" => return bad("there is no server", "write it like socketmap!127.0.0.1:7953"),
        path if path.starts_with('/') => Server::Unix(path.into()),
        address => Server::Inet(inet(address, Some(PORT))?),
    };
    Ok(Socketmap { server, name: name(map)? })
}

/// Names are not looked up: that may take any time, and whoever answers for DNS would choose who comes in.
fn inet(text: &str, default: Option<u16>) -> Result<SocketAddr, BadLocation> {
    if let (Ok(ip), Some(port)) = (text.trim_matches(['[', ']']).parse::<IpAddr>(), default) {
        return Ok((ip, port).into());
    }
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let port = match (port.map(str::parse::<u16>), default) {
        (Some(Ok(port)), _) if port > 0 => port,
        (None, Some(port)) => port,
        _ => {
            return bad(
                format!("there is no port in {}", shown(text)),
                "write it like 127.0.0.1:7953, with a port from 1 to 65535",
            );
        }
    };
    let ip = if host.eq_ignore_ascii_case("localhost") {
        Ok(Ipv4Addr::LOCALHOST.into())
    } else {
        host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>()
    };
    match ip {
        Ok(ip) => Ok((ip, port).into()),
        Err(_) => bad(
            format!("{} is no address, and names are not looked up for maps", shown(host)),
            "write the server's IP address, or localhost",
        ),
    }
}

fn name(text: &str) -> Result<String, BadLocation> {
    if !(1..=NAME).contains(&text.len()) || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return bad(
            format!("\"{}\" is no name of a map", shown(text)),
            format!("use 1 to {NAME} characters without blanks"),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<Location>() {
            Ok(location) => {
                assert_eq!(location.to_string().parse(), Ok(location.clone()), "{text}");
                location.to_string()
            }
            Err(bad) => format!("error: {bad}"),
        }
    }

    #[test]
    fn both_notations_name_the_same_maps() {
        for (text, expected) in [
            ("text:/etc/mail/access", "text:/etc/mail/access"),
            ("/etc/mail/access", "text:/etc/mail/access"),
            ("text!/etc/mail/access", "text:/etc/mail/access"),
            ("file!/etc/mail/access", "text:/etc/mail/access"),
            ("access!text!/etc/mail/access", "text:/etc/mail/access"),
            (" TEXT:/etc/mail/access ", "text:/etc/mail/access"),
            ("texthash:/etc/postfix/access", "text:/etc/postfix/access"),
            ("cdb:/etc/postfix/access.cdb", "cdb:/etc/postfix/access.cdb"),
            ("lmdb:/etc/postfix/access.lmdb", "lmdb:/etc/postfix/access.lmdb"),
            ("socketmap:inet:127.0.0.1:7953:access", "socketmap:inet:127.0.0.1:7953:access"),
            ("socketmap:inet:[::1]:7953:access", "socketmap:inet:[::1]:7953:access"),
            ("socketmap:inet:localhost:7000:a", "socketmap:inet:127.0.0.1:7000:a"),
            ("socketmap:unix:/run/m.sock:access", "socketmap:unix:/run/m.sock:access"),
            ("socketmap!127.0.0.1", "socketmap:inet:127.0.0.1:7953:access"),
            ("socketmap!127.0.0.1:7000", "socketmap:inet:127.0.0.1:7000:access"),
            ("socketmap![::1]:7000", "socketmap:inet:[::1]:7000:access"),
            ("socketmap![::1]", "socketmap:inet:[::1]:7953:access"),
            ("socketmap!localhost", "socketmap:inet:127.0.0.1:7953:access"),
            ("policy!socketmap!/run/m.sock", "socketmap:unix:/run/m.sock:policy"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_location_says_its_kind_and_which_file_is_read_or_which_port_is_asked() {
        for (text, kind, path, port) in [
            ("text:/etc/mail/access", "text", Some("/etc/mail/access"), None),
            ("cdb:/etc/mail/access.cdb", "cdb", Some("/etc/mail/access.cdb"), None),
            ("lmdb:/etc/mail/access.lmdb", "lmdb", Some("/etc/mail/access.lmdb"), None),
            ("socketmap:inet:[2001:db8::1]:7000:access", "socketmap", None, Some(7000)),
            ("socketmap:unix:/run/m.sock:access", "socketmap", None, None),
        ] {
            let location: Location = text.parse().expect(text);
            assert_eq!(
                (location.kind(), location.path(), location.port()),
                (kind, path.map(Path::new), port)
            );
        }
    }

    #[test]
    fn tables_of_sqlite_are_there_if_they_were_built() {
        for (text, expected) in [
            ("sql!/var/lib/m.sq3", "sqlite:/var/lib/m.sq3?table=kvm&key=k&value=v"),
            ("sqlite:/m.sq3?table=access&value=rhs", "sqlite:/m.sq3?table=access&key=k&value=rhs"),
        ] {
            let expected = if cfg!(feature = "sqlite") {
                expected.to_owned()
            } else {
                "error: this gatepost was built without SQLite; build it with --features sqlite, or install the package, which has it".to_owned()
            };
            assert_eq!(read(text), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_to_do_instead() {
        for (text, remedy) in [
            ("hash:/etc/mail/access", "postmap -s hash:/etc/mail/access >/etc/mail/access.txt"),
            ("/etc/mail/access.db", "makemap -u hash /etc/mail/access >"),
            ("db!btree!/etc/mail/access.db", "text:/etc/mail/access)"),
            ("btree:/etc/mail/access", "postmap -s btree:/etc/mail/access"),
            ("dbm:/etc/mail/access", "postmap cdb:/etc/mail/access"),
            ("/etc/postfix/access.lmdb", "write lmdb:/etc/postfix/access.lmdb"),
            ("lmdb:access.lmdb", "write it like lmdb:/etc/postfix/access.lmdb"),
            ("/etc/postfix/access.cdb", "write cdb:/etc/postfix/access.cdb"),
            ("pcre:/etc/postfix/access", "use text:, cdb:, lmdb:, sqlite: or socketmap:"),
            ("", "write it like text:/etc/mail/access"),
            ("cdb:", "write it like cdb:"),
            ("lists/access", "write it like text:/etc/mail/access"),
            ("text:access", "write it like text:/etc/mail/access"),
            ("text:/etc/\u{7}", "remove it"),
            ("maps!/etc/mail/access", "use text:, cdb:, lmdb:, sqlite: or socketmap:"),
            ("sqlite:/m?table=a b", "make a view"),
            ("sqlite:/m?key=a b", "make a view"),
            ("sqlite:/m?tabel=a", "write it like sqlite:"),
            ("sqlite:/m?table=", "letters, digits and _"),
            ("sqlite:/m?table=x\"; DROP TABLE y", "letters, digits and _"),
            ("socketmap:unix:/run/m.sock", "write it like"),
            ("socketmap:inet:127.0.0.1:7953", "with a port from 1"),
            ("socketmap:inet:127.0.0.1:0:a", "with a port from 1"),
            ("socketmap:inet:maps.example:7953:a", "write the server's IP address"),
            ("socketmap:tcp:127.0.0.1:7953:a", "write it like"),
            ("socketmap:unix:/run/m.sock:", "without blanks"),
            ("socketmap!", "write it like"),
        ] {
            let said = read(text);
            assert!(said.starts_with("error: ") && said.contains(remedy), "{text}: {said}");
        }
    }
}
