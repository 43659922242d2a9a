//! HELO name and sender domain against ZRD, the domains that have just appeared.

use std::sync::Arc;

use super::{Inquiry, Target, name};
use crate::dns::Dns;
use crate::smtp::Needs;
use crate::verdict::{Identity, List};

/// HELO name and sender domain against ZRD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zrd;

impl Zrd {
    pub(super) const IDENTITIES: &[Identity] = name::IDENTITIES;

    pub(super) fn needs() -> Needs {
        name::needs()
    }

    pub(super) fn begin(identity: Identity, target: &Target, dns: &Arc<Dns>) -> Inquiry {
        name::begin(List::Zrd, identity, target, dns)
    }
}
