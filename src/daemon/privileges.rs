//! Giving up root for good, in the one order that works.
//!
//! Must run while there is one thread only: capabilities and `no_new_privs` are a thread's own.

use std::ffi::CString;
use std::fmt::Display;

use caps::{CapSet, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{self, Gid, Group, Uid, User};

use super::confinement::{Confinement, Extent};
use crate::config::Config;

/// The account that the daemon runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
}

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// There is no such account.
    #[error(
        "the account {0} does not exist; make it with: \
         useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin {0}"
    )]
    Unknown(String),
    /// There is no such account to own the sockets.
    #[error("socket.owner: the account {0} does not exist; name another, or none for that of user")]
    Owner(String),
    /// There is no such group.
    #[error(
        "socket.group: the group {0} does not exist; name that of the MTA (getent group shows them), or make it \
         with: groupadd --system {0}"
    )]
    Group(String),
    /// Root is no account to run as.
    #[error("the account {0} is root's; choose another user")]
    Root(String),
    /// A step is not wholly enforced, and the settings want all of them.
    #[error(
        "the setting sandbox requires all of the confinement, but {0}; mend that, or set it to on and start with as much as there is"
    )]
    Gap(String),
    /// A step failed.
    #[error("cannot {step}: {cause}; the daemon does not run with more rights than it needs")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        cause: String,
    },
}

impl Account {
    /// Looks an account up by its name.
    ///
    /// # Errors
    /// If there is none, or it is root's.
    pub fn find(name: &str) -> Result<Self, PrivilegeError> {
        let user =
            User::from_name(name).ok().flatten().ok_or_else(|| PrivilegeError::Unknown(name.to_owned()))?;
        if user.uid.is_root() {
            return Err(PrivilegeError::Root(name.to_owned()));
        }
        Ok(Self { name: user.name, uid: user.uid, gid: user.gid })
    }

    /// Whether this process has to change its account: it was started as root.
    pub fn is_needed() -> bool {
        Uid::effective().is_root()
    }

    /// The account's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of its group.
    pub fn group(&self) -> u32 {
        self.gid.as_raw()
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// All its groups: its own, and those that it is a member of, as after a login and with a service manager's `User=`.
    pub(super) fn groups(&self) -> Result<Vec<Gid>, PrivilegeError> {
        let doing = "look up the groups of the account";
        let name = CString::new(self.name.as_str()).map_err(|cause| step(doing, cause))?;
        unistd::getgrouplist(&name, self.gid).map_err(|cause| step(doing, cause.desc()))
    }
}

/// Who owns the Unix sockets that the daemon makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    owner: Option<Uid>,
    group: Option<Gid>,
}

impl Ownership {
    /// Looks up the account and the group that the configuration names.
    ///
    /// # Errors
    /// If there is no such account or group.
    pub fn find(config: &Config) -> Result<Self, PrivilegeError> {
        let owner = config.socket_owner.as_ref().map(|name| {
            let user = User::from_name(name).ok().flatten();
            user.map(|user| user.uid).ok_or_else(|| PrivilegeError::Owner(name.clone()))
        });
        let group = config.socket_group.as_ref().map(|name| {
            let group = Group::from_name(name).ok().flatten();
            group.map(|group| group.gid).ok_or_else(|| PrivilegeError::Group(name.clone()))
        });
        Ok(Self { owner: owner.transpose()?, group: group.transpose()? })
    }

    pub(super) fn owner(self) -> Option<u32> {
        self.owner.map(Uid::as_raw)
    }

    pub(super) fn group(self) -> Option<u32> {
        self.group.map(Gid::as_raw)
    }
}

/// Becomes `account`, and makes sure that there is no way back.
pub(super) fn drop_to(account: &Account) -> Result<(), PrivilegeError> {
    // First, since it needs CAP_SETPCAP. A container may not have all of them to begin with.
    let bounding = caps::read(None, CapSet::Bounding).map_err(|cause| step("read capabilities", cause))?;
    for capability in bounding {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(|cause| step("drop the bounding set", cause))?;
    }
    unistd::setgroups(&account.groups()?).map_err(|cause| step("set the groups", cause))?;
    unistd::setresgid(account.gid, account.gid, account.gid).map_err(|cause| step("set the group", cause))?;
    unistd::setresuid(account.uid, account.uid, account.uid).map_err(|cause| step("set the user", cause))?;
    if unistd::setuid(Uid::from_raw(0)).is_ok() || unistd::setgid(Gid::from_raw(0)).is_ok() {
        return Err(step("give up root", "it can be regained"));
    }
    Ok(())
}

/// What every start gives up, as root or not: capabilities and new privileges. Another account's process may
/// have been started with capabilities of its own.
pub(super) fn give_up() -> Result<(), PrivilegeError> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        // Where none is held, a service manager's filter of system calls may forbid even giving them up.
        if caps::read(None, set).is_ok_and(|held| held.is_empty()) {
            continue;
        }
        caps::set(None, set, &CapsHashSet::new()).map_err(|cause| step("clear the capabilities", cause))?;
    }
    prctl::set_no_new_privs().map_err(|cause| step("set no_new_privs", cause))
}

/// No attaching debugger and no core file: both would show the key.
pub(super) fn hide() -> Result<(), PrivilegeError> {
    prctl::set_dumpable(false).map_err(|cause| step("forbid core dumps", cause))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|cause| step("forbid core dumps", cause))
}

/// The name of the account that the process runs as, if that can be looked up.
pub(super) fn own_name() -> Option<String> {
    User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name)
}

/// Reads back who the process is and what it may do. The account's name is only told; without one its number is.
pub(super) fn read_back(confinement: &mut Confinement, name: Option<String>) {
    let user = unistd::getresuid();
    let ids = user.map(|ids| [ids.real, ids.effective, ids.saved]);
    let (extent, reason) = match ids {
        Ok(ids) if ids.iter().all(|id| *id == ids[0] && !id.is_root()) => {
            (Extent::Enforced, name.unwrap_or_else(|| ids[0].to_string()))
        }
        Ok(_) => (Extent::Off, "a part of it is root".to_owned()),
        Err(error) => (Extent::Off, error.to_string()),
    };
    confinement.note("user", extent, reason);
    let own = Gid::current();
    let (extent, reason) = match unistd::getgroups() {
        Ok(groups) if groups.iter().any(|group| group.as_raw() == 0) || own.as_raw() == 0 => {
            (Extent::Partial, "the group root is among them; start it with groups of its own".to_owned())
        }
        Ok(groups) if groups.iter().any(|group| *group != own) => {
            (Extent::Enforced, format!("{} of them", groups.len()))
        }
        Ok(_) => (Extent::Enforced, String::new()),
        Err(error) => (Extent::Off, error.to_string()),
    };
    confinement.note("groups", extent, reason);
    let barred = prctl::get_no_new_privs() == Ok(true);
    let held = |set| caps::read(None, set).map_or(usize::MAX, |held| held.len());
    let sets = [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted];
    let (extent, reason) = match (sets.iter().all(|set| held(*set) == 0), held(CapSet::Bounding)) {
        (true, 0) => (Extent::Enforced, ""),
        // Only root can clear it, and it says what a program that is executed could gain.
        (true, _) if barred => (Extent::Enforced, "the bounding set stays, out of reach by no_new_privs"),
        (true, _) => (Extent::Partial, "the bounding set stays"),
        (false, _) => (Extent::Off, "some are left"),
    };
    confinement.note("capabilities", extent, reason);
    confinement.note("no_new_privs", if barred { Extent::Enforced } else { Extent::Off }, "");
}

/// Reads back what [`hide`] did.
pub(super) fn read_back_hidden(confinement: &mut Confinement) {
    let dumpable = prctl::get_dumpable();
    let hidden = if dumpable == Ok(false) { Extent::Enforced } else { Extent::Off };
    confinement.note("dumpable", hidden, "");
    let core = getrlimit(Resource::RLIMIT_CORE) == Ok((0, 0));
    confinement.note("core", if core { Extent::Enforced } else { Extent::Off }, "");
}

pub(super) fn step(step: &'static str, cause: impl Display) -> PrivilegeError {
    PrivilegeError::Step { step, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_account_is_named_with_the_command_that_makes_it() {
        let error = Account::find("no-such-account").expect_err("unknown").to_string();
        assert!(error.contains("no-such-account does not exist; make it with: useradd --system"), "{error}");
        assert!(matches!(Account::find("root"), Err(PrivilegeError::Root(_))));
    }
}
