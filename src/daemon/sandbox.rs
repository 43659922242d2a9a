//! Landlock: which files the process can still open, and where it can still connect (landlock(7)).
//!
//! Nothing can widen it while the process lives. What a reload asks for beyond it has to be told, with the
//! restart that it needs.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf, absolute};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
    Scope,
};

use super::confinement::{Confinement, Extent};
use crate::config::{CONFIG_FILE, Config, Sandbox, out_of_reach};

/// What the rules are written for: files up to device ioctls, TCP ports, signals and abstract sockets.
/// Older kernels enforce what they know of it.
const KNOWN: ABI = ABI::V6;

/// The DNS port, which a reload may always name.
const DOMAIN: u16 = 53;

/// Files of the system that the libraries below may look at. The process opens none of them by itself.
const SYSTEM: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

/// Where programs put the lists that they fetch. A reload may name new ones there if it exists at the start.
const LISTS: &str = "/var/lib/gatepost";

/// What the process keeps the right to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Directories and files below which it may read.
    read: BTreeSet<PathBuf>,
    /// Directories below which it may do everything.
    keep: BTreeSet<PathBuf>,
    /// Directories of its own sockets, which it removes at its end.
    remove: BTreeSet<PathBuf>,
    /// TCP ports that it may connect to.
    ports: BTreeSet<u16>,
    /// The kernel does not hold it to them.
    may_connect: bool,
}

impl Bounds {
    /// What a configuration needs, that a reload reads again.
    ///
    /// Whole directories, since an editor puts a new file in the place of the old one: a rule for the file
    /// would hold for the old one only.
    pub(super) fn new<'a>(config: &Config, sockets: impl Iterator<Item = &'a Path>) -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let mut read: BTreeSet<PathBuf> = config.files.iter().map(|file| directory(file)).collect();
        // Links count by what they lead to.
        read.extend(config.files.iter().filter_map(|file| Some(directory(&file.canonicalize().ok()?))));
        read.insert(directory(Path::new(CONFIG_FILE)));
        read.extend(SYSTEM.map(PathBuf::from));
        read.extend(Some(PathBuf::from(LISTS)).filter(|path| path.is_dir()));
        read.insert("/proc/self".into());
        read.extend(variable("CREDENTIALS_DIRECTORY").map(PathBuf::from));
        let keep = variable("STATE_DIRECTORY").map(|paths| env::split_paths(&paths).collect());
        Self {
            read,
            keep: keep.unwrap_or_default(),
            remove: sockets.map(directory).collect(),
            ports: ports(config).map(|(_, port)| port).chain([DOMAIN]).collect(),
            may_connect: false,
        }
    }

    /// Where a reload may read: the directories of configuration, key and credentials.
    pub fn readable(&self) -> impl Iterator<Item = &Path> {
        let system =
            |path: &&Path| SYSTEM.iter().any(|own| path == &Path::new(own)) || path.starts_with("/proc");
        self.read.iter().chain(&self.keep).map(PathBuf::as_path).filter(move |path| !system(path))
    }

    /// What a configuration asks for that the process gave up, with the remedy; `None` if it is nothing.
    pub(super) fn forbids(&self, config: &Config) -> Option<String> {
        let barred = ports(config).filter(|(_, port)| !self.may_connect && !self.ports.contains(port));
        let (settings, ports): (BTreeSet<&str>, BTreeSet<u16>) = barred.unzip();
        let listed =
            |ports: &BTreeSet<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ");
        (!ports.is_empty()).then(|| {
            format!(
                "{}: the sandbox of this process lets it connect to the port {} only, not to {}; restart it: \
                 systemctl restart gatepost",
                settings.into_iter().collect::<Vec<_>>().join(" and "),
                listed(&self.ports),
                listed(&ports)
            )
        })
    }

    /// Gives up everything else, for this thread and those that it starts.
    pub(super) fn enforce(&mut self, confinement: &mut Confinement) {
        match self.restrict() {
            Ok((extent, reason, holds_ports)) => {
                confinement.note("landlock", extent, reason);
                self.may_connect = !holds_ports;
            }
            Err(error) => confinement.note("landlock", Extent::Off, error.to_string()),
        }
    }

    /// How much of it is enforced, why not more, and whether the ports are.
    fn restrict(&self) -> Result<(Extent, String, bool), RulesetError> {
        let mut scope = BitFlags::from(Scope::Signal);
        // A service manager in a container may listen in the abstract name space.
        if env::var_os("NOTIFY_SOCKET").is_none_or(|path| !path.as_encoded_bytes().starts_with(b"@")) {
            scope |= Scope::AbstractUnixSocket;
        }
        let all = AccessFs::from_all(KNOWN);
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let remove = AccessFs::RemoveFile.into();
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(scope)?
            .create()?;
        for (paths, access) in [(&self.read, read), (&self.keep, all), (&self.remove, remove)] {
            for path in paths {
                // What is not there, or out of reach already, cannot be read after a reload either.
                let Ok(place) = PathFd::new(path) else { continue };
                let access = if path.is_dir() { access } else { access & AccessFs::ReadFile };
                if !access.is_empty() {
                    rules = rules.add_rule(PathBeneath::new(place, access))?;
                }
            }
        }
        for port in &self.ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        let status = rules.restrict_self()?;
        Ok(match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => (Extent::Enforced, String::new(), true),
            (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
                let holds_ports = effective_abi >= ABI::V4;
                let missing = if holds_ports { "signals, abstract sockets" } else { "TCP ports, signals" };
                let reason =
                    format!("the kernel knows version {} of it, without {missing}", effective_abi as i32);
                (Extent::Partial, reason, holds_ports)
            }
            (_, LandlockStatus::NotEnabled) => {
                (Extent::Off, "not enabled in this kernel; boot with lsm=landlock,...".to_owned(), false)
            }
            _ => (Extent::Off, "this kernel does not have it".to_owned(), false),
        })
    }
}

/// The TCP ports that a configuration connects to, and the settings that name them.
fn ports(config: &Config) -> impl Iterator<Item = (&'static str, u16)> {
    let servers = config.nameservers.iter().map(|server| ("dns.servers", server.port()));
    servers.chain(config.access.map.iter().filter_map(|map| Some(("access.map", map.port()?))))
}

/// What of a configuration a daemon that runs already cannot take by a reload, because its sandbox was made for
/// another one: a line each, with the remedy. Beside the files of the configuration itself it is thought to have named
/// none.
pub fn fixed_at_start(config: &Config) -> Vec<String> {
    if config.sandbox == Sandbox::Off {
        return Vec::new();
    }
    let named = named(config);
    let own = config.files.iter().filter(|file| !named.iter().any(|(_, named)| *named == file.as_path()));
    let places: BTreeSet<PathBuf> = [directory(Path::new(CONFIG_FILE))]
        .into_iter()
        .chain(Some(PathBuf::from(LISTS)).filter(|path| path.is_dir()))
        .chain(own.map(|file| directory(file)))
        .collect();
    let places: Vec<PathBuf> = places.into_iter().collect();
    let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    let files = named.iter().filter(|(_, file)| out_of_reach(file, &places).is_some()).map(|(setting, file)| {
        format!(
            "{setting}: {} lies outside {}; a daemon that was started without it can read it only after a restart",
            file.display(),
            shown.join(" and ")
        )
    });
    let ports = config.nameservers.iter().filter(|server| server.port() != DOMAIN).map(|server| {
        format!("dns.servers: a daemon that was started without the port of {server} can use it only after a restart")
    });
    let maps = config.access.map.iter().filter(|map| map.port().is_some()).map(|map| {
        format!(
            "access.map: a daemon that was started without the port of {map} can use it only after a restart"
        )
    });
    files.chain(ports).chain(maps).collect()
}

/// The files that settings name, which a reload reads again.
fn named(config: &Config) -> Vec<(String, &Path)> {
    let mut named: Vec<(String, &Path)> = Vec::new();
    named.extend(config.key_file.iter().map(|file| ("key.file".to_owned(), file.as_path())));
    for own in &config.additions.lists {
        let name = own.list.name();
        named.extend(own.key_file.iter().map(|file| (format!("list.{name}.key_file"), file.as_path())));
        named.extend(own.file.iter().map(|file| (format!("list.{name}.file"), file.path.as_path())));
    }
    let members = config.additions.recipients.files.iter();
    named.extend(members.map(|file| ("recipient.senders".to_owned(), file.path.as_path())));
    let maps = config.access.map.iter().filter_map(|map| map.path());
    named.extend(maps.map(|file| ("access.map".to_owned(), file)));
    named
}

/// The directory that a file is in.
fn directory(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        Config::from_texts("", toml).unwrap_or_else(|problems| panic!("{problems}"))
    }

    const PORTS: &str = "[dns]\nservers = [\"192.0.2.1:5300\", \"192.0.2.2\", \"192.0.2.3:5301\"]\n\
                         [access]\nmap = [\"socketmap:inet:192.0.2.4:7000:access\"]\n";

    #[test]
    fn all_ports_that_a_reload_may_not_use_are_named_at_once() {
        let bounds = Bounds::new(&Config::default(), [].into_iter());
        assert_eq!(
            bounds.forbids(&config(PORTS)).as_deref(),
            Some(
                "access.map and dns.servers: the sandbox of this process lets it connect to the port 53 only, not to \
                 5300 and 5301 and 7000; restart it: systemctl restart gatepost"
            )
        );
        assert_eq!(Bounds::new(&config(PORTS), [].into_iter()).forbids(&config(PORTS)), None);
    }

    #[test]
    fn a_kernel_that_knows_no_rules_for_ports_forbids_none_at_a_reload() {
        let bounds = Bounds { may_connect: true, ..Bounds::new(&Config::default(), [].into_iter()) };
        assert_eq!(bounds.forbids(&config(PORTS)), None);
    }

    #[test]
    fn every_file_that_only_a_restart_can_open_is_named() {
        let toml = "[access]\nmap = [\"/etc/mail/access\", \"cdb:/etc/gatepost/access.cdb\"]\n\
             [[list]]\nname = \"far\"\nfile = \"/srv/lists/far\"\nformat = \"ip4set\"\n\
             [[list]]\nname = \"near\"\nfile = \"/etc/gatepost/lists/near\"\nformat = \"ip4set\"\n\
             [[recipient]]\nname = \"board\"\nrecipients = [\"board@mail.example\"]\n\
             senders = [\"file:/srv/members/board\"]\n";
        let told = fixed_at_start(&config(toml));
        let begins = [
            "list.far.file: /srv/lists/far",
            "recipient.senders: /srv/members/board",
            "access.map: /etc/mail/access",
        ];
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        for (line, begin) in told.iter().zip(begins) {
            assert!(line.starts_with(&format!("{begin} lies outside /etc/gatepost")), "{line}");
            assert!(line.ends_with("can read it only after a restart"), "{line}");
        }
        assert_eq!(fixed_at_start(&config(&format!("sandbox = \"off\"\n{toml}"))), [""; 0]);
    }
}
