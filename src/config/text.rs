//! The texts of files, and who else can read them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::Place;
use super::report::Report;
use super::value::Fault;

/// Largest file that is read; a larger one is the wrong file.
const LARGEST: u64 = 1 << 20;
/// What a file with a key in it must not allow: anything to others, writing to the group.
const FORBIDDEN: u32 = 0o037;
/// The read permission of everybody.
pub(super) const WORLD: u32 = 0o004;

/// What is wrong with the mode of a file that holds the key.
pub(super) fn open_mode(path: &Path, mode: u32) -> Option<Fault> {
    let mode = mode & 0o777;
    let who = if mode & WORLD != 0 { "everybody can read it" } else { "more people than needed can use it" };
    let remedy = || format!("chown root:gatepost {0} && chmod 0640 {0}", path.display());
    (mode & FORBIDDEN != 0)
        .then(|| Fault::new(format!("the file holds the key and has mode {mode:04o}: {who}"), remedy()))
}

/// The text of a file and its permissions.
pub(super) struct Text {
    pub(super) text: Zeroizing<String>,
    pub(super) mode: u32,
}

/// What it means that a file is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing: nobody named it.
    Normal,
    /// A notice: the Python milter goes on without it, too.
    Told,
    /// An error: somebody named it.
    Wrong,
}

/// Reads a file.
pub(super) fn read(path: &Path, missing: Missing, setting: &str, report: &mut Report) -> Option<Text> {
    let mut octets = Zeroizing::new(Vec::new());
    let opened = File::open(path).and_then(|file| {
        let mode = file.metadata()?.permissions().mode();
        file.take(LARGEST + 1).read_to_end(&mut octets)?;
        Ok(mode)
    });
    let fault = match opened {
        Ok(_) if octets.len() as u64 > LARGEST => {
            Fault::new(format!("the file is larger than {LARGEST} octets"), "name the right file")
        }
        Ok(mode) => match std::str::from_utf8(&octets) {
            Ok(text) => return Some(Text { text: Zeroizing::new(text.to_owned()), mode }),
            Err(error) => {
                let line = octets[..error.valid_up_to()].split(|octet| *octet == b'\n').count();
                let fault = Fault::new("the line is not UTF-8", "save the file as UTF-8");
                report.error(Place::line(path, line), setting, fault);
                return None;
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing != Missing::Wrong => {
            if missing == Missing::Told {
                let fault =
                    Fault::new("there is no such file, nothing is read from it", remedy(&error, path));
                report.notice(Place::file(path), setting, fault);
            }
            return None;
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && report.forbids(path) => {
            let remedy = format!(
                "the sandbox of this process reads below {} only; restart it: systemctl restart gatepost",
                report
                    .confined_to
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" and ")
            );
            Fault::new("the file cannot be read before a restart", remedy)
        }
        Err(error) => Fault::new(format!("the file cannot be read: {}", plain(&error)), remedy(&error, path)),
    };
    report.error(Place::file(path), setting, fault);
    None
}

/// An error of the operating system in its own words, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn remedy(error: &io::Error, path: &Path) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("chown root:gatepost {path} && chmod 0640 {path}"),
        io::ErrorKind::NotFound => "create it, or name another one".to_owned(),
        _ => "name a regular file".to_owned(),
    }
}
