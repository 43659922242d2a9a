//! A milter library, and the daemon built with it.
