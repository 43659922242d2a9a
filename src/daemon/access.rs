//! Which files an account can read, tried as that account.
//!
//! The process does not become the account: only how the file system sees it changes, and is taken back. So modes,
//! access lists and the directories on the way all count. What a service manager hides from the daemon is not seen.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, getgroups, setfsgid, setfsuid, setgroups};

use super::privileges::{Account, PrivilegeError, step};
use crate::source;

/// A file that an account cannot read. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    account: String,
    group: String,
    path: PathBuf,
    /// The first directory on the way that it cannot search; else it is the file itself.
    directory: Option<PathBuf>,
    cause: String,
}

impl Barred {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What lets the account read it.
    pub fn remedy(&self) -> String {
        let (account, path) = (&self.account, self.path.display());
        match &self.directory {
            Some(directory) => {
                format!(
                    "move it below /etc/gatepost, or let {account} through: chmod o+x {}",
                    directory.display()
                )
            }
            // A directory of files has to be searched, too; X is for directories only.
            None => format!("chgrp {0} {path} && chmod g+rX {path}", self.group),
        }
    }
}

impl Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, account) = (self.path.display(), &self.account);
        write!(
            f,
            "{path}: {account}, which the daemon runs as, cannot read it: {}; {}",
            self.cause,
            self.remedy()
        )
    }
}

impl Account {
    /// Those of some files that this account cannot read. For root, and for a process that has no other thread yet: the
    /// groups are those of the whole process.
    ///
    /// # Errors
    /// [`PrivilegeError::Step`] if it cannot be tried.
    pub fn barred_from(&self, files: &[PathBuf]) -> Result<Vec<Barred>, PrivilegeError> {
        let _eyes = Eyes::of(self)?;
        Ok(files.iter().filter_map(|file| self.barred(file, &source::open(file).err()?)).collect())
    }

    /// Nothing if the trouble is no lack of a permission.
    fn barred(&self, path: &Path, error: &io::Error) -> Option<Barred> {
        let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let mut ways: Vec<&Path> = path.ancestors().filter(|way| !way.as_os_str().is_empty()).collect();
        ways.reverse();
        // Whoever cannot search a directory cannot look at what is in it.
        let hidden =
            ways.into_iter().find(|way| way.symlink_metadata().is_err_and(|error| is_denied(&error)));
        let group = || Group::from_gid(Gid::from_raw(self.group())).ok().flatten().map(|group| group.name);
        is_denied(error).then(|| Barred {
            account: self.name().to_owned(),
            group: group().unwrap_or_else(|| self.group().to_string()),
            path: path.to_owned(),
            directory: hidden.and_then(Path::parent).map(Path::to_owned),
            cause: match hidden.and_then(Path::parent) {
                Some(directory) => format!("it cannot search {}", directory.display()),
                None => "permission denied".to_owned(),
            },
        })
    }
}

/// This thread's look at the file system is that of an account, until this is dropped.
struct Eyes {
    groups: Vec<Gid>,
    group: Gid,
    user: Uid,
}

impl Eyes {
    fn of(account: &Account) -> Result<Self, PrivilegeError> {
        let doing = "look at files as the account";
        let (uid, gid) = (Uid::from_raw(account.uid()), Gid::from_raw(account.group()));
        let groups = getgroups().map_err(|cause| step(doing, cause.desc()))?;
        // Those that the daemon will have.
        setgroups(&account.groups()?).map_err(|cause| step(doing, cause.desc()))?;
        // They tell what was there before, and nothing else.
        let eyes = Self { groups, group: setfsgid(gid), user: setfsuid(uid) };
        if setfsuid(uid) == uid && setfsgid(gid) == gid {
            Ok(eyes)
        } else {
            Err(step(doing, "not permitted"))
        }
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        setfsuid(self.user);
        setfsgid(self.group);
        let _ = setgroups(&self.groups);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_an_account_cannot_read_is_told_with_what_bars_the_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let chmod = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
        chmod(directory.path(), 0o755);
        let [open, shut, inner] = ["open", "shut", "directory/inner"].map(|name| directory.path().join(name));
        create_dir(directory.path().join("directory")).expect("a directory");
        for file in [&open, &shut, &inner] {
            write(file, "").expect("a file");
            chmod(file, 0o644);
        }
        chmod(&shut, 0o600);
        chmod(&directory.path().join("directory"), 0o700);
        let missing = directory.path().join("missing");
        let nobody = Account::find("nobody").expect("an account");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
        chmod(&fifo, 0o644);
        let files = [open, fifo, shut.clone(), inner.clone(), missing];
        if !Account::is_needed() {
            // Only root can try.
            assert!(matches!(nobody.barred_from(&files), Err(PrivilegeError::Step { .. })));
            return;
        }
        let barred = nobody.barred_from(&files).expect("root tries");
        assert_eq!(barred.iter().map(Barred::path).collect::<Vec<_>>(), [&*shut, &*inner]);
        let told: Vec<String> = barred.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("permission denied; chgrp no") && told[0].ends_with("/shut"), "{told:?}");
        assert!(told[1].contains("it cannot search") && told[1].ends_with("/directory"), "{told:?}");
        assert!(File::open(&shut).is_ok(), "and root is root again");
    }
}
