//! The limits of serving, each with its reason.
//!
//! These figures keep a hostile or broken peer from taking memory, descriptors or time that others need; some of them are
//! settings of the administrator. What only one module has to do with is a constant there, with its reason beside it: what
//! an access map may take, what is kept of a message, what a control socket hears.

use std::time::Duration;

/// The limits of one server and of each of its connections.
///
/// Sizes are octets, counts are whole numbers. [`Limits::default`] holds the figures of the
/// daemon; a library user changes single fields with struct update syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest packet that is not a header, code octet included. Sendmail never sends more than
    /// 65,536; body chunks are 65,535 data octets plus the code.
    pub frame: usize,
    /// Longest header packet, for a filter that looks at headers; for others that of [`frame`](Self::frame)
    /// holds. Postfix sends a header of up to `header_size_limit` (102,400 by
    /// default, and an administrator may raise it) in one packet.
    pub header_frame: usize,
    /// Longest OPTNEG packet; 12 data octets today, the rest is room for what MTAs may add.
    pub negotiation_frame: usize,
    /// Octets of macros kept per stage. All macros of both MTAs together stay below 4 KiB.
    pub macros: usize,
    /// Recipients kept per message, for a filter that asks for them. Postfix allows 1,000 by default
    /// (`smtpd_recipient_limit`); further ones are judged and answered, but not remembered.
    pub recipients: usize,
    /// Octets that these recipients may take, ESMTP parameters included: 1,000 addresses of the longest
    /// form that SMTP has (256 octets; RFC 5321, section 4.5.3.1.3), with as much again for parameters.
    /// From the first one on that does not fit, they are judged and answered, but not remembered.
    pub envelope: usize,
    /// Octets kept of any single string that a client typed (HELO name, address, parameter).
    pub text: usize,
    /// Connections served at once. Above it a session is told at once to go on without us: the MTA
    /// cannot tell a busy filter from a dead one and would wait its whole timeout.
    pub connections: usize,
    /// What a session above that is told.
    pub overload: Overload,
    /// Sessions of one SMTP client served at once, an IPv6 client counted by its /64; 0 for no limit. One
    /// client that opens hundreds of sessions must not take the places of all others. Above it a session is
    /// told what [`Limits::overload`] says.
    pub per_client: usize,
    /// Longest silence between packets. SMTP clients may take an hour for a command; libmilter's
    /// figure is 7,210 s for that reason.
    pub idle: Duration,
    /// Longest time from the first to the last octet of one packet.
    pub frame_time: Duration,
    /// Longest wait until the MTA takes some more of an answer. An MTA always reads.
    pub write_time: Duration,
    /// How often an MTA is told that the end of a message takes longer. Postfix starts its timer anew.
    pub progress: Duration,
    /// How long a stopping server waits for open messages before it closes what is left.
    pub drain: Duration,
    /// DNS questions on the wire at once: some 8 µs of CPU each with a name server on this host; with another one each has a
    /// socket of its own besides.
    pub queries: usize,
    /// DNS questions that may wait for one of those places; beyond it a question fails at once. The daemon
    /// takes as many as its connections can ask.
    pub waiting_queries: usize,
    /// Largest list file, in octets. The largest public lists have some 300 MB; a file that grows without end must not
    /// take the memory of the host.
    pub list_file: usize,
}

/// What a session is told for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overload {
    /// To go on without the filter.
    #[default]
    Accept,
    /// To come back later: 451 4.3.2.
    Tempfail,
}

impl Limits {
    /// Connections beyond the limit that are answered "go on without us"; further ones wait unseen.
    pub fn spare_connections(&self) -> usize {
        self.connections / 8 + 8
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 65_536,
            header_frame: 1 << 20,
            negotiation_frame: 4_096,
            macros: 16_384,
            recipients: 1_000,
            envelope: 1 << 19,
            text: 4_096,
            connections: 2_048,
            overload: Overload::Accept,
            per_client: 0,
            idle: Duration::from_secs(7_210),
            frame_time: Duration::from_secs(30),
            write_time: Duration::from_secs(10),
            progress: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            queries: 512,
            waiting_queries: 10_240,
            list_file: 1 << 30,
        }
    }
}
