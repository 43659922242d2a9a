//! What settings say about access maps.
//!
//! Nothing opens a map here.

use super::choice::Word;
use super::read::{each, template, word};
use super::value::{Fault, Reading, Value, elide, shown};
use crate::list::access::{
    BadLocation, Comments, Delay, Duplicates, Exemption, Location, Logins, Loopback, Socketmap, Syntax,
};
use crate::policy::{Mode, OnTrouble, Template};
use crate::smtp::holds_like_key;

/// The settings of `[access]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The maps, in the order in which they are asked.
    pub map: Vec<Location>,
    /// Whose rules they are written by.
    pub syntax: Syntax,
    /// Whether they are in force.
    pub mode: Mode,
    /// When a denial of a client or sender is spoken.
    pub delay: Delay,
    /// Whom an allowed recipient spares the checks.
    pub exempt: Exemption,
    /// What clients on this host may do.
    pub loopback: Loopback,
    /// What a login is worth of which the maps say nothing.
    pub logins: Logins,
    /// The characters that begin the detail of a local part.
    pub detail: String,
    /// Which of two equal keys is taken.
    pub duplicates: Duplicates,
    /// Where comments can begin.
    pub comments: Comments,
    /// Whether globs have classes such as `[a-z]`.
    pub glob_classes: bool,
    /// What becomes of mail while a map cannot be asked.
    pub on_trouble: OnTrouble,
    /// The words of a denial that has none of its own.
    pub reply: Option<Template>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            map: Vec::new(),
            syntax: Syntax::default(),
            mode: Mode::default(),
            delay: Delay::default(),
            exempt: Exemption::default(),
            loopback: Loopback::default(),
            logins: Logins::default(),
            detail: "+".to_owned(),
            duplicates: Duplicates::default(),
            comments: Comments::default(),
            glob_classes: false,
            on_trouble: OnTrouble::LetIn,
            reply: None,
        }
    }
}

/// What to write, where the words for what is wrong with a text would quote it.
const MAPS: &str = "write text:, cdb:, lmdb: or sqlite: and a path, or socketmap:inet:HOST:PORT:NAME";

/// The maps.
pub(super) fn map(value: &Value) -> Reading<Vec<Location>> {
    let mut seen: Vec<Location> = Vec::new();
    each(value, |text| {
        let location = text.parse::<Location>().map_err(|_| {
            // It quotes the text, and cuts it: what is like a key has to be out of it before.
            let unshown = || BadLocation { cause: "it is no map".to_owned(), remedy: MAPS.to_owned() };
            let BadLocation { cause, remedy } = elide(text).parse::<Location>().err().unwrap_or_else(unshown);
            Fault::new(format!("{}: {cause}", shown(text)), remedy)
        })?;
        if let Location::Socketmap(Socketmap { name, .. }) = &location
            && holds_like_key(name)
        {
            let remedy = "give it another name in the server that is asked, or put hyphens between its words";
            return Err(Fault::new(format!("{}: the name of the map looks like a key", shown(text)), remedy));
        }
        if seen.contains(&location) {
            return Err(Fault::new(format!("{} is there already", shown(text)), "remove one of them"));
        }
        seen.push(location.clone());
        Ok((location, None))
    })
}

/// A setting of this table that is one word out of a few.
pub(super) fn choice<T: Word>(value: &Value) -> Reading<T> {
    word(value)
}

/// Delimiters of details: punctuation that a local part can have.
pub(super) fn detail(value: &Value) -> Reading<String> {
    let text = value.one();
    let fits = |octet: u8| octet.is_ascii_punctuation() && !b"@<>\"\\,;:()[]".contains(&octet);
    if text.bytes().all(fits) {
        return Ok(text.to_owned()).into();
    }
    let cause = format!("{} has characters that begin no detail", shown(text));
    Err(Fault::new(cause, "write the delimiters one behind the other, as in + or +-")).into()
}

/// The words of a denial.
pub(super) fn reply(value: &Value) -> Reading<Option<Template>> {
    let reading = template(value);
    if reading.value.as_ref().is_some_and(|reply| reply.as_ref().is_some_and(Template::is_temporary)) {
        let cause = "it is for refusals, and begins with 4; deferrals get the same words with 450";
        return Err(Fault::new(cause, "begin it with 550 5.7.1")).into();
    }
    reading
}
