//! One file per check: each looks at a part of the dialog and reports what it finds.
//!
//! A check asks and reports; it never decides. A question starts as soon as its subject is known; whoever
//! needs the answer waits for it later, as long as it wants.

mod exempt;
mod inquiry;
mod name;
mod target;

use std::sync::Arc;

use crate::dns::Dns;
use crate::smtp::Needs;
use crate::verdict::Identity;

pub use exempt::Exempt;
pub use inquiry::Inquiry;
pub use target::Target;

/// Lists the checks: each one is a file with a type of that name, and one line here.
macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident in $file:ident,)+) => {
        $(mod $file; pub use $file::$name;)+

        /// Any check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Check {
            $($(#[$doc])* $name($name),)+
        }

        impl Check {
            /// What the check needs to be told by the MTA.
            pub fn needs(self) -> Needs {
                match self { $(Self::$name(_) => $name::needs(),)+ }
            }

            /// Whether the check looks at this part of the dialog.
            pub fn looks_at(self, identity: Identity) -> bool {
                match self { $(Self::$name(_) => $name::IDENTITIES.contains(&identity),)+ }
            }

            /// Begins to ask about a target.
            pub fn begin(self, identity: Identity, target: &Target, dns: &Arc<Dns>) -> Inquiry {
                match self { $(Self::$name(_) => $name::begin(identity, target, dns),)+ }
            }
        }
    };
}

checks! {
    /// The client's address against ZEN.
    Zen in zen,
    /// HELO name and sender domain against DBL.
    Dbl in dbl,
    /// HELO name and sender domain against ZRD.
    Zrd in zrd,
}
