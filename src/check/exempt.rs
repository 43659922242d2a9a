//! Who and what is spared: allow lists, local mail, logins, submission services.

use crate::list::{Domains, Networks};
use crate::smtp::{Dialog, Domain};
use crate::verdict::{Class, Classes, Identity, Trust};

/// The ports of message submission (RFC 6409 and RFC 8314).
const SUBMISSION: [&[u8]; 2] = [b"587", b"465"];

/// Whether the client has logged in, and whether it uses a submission service: asked once for each judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    login: bool,
    submission: bool,
}

impl Standing {
    /// The class of the session, as far as it is known.
    pub fn class(self) -> Class {
        if self.login {
            Class::Login
        } else if self.submission {
            Class::Submission
        } else {
            Class::Inbound
        }
    }
}

/// The rules that spare a session, an identity or a domain.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a switch of the administrator")]
pub struct Exempt {
    /// Clients of whose sessions nothing is checked.
    pub trusted: Networks,
    /// Clients whose address is not checked.
    pub addresses: Networks,
    /// Whether such a client's session is not checked at all.
    pub skip_all: bool,
    /// Domains that are not checked.
    pub domains: Domains,
    /// Domains that are not checked, with all below them.
    pub suffixes: Domains,
    /// Our own domains, with all below them: they are not asked about.
    pub own: Domains,
    /// Whether a login spares address and HELO name, and the sender's domain.
    pub login: bool,
    /// Whether the sender's domain is checked in spite of a login.
    pub check_login_sender: bool,
    /// Names of MTA daemons that serve submission.
    pub submission_daemons: Vec<String>,
    /// Whether even special-purpose addresses are asked about; for tests.
    pub ask_special: bool,
}

impl Exempt {
    /// The rule that spares the whole session, if there is one.
    pub fn session(&self, dialog: &Dialog) -> Option<Trust> {
        if dialog.client.is_local() {
            return Some(Trust::Local);
        }
        let ip = dialog.client.ip()?;
        if self.trusted.contains(ip) {
            Some(Trust::Network)
        } else {
            (self.skip_all && self.addresses.contains(ip)).then_some(Trust::Session)
        }
    }

    /// The rule that spares one part of the dialog, if there is one. A login is known from MAIL on only.
    ///
    /// Address and names of a submission session are the user's own: the lists of dynamic addresses
    /// hold exactly those (PBL), so they are never asked. A list may say for itself in which `sessions` it is
    /// worth asking, such as one about stolen passwords.
    pub fn identity(
        &self,
        sessions: Option<Classes>,
        identity: Identity,
        dialog: &Dialog,
        standing: Standing,
    ) -> Option<Trust> {
        let spared = match (sessions, identity) {
            (Some(sessions), _) => match standing.class() {
                class if sessions.contains(class) => None,
                Class::Inbound => Some(Trust::Inbound),
                Class::Submission => Some(Trust::Submission),
                Class::Login => Some(Trust::Login),
            },
            (None, Identity::Sender | Identity::Recipient) => {
                let login = self.login && !self.check_login_sender && standing.login;
                login.then_some(Trust::Login)
            }
            (None, Identity::Client | Identity::ClientName | Identity::Helo) => {
                if self.login && standing.login {
                    Some(Trust::Login)
                } else {
                    standing.submission.then_some(Trust::Submission)
                }
            }
        };
        spared.or_else(|| {
            let ip = dialog.client.ip().filter(|_| identity == Identity::Client)?;
            self.addresses.contains(ip).then_some(Trust::Address)
        })
    }

    /// The classes of sessions in which [`Exempt::identity`] may spare nothing.
    pub fn classes(&self, sessions: Option<Classes>, identity: Identity) -> Classes {
        let asked = |class: &Class| match (sessions, identity, class) {
            (Some(sessions), ..) => sessions.contains(*class),
            (None, Identity::Sender | Identity::Recipient, Class::Login) => {
                !self.login || self.check_login_sender
            }
            (None, Identity::Client | Identity::ClientName | Identity::Helo, Class::Login) => !self.login,
            (None, Identity::Client | Identity::ClientName | Identity::Helo, Class::Submission) => false,
            (None, ..) => true,
        };
        Class::ALL.into_iter().filter(asked).collect()
    }

    /// What is known of the client's standing.
    pub fn standing(&self, dialog: &Dialog) -> Standing {
        let [login, daemon, port] =
            dialog.macros.find_each(["{auth_authen}", "{daemon_name}", "{daemon_port}"]);
        let names = &self.submission_daemons;
        let submission = port.is_some_and(|port| SUBMISSION.contains(&port))
            || daemon.is_some_and(|daemon| names.iter().any(|name| name.as_bytes() == daemon));
        Standing { login: dialog.is_login(login), submission }
    }

    /// The rule that spares a domain, if there is one. It never spares an address.
    pub fn domain(&self, domain: &Domain) -> Option<Trust> {
        if self.domains.contains(domain) {
            Some(Trust::Domain)
        } else if self.own.covers(domain) {
            Some(Trust::Own)
        } else {
            self.suffixes.covers(domain).then_some(Trust::Suffix)
        }
    }

    pub(super) fn asks_special(&self) -> bool {
        self.ask_special
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_in_which_nothing_is_spared_are_those_in_which_no_session_is() {
        let standings = [
            Standing { login: false, submission: false },
            Standing { login: false, submission: true },
            Standing { login: true, submission: false },
        ];
        let some = [None, Some([Class::Login].into_iter().collect()), Some(Class::ALL.into_iter().collect())];
        for (login, check_login_sender) in [(false, false), (true, false), (true, true)] {
            let exempt = Exempt { login, check_login_sender, ..Exempt::default() };
            for (sessions, identity) in some.iter().flat_map(|some| Identity::ALL.map(|of| (*some, of))) {
                let classes = exempt.classes(sessions, identity);
                for standing in standings {
                    let spared = exempt.identity(sessions, identity, &Dialog::default(), standing);
                    let class = standing.class();
                    assert_eq!(classes.contains(class), spared.is_none(), "{login} {identity:?} {class:?}");
                }
            }
        }
    }
}
