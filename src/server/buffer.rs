//! Buffers that the connections of one thread use in turn: one that waits holds none.

use std::cell::RefCell;
use std::task::Poll;

use tokio::io::ReadBuf;

/// Octets taken off a socket at once.
pub(super) const READ: usize = 65_540;
/// Largest buffer that is kept for the next who needs one, in octets: room for any usual command.
const KEPT: usize = 4_096;
/// Buffers kept per thread: one for what is received and one for what is said.
const SPARE: usize = 2;

thread_local! {
    /// What is read.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
    /// Empty buffers, with room.
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Appends to `buffer` what `read` finds, and tells how much that was.
pub(super) fn append<E>(
    buffer: &mut Vec<u8>,
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<Result<(), E>>,
) -> Poll<Result<usize, E>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut scratch = ReadBuf::new(scratch);
        read(&mut scratch).map_ok(|()| {
            let octets = scratch.filled();
            if !octets.is_empty() {
                lend(buffer);
                buffer.extend_from_slice(octets);
            }
            octets.len()
        })
    })
}

/// Gives a buffer without room one that has some, if there is any.
pub(super) fn lend(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        *buffer = SPARES.with_borrow_mut(Vec::pop).unwrap_or_default();
    }
}

/// Takes back the room of a buffer whose contents have served.
pub(super) fn give_back(buffer: &mut Vec<u8>) {
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    SPARES.with_borrow_mut(|spares| {
        if (1..=KEPT).contains(&buffer.capacity()) && spares.len() < SPARE {
            spares.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_gives_back_the_next_one_gets_empty_and_never_a_large_one() {
        let mut one = b"said".to_vec();
        let place = one.as_ptr();
        give_back(&mut one);
        assert_eq!(one.capacity(), 0, "who waits holds nothing");
        let mut next = Vec::new();
        lend(&mut next);
        assert!(next.is_empty() && next.as_ptr() == place);
        give_back(&mut Vec::with_capacity(KEPT + 1));
        let mut large = Vec::new();
        lend(&mut large);
        assert_eq!(large.capacity(), 0);
    }

    #[test]
    fn what_a_buffer_holds_stays_when_more_is_read() {
        let mut buffer = b"one ".to_vec();
        give_back(&mut b"other".to_vec());
        let read = append(&mut buffer, |scratch| {
            scratch.put_slice(b"two");
            Poll::Ready(Ok::<_, ()>(()))
        });
        assert_eq!((read, &buffer[..]), (Poll::Ready(Ok(3)), &b"one two"[..]));
    }
}
