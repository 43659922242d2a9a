//! What is done on account of a finding.

/// What a rule does, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Nothing but a line in the log.
    Log,
    /// The message gets a header field.
    Tag,
    /// The mail server holds the message.
    Quarantine,
    /// The client is told to come again.
    Defer,
    /// The message is taken and dropped.
    Discard,
    /// The mail is refused for good.
    Refuse,
}

impl Act {
    /// All of them, the weakest first.
    pub const ALL: [Self; 6] =
        [Self::Log, Self::Tag, Self::Quarantine, Self::Defer, Self::Discard, Self::Refuse];

    /// The word in settings and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Tag => "tag",
            Self::Quarantine => "quarantine",
            Self::Defer => "tempfail",
            Self::Discard => "discard",
            Self::Refuse => "reject",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Act;

    #[test]
    fn acts_are_ordered_by_their_strength() {
        assert!(Act::ALL.is_sorted());
    }
}
