//! The service manager: what it knows of units.

use std::collections::BTreeMap;
use std::path::Path;

use super::ask;

/// Whether systemd is this machine's service manager (`sd_booted(3)`).
pub(in crate::cli) fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Properties of a unit, as `systemctl show` prints them.
pub(in crate::cli) struct Unit(BTreeMap<String, String>);

impl Unit {
    /// Asks for a unit; nothing without systemd or if no such unit is known.
    pub(in crate::cli) fn find(name: &str) -> Option<Self> {
        if !is_booted() {
            return None;
        }
        let properties = "LoadState,ActiveState,SubState,UnitFileState,MainPID,User,Environment,EnvironmentFiles,NeedDaemonReload";
        let unit = Self::parse(&ask("systemctl", &["show", "--property", properties, "--", name])?);
        (unit.get("LoadState") == "loaded").then_some(unit)
    }

    pub(in crate::cli) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A property; empty if there is none.
    pub(in crate::cli) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether it runs, or listens.
    pub(in crate::cli) fn is_active(&self) -> bool {
        self.get("ActiveState") == "active"
    }

    /// Whether it starts with the machine.
    pub(in crate::cli) fn is_enabled(&self) -> bool {
        matches!(self.get("UnitFileState"), "enabled" | "enabled-runtime" | "static" | "generated")
    }

    /// Its process, if it runs.
    pub(in crate::cli) fn process(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|process| *process > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_systemctl_prints_them() {
        let unit = Unit::parse(
            "LoadState=loaded\nActiveState=active\nMainPID=12\nEnvironment=A=b C=d\nUnitFileState=enabled",
        );
        assert!(unit.is_active() && unit.is_enabled());
        assert_eq!(unit.process(), Some(12));
        assert_eq!(unit.get("Environment"), "A=b C=d");
        assert_eq!(Unit::parse("MainPID=0").process(), None);
    }
}
