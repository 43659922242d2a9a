//! The texts of files, and who else can read them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::Place;
use super::reach::out_of_reach;
use super::report::Report;
use super::value::Fault;

/// Largest file that is read; a larger one is the wrong file.
pub(super) const LARGEST: u64 = 1 << 20;
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
    let opened = open(path).and_then(|file| {
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
        Err(error) => match out_of_reach(path, &report.confined_to) {
            Some(remedy) if error.kind() == io::ErrorKind::PermissionDenied => {
                Fault::new("the file cannot be read before a restart", remedy)
            }
            _ => Fault::new(format!("the file cannot be read: {}", plain(&error)), remedy(&error, path)),
        },
    };
    report.unread = true;
    report.error(Place::file(path), setting, fault);
    None
}

/// The TOML files of a directory, in the order of their octets; nothing if there is no such directory. Others, such as
/// `.toml.dpkg-old` and what an editor leaves behind, are none of ours.
pub(super) fn drop_ins(directory: &Path, report: &mut Report) -> Option<Vec<PathBuf>> {
    let listed = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let mut files = match listed {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            let cause = format!("the directory cannot be read: {}", plain(&error));
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => format!("chmod 0755 {}", directory.display()),
                _ => "make it a directory, or remove it".to_owned(),
            };
            report.error(Place::file(directory), "", Fault::new(cause, remedy));
            return None;
        }
    };
    files.retain(|file| {
        let name = file.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        name.ends_with(b".toml") && !name.starts_with(b".")
    });
    files.sort();
    Some(files)
}

/// Opens a file without waiting for anybody to write to it: a start must not hang on a pipe, and a reload
/// could not read it again.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe"));
    }
    Ok(file)
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
