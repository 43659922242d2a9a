//! The envelope of what one process leaves for the next: version, length, checksum.
//!
//! Against accidents, not against forgery: that is kept away by who can pass descriptors to the process.

/// What an envelope begins with.
const MAGIC: &[u8; 8] = b"gatepost";
/// Octets before the content: magic, version, length, checksum.
pub(super) const HEAD: usize = 28;

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadStates {
    /// It does not begin as it should.
    #[error("these are not gatepost's")]
    Foreign,
    /// Another release wrote it.
    #[error("version {0} is not known to this release")]
    Version(u32),
    /// Something is missing or too much.
    #[error("they are not complete")]
    Length,
    /// It has changed.
    #[error("the checksum is wrong")]
    Checksum,
}

/// Puts something in the form of that version into an envelope.
pub fn enclose(version: u32, content: &[u8]) -> Vec<u8> {
    let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
    let mut envelope = Vec::with_capacity(HEAD + content.len());
    envelope.extend_from_slice(MAGIC);
    envelope.extend_from_slice(&version.to_be_bytes());
    envelope.extend_from_slice(&length.to_be_bytes());
    envelope.extend_from_slice(&checksum(content).to_be_bytes());
    envelope.extend_from_slice(content);
    envelope
}

/// What is in an envelope of that version.
///
/// # Errors
/// [`BadStates`]; nothing of it can be used then.
pub fn open(version: u32, envelope: &[u8]) -> Result<&[u8], BadStates> {
    let (magic, rest) = envelope.split_first_chunk::<8>().ok_or(BadStates::Foreign)?;
    if magic != MAGIC {
        return Err(BadStates::Foreign);
    }
    let (known, rest) = rest.split_first_chunk().ok_or(BadStates::Length)?;
    let known = u32::from_be_bytes(*known);
    if known != version {
        return Err(BadStates::Version(known));
    }
    let (length, rest) = rest.split_first_chunk().ok_or(BadStates::Length)?;
    let (sum, content) = rest.split_first_chunk().ok_or(BadStates::Length)?;
    if u64::try_from(content.len()) != Ok(u64::from_be_bytes(*length)) {
        return Err(BadStates::Length);
    }
    if checksum(content) != u64::from_be_bytes(*sum) {
        return Err(BadStates::Checksum);
    }
    Ok(content)
}

/// FNV-1a.
pub(super) fn checksum(octets: &[u8]) -> u64 {
    let step = |sum: u64, octet: &u8| (sum ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
    octets.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
