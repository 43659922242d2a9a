//! Addresses of the envelope: all readers see the same one, and what is without fault leaves no room for another.

use gatepost::smtp::{AddressFault, AddressFaults, Domain, Mailbox, ReversePath, Side, TypedMailbox};

/// The faults that depend on the command.
const OF_SIDE: [AddressFault; 4] =
    [AddressFault::Percent, AddressFault::Unqualified, AddressFault::LocalPart, AddressFault::Bare];

/// Whatever a client types, allow list, map, list and log speak of the same mailbox.
pub fn address(data: &[u8]) {
    let path = ReversePath::parse(data);
    let typed = TypedMailbox::parse(data);
    let folded = Mailbox::parse(data);
    let readable = |typed: &TypedMailbox| Some(Domain::from_octets(typed.domain.as_deref()?).ok()?.0);
    let domain = typed.as_ref().and_then(readable);
    assert_eq!(folded.as_ref().and_then(|mailbox| mailbox.domain.clone()), domain, "{typed:?}");
    match &path {
        ReversePath::Null => assert_eq!(typed, None),
        ReversePath::Domain { domain: other, .. } => assert_eq!(domain.as_ref(), Some(other), "{typed:?}"),
        ReversePath::NoDomain | ReversePath::Unusable(_) => assert_eq!(domain, None, "{path:?}"),
    }
    assert_eq!(typed.is_none(), folded.is_none());
    if let Some(mailbox) = folded {
        assert!(!mailbox.address().contains(char::is_control));
    }
    faults(data, typed.as_ref());
}

fn faults(data: &[u8], typed: Option<&TypedMailbox>) {
    let found = |side, is_utf8| {
        let faults = AddressFaults::of(data, side, is_utf8);
        let all =
            AddressFault::ALL.into_iter().filter(move |fault| faults.contains(*fault)).collect::<Vec<_>>();
        assert_eq!(faults.first(), all.first().copied());
        all
    };
    let differ = |one: &[AddressFault], other: &[AddressFault], by: &[AddressFault]| {
        one.iter().filter(|fault| !other.contains(fault)).all(|fault| by.contains(fault))
    };
    let [sender, recipient] = [Side::Sender, Side::Recipient].map(|side| found(side, true));
    assert!(
        differ(&sender, &recipient, &OF_SIDE) && differ(&recipient, &sender, &OF_SIDE),
        "{sender:?} {recipient:?}"
    );
    let narrow = found(Side::Sender, false);
    assert!(
        differ(&narrow, &sender, &[AddressFault::Utf8]) && differ(&sender, &narrow, &[]),
        "{narrow:?} {sender:?}"
    );
    if !recipient.is_empty() {
        return;
    }
    // Without a fault there is one way to read it: brackets, perhaps a source route, local part, perhaps a domain.
    let typed = typed.expect("only the null path is nobody, and nobody writes to that");
    assert!(!typed.is_guess && typed.local.len() <= 64, "{typed:?}");
    let path = data.trim_ascii();
    let written = [b"@", typed.domain.as_deref().unwrap_or_default(), b">"].concat();
    match &typed.domain {
        Some(domain) => assert!(path.ends_with(&written) && domain.len() <= 255, "{typed:?}"),
        None => assert!(typed.local.eq_ignore_ascii_case(b"postmaster"), "{typed:?}"),
    }
}
