//! Symbol lists: the macros that a filter asks for, stage by stage.

use super::Violation;

/// Stages in the order of their numbers, by the letter of their command.
const STAGES: [u8; 7] = *b"CHMRTEN";
/// End of message and end of headers: Sendmail mistreats the one without the other.
const PAIR: [usize; 2] = [5, 6];
/// Names per stage; Sendmail cuts what is beyond.
const NAMES: usize = 50;

/// The lists of one filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Symbols([Option<Vec<String>>; STAGES.len()]);

impl Symbols {
    /// Reads `u32 stage, names separated by single blanks, NUL`, repeated to the end.
    ///
    /// Accepts the one form that Sendmail and Postfix read alike, and nothing else.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, Violation> {
        let mut symbols = Self::default();
        while !data.is_empty() {
            let (number, rest) = data.split_first_chunk().ok_or(Violation::Symbols("without a stage"))?;
            let end = memchr::memchr(0, rest).ok_or(Violation::Symbols("without its NUL"))?;
            let stage = usize::try_from(u32::from_be_bytes(*number)).unwrap_or(usize::MAX);
            let list = symbols.0.get_mut(stage).ok_or(Violation::Symbols("for an unknown stage"))?;
            if list.replace(names(&rest[..end])?).is_some() {
                return Err(Violation::Symbols("given twice for one stage"));
            }
            data = &rest[end + 1..];
        }
        if symbols.0[PAIR[0]].is_some() != symbols.0[PAIR[1]].is_some() {
            return Err(Violation::Symbols("for the end of the message or of the headers, but not for both"));
        }
        Ok(symbols)
    }

    /// The names asked for with a command, or `None` if the MTA's own choice was left to it.
    pub(super) fn at(&self, command: u8) -> Option<&[String]> {
        let stage = STAGES.iter().position(|&letter| letter == command)?;
        self.0[stage].as_deref()
    }
}

fn names(list: &[u8]) -> Result<Vec<String>, Violation> {
    if list.is_empty() {
        // "None at all" to Sendmail, "as you like" to Postfix.
        return Err(Violation::Symbols("that is empty"));
    }
    let names: Vec<String> = list.split(|&octet| octet == b' ').map(name).collect::<Result<_, _>>()?;
    if names.len() > NAMES {
        return Err(Violation::Symbols("of more than 50 names"));
    }
    Ok(names)
}

fn name(name: &[u8]) -> Result<String, Violation> {
    let inner = match name {
        [_] => name,
        [b'{', inner @ .., b'}'] if inner.len() > 1 => inner,
        [] => return Err(Violation::Symbols("with more than one blank between names")),
        _ => return Err(Violation::Symbols("with a name that is neither one letter nor in braces")),
    };
    let legal = inner.iter().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'{' | b'}' | b','));
    if legal {
        Ok(String::from_utf8_lossy(name).into_owned())
    } else {
        Err(Violation::Symbols("with a name that no macro can have"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_that_both_mtas_read_alike_is_accepted() {
        let good = b"\0\0\0\0j {daemon_name}\0\0\0\0\x05i\0\0\0\0\x06i\0";
        let symbols = Symbols::parse(good).expect("lists");
        assert_eq!(symbols.at(b'C'), Some(&["j".to_owned(), "{daemon_name}".to_owned()][..]));
        assert_eq!(symbols.at(b'N'), Some(&["i".to_owned()][..]));
        assert_eq!((symbols.at(b'M'), symbols.at(b'L')), (None, None));
        for (bad, why) in [
            (&b"\0\0\0"[..], "without a stage"),
            (b"\0\0\0\0j", "without its NUL"),
            (b"\0\0\0\0\0", "that is empty"),
            (b"\0\0\0\x07j\0", "for an unknown stage"),
            (b"\xff\xff\xff\xffj\0", "for an unknown stage"),
            (b"\0\0\0\0j\0\0\0\0\0j\0", "given twice for one stage"),
            (b"\0\0\0\x05i\0", "for the end of the message or of the headers, but not for both"),
            (b"\0\0\0\x06i\0", "for the end of the message or of the headers, but not for both"),
            (b"\0\0\0\0j  _\0", "with more than one blank between names"),
            (b"\0\0\0\0 j\0", "with more than one blank between names"),
            (b"\0\0\0\0j \0", "with more than one blank between names"),
            (b"\0\0\0\0client_addr\0", "with a name that is neither one letter nor in braces"),
            (b"\0\0\0\0j,_\0", "with a name that is neither one letter nor in braces"),
            (b"\0\0\0\0{i}\0", "with a name that is neither one letter nor in braces"),
            (b"\0\0\0\0{}\0", "with a name that is neither one letter nor in braces"),
            (b"\0\0\0\0{a b}\0", "with a name that is neither one letter nor in braces"),
            (b"\0\0\0\0{a,b}\0", "with a name that no macro can have"),
            (b"\0\0\0\0{a\tb}\0", "with a name that no macro can have"),
            (b"\0\0\0\0,\0", "with a name that no macro can have"),
            (b"\0\0\0\0\x80\0", "with a name that no macro can have"),
        ] {
            assert_eq!(Symbols::parse(bad), Err(Violation::Symbols(why)), "{bad:?}");
        }
    }

    #[test]
    fn a_stage_has_no_more_names_than_sendmail_reads() {
        let list = |names| [b"\0\0\0\0", "i ".repeat(names).trim_end().as_bytes(), b"\0"].concat();
        assert!(Symbols::parse(&list(50)).is_ok());
        assert_eq!(Symbols::parse(&list(51)), Err(Violation::Symbols("of more than 50 names")));
    }
}
