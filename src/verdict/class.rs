//! Sets of identities, and the classes of sessions.

use super::Identity;

/// A set of identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Identities(u8);

impl Identities {
    /// All of them.
    pub const ALL: Self = Self(0b1_1111);

    /// Whether it holds `identity`.
    pub fn contains(self, identity: Identity) -> bool {
        self.0 & (1 << identity as u8) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes one in.
    pub fn insert(&mut self, identity: Identity) {
        self.0 |= 1 << identity as u8;
    }

    /// Takes one out.
    pub fn remove(&mut self, identity: Identity) {
        self.0 &= !(1 << identity as u8);
    }

    /// Those it holds, in the order in which they are known.
    pub fn iter(self) -> impl Iterator<Item = Identity> {
        Identity::ALL.into_iter().filter(move |identity| self.contains(*identity))
    }
}

impl FromIterator<Identity> for Identities {
    fn from_iter<I: IntoIterator<Item = Identity>>(identities: I) -> Self {
        Self(identities.into_iter().fold(0, |set, identity| set | 1 << identity as u8))
    }
}

/// What kind of session it is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A mail server brings mail; or nobody has said anything else yet.
    Inbound,
    /// It came in over a submission service (RFC 6409), and nobody has logged in yet.
    Submission,
    /// The client has logged in.
    Login,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Submission, Self::Login];

    /// The word in settings and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Submission => "submission",
            Self::Login => "login",
        }
    }
}

/// A set of classes of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Classes(u8);

impl Classes {
    /// Whether it holds `class`.
    pub fn contains(self, class: Class) -> bool {
        self.0 & (1 << class as u8) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those it holds.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        Self(classes.into_iter().fold(0, |set, class| set | 1 << class as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_they_were_made_of() {
        let all: Identities = Identity::ALL.into_iter().collect();
        assert_eq!(all, Identities::ALL);
        let two: Identities = [Identity::Recipient, Identity::Client].into_iter().collect();
        assert_eq!(two.iter().collect::<Vec<_>>(), [Identity::Client, Identity::Recipient]);
        let users: Classes = [Class::Login, Class::Submission].into_iter().collect();
        assert!(users.contains(Class::Login) && !users.contains(Class::Inbound) && !users.is_empty());
        assert_eq!(users.iter().collect::<Vec<_>>(), [Class::Submission, Class::Login]);
        assert!(Identities::default().is_empty() && Classes::default().is_empty());
        let twice = |class| [class, class].into_iter().collect::<Classes>();
        assert!(Class::ALL.into_iter().all(|class| twice(class).contains(class)));
    }

    #[test]
    fn a_set_takes_in_and_gives_up_one_at_a_time() {
        for identity in Identity::ALL {
            let (mut grown, mut shrunk) = (Identities::default(), Identities::ALL);
            for _ in 0..2 {
                grown.insert(identity);
                shrunk.remove(identity);
                assert_eq!(grown, [identity, identity].into_iter().collect());
                assert!(!grown.is_empty() && grown.iter().eq([identity]));
                assert!(shrunk.iter().eq(Identity::ALL.into_iter().filter(|other| *other != identity)));
            }
        }
    }
}
