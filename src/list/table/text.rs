//! The templates of a file, filled in as rbldnsd does.

/// Longest rendered text in octets; rbldnsd sends no longer ones.
const RENDERED: usize = 254;

/// What `$0` to `$9` and `$=` stand for in the texts of a file.
#[derive(Debug, Default)]
pub(super) struct Substitutes {
    variables: [Option<Box<str>>; 10],
    base: Option<Box<str>>,
}

impl Substitutes {
    /// Sets `$0` to `$9` or `$=`; the first line that does counts.
    pub(super) fn set(&mut self, name: u8, text: &str) {
        let slot = match name {
            b'=' => &mut self.base,
            digit => &mut self.variables[usize::from(digit - b'0')],
        };
        if slot.is_none() {
            *slot = Some(text.into());
        }
    }

    /// A text with everything filled in: `$` is the subject, `$$` a dollar sign, `$1` a variable, and `$=` in the base
    /// template the text of the entry, or the subject if it has none.
    pub(super) fn render(&self, text: &str, subject: &str) -> String {
        let (template, own) = match (text.strip_prefix('='), self.base.as_deref()) {
            (Some(text), _) => (text, text),
            (None, Some(base)) => (base, if text.is_empty() { subject } else { text }),
            (None, None) => (text, text),
        };
        // A text and what is filled in are lines that were cut: even `$1` alone, over and over, gives 32 kB.
        let mut rendered = String::with_capacity(template.len() + subject.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            rendered.push_str(before);
            let variable = after.bytes().next().filter(u8::is_ascii_digit);
            rest = if let Some(digit) = variable {
                match &self.variables[usize::from(digit - b'0')] {
                    Some(text) => rendered.push_str(text),
                    // One that is not set stays as it is.
                    None => rendered.extend(['$', char::from(digit)]),
                }
                &after[1..]
            } else if let Some(after) = after.strip_prefix('$') {
                rendered.push('$');
                after
            } else if let Some(after) = after.strip_prefix('=') {
                rendered.push_str(own);
                after
            } else {
                rendered.push_str(subject);
                after
            };
        }
        rendered.push_str(rest);
        rendered.truncate(rendered.floor_char_boundary(RENDERED));
        rendered
    }
}
