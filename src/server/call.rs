//! A conversation with a filter, from the MTA's side.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::milter::Offer;
use crate::milter::mta::{Answer, Misuse, Modification, Mta, Sent, Violation};
use crate::smtp::Client;

/// Longest wait for one answer unless another is set: what Sendmail waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// Octets asked for in one read.
const READ: usize = 4_096;
/// Octets of one piece of a body.
const CHUNK: usize = 65_535;

/// Calls a filter as an MTA does, over any stream.
///
/// Wraps [`Mta`]: the methods follow an SMTP session, send what a real MTA would send, wait for the reply
/// and judge it. Each returns the filter's answer, or `None` if the event was not sent or no reply to it
/// was agreed. Macros go out together with the next event, in one write as with Postfix.
///
/// ```no_run
/// use gatepost::milter::Offer;
/// use gatepost::milter::mta::Answer;
/// use gatepost::server::{Call, CallError};
/// use gatepost::smtp::Client;
///
/// # async fn example() -> Result<(), CallError> {
/// let stream = tokio::net::TcpStream::connect("127.0.0.1:11332").await?;
/// let mut call = Call::new(stream, Offer::V6);
/// call.negotiate().await?;
/// let client = Client::Ip("192.0.2.1".parse().expect("an address"));
/// call.connect(b"mx.example.org", client, 2525).await?;
/// call.helo(b"mx.example.org").await?;
/// let answer = call.mail(b"<someone@example.org>", &[]).await?;
/// assert_eq!(answer, Some(Answer::Continue));
/// call.quit().await
/// # }
/// ```
#[derive(Debug)]
pub struct Call<S> {
    stream: S,
    mta: Mta,
    input: Vec<u8>,
    output: Vec<u8>,
    deadline: Duration,
}

/// Why a conversation with a filter ended.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The filter broke the protocol.
    #[error("the filter sent {0}")]
    Violation(#[from] Violation),
    /// The caller asked for what no MTA does.
    #[error("{0}")]
    Misuse(#[from] Misuse),
    /// The connection failed.
    #[error("the connection to the filter failed: {0}")]
    Connection(io::Error),
    /// The filter hung up before the end of the session.
    #[error("the filter closed the connection")]
    Closed,
    /// The filter did not reply in time, or did not hang up after QUIT.
    #[error("the filter did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Connection(error),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Call<S> {
    /// A conversation over `stream` that has not begun.
    pub fn new(stream: S, offer: Offer) -> Self {
        Self { stream, mta: Mta::new(offer), input: Vec::new(), output: Vec::new(), deadline: DEADLINE }
    }

    /// Sets the longest wait for one answer; ten seconds if it is not set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The protocol state: what was agreed, modifications, progress.
    pub fn mta(&self) -> &Mta {
        &self.mta
    }

    /// Changes that came with the latest end of a message.
    pub fn modifications(&self) -> &[Modification] {
        self.mta.modifications()
    }

    /// Negotiates; the first step of every conversation.
    ///
    /// # Errors
    /// [`CallError`], as with all steps; the conversation is over then, but for [`CallError::Misuse`].
    pub async fn negotiate(&mut self) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.negotiate(&mut self.output)?;
        self.exchange(sent).await
    }

    /// Keeps macros for the command with the letter `command`; see [`Mta::macros`].
    ///
    /// # Errors
    /// [`Misuse`] before negotiation and after QUIT.
    pub fn macros(&mut self, command: u8, macros: &[(&str, &[u8])]) -> Result<(), Misuse> {
        self.mta.macros(command, macros, &mut self.output).map(drop)
    }

    /// CONNECT; see [`Mta::connect`].
    pub async fn connect(
        &mut self,
        name: &[u8],
        client: Client,
        port: u16,
    ) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.connect(name, client, port, &mut self.output)?;
        self.exchange(sent).await
    }

    /// HELO or EHLO.
    pub async fn helo(&mut self, name: &[u8]) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.helo(name, &mut self.output)?;
        self.exchange(sent).await
    }

    /// MAIL with its ESMTP parameters.
    pub async fn mail(&mut self, address: &[u8], parameters: &[&[u8]]) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.mail(address, parameters, &mut self.output)?;
        self.exchange(sent).await
    }

    /// RCPT with its ESMTP parameters.
    pub async fn rcpt(&mut self, address: &[u8], parameters: &[&[u8]]) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.rcpt(address, parameters, &mut self.output)?;
        self.exchange(sent).await
    }

    /// DATA.
    pub async fn data(&mut self) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.data(&mut self.output)?;
        self.exchange(sent).await
    }

    /// One header field; see [`Mta::header`].
    pub async fn header(&mut self, name: &[u8], value: &[u8]) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.header(name, value, &mut self.output)?;
        self.exchange(sent).await
    }

    /// The end of the header section.
    pub async fn end_of_headers(&mut self) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.end_of_headers(&mut self.output)?;
        self.exchange(sent).await
    }

    /// The body, in pieces of the size that MTAs send. Returns the last answer that came; what follows
    /// "skip" or a final verdict is not sent.
    pub async fn body(&mut self, body: &[u8]) -> Result<Option<Answer>, CallError> {
        let mut last = None;
        for chunk in body.chunks(CHUNK) {
            let sent = self.mta.body(chunk, &mut self.output)?;
            last = self.exchange(sent).await?.or(last);
        }
        Ok(last)
    }

    /// The end of the message; [`Call::modifications`] has what came before the answer.
    pub async fn end_of_message(&mut self) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.end_of_message(&mut self.output)?;
        self.exchange(sent).await
    }

    /// A command that the MTA does not know.
    pub async fn unknown(&mut self, line: &[u8]) -> Result<Option<Answer>, CallError> {
        let sent = self.mta.unknown(line, &mut self.output)?;
        self.exchange(sent).await
    }

    /// ABORT; there is no reply to it.
    pub async fn abort(&mut self) -> Result<(), CallError> {
        let sent = self.mta.abort(&mut self.output)?;
        self.exchange(sent).await.map(drop)
    }

    /// QUIT, then waits for the filter to hang up.
    ///
    /// # Errors
    /// [`CallError::Deadline`] if it does not; [`Violation::Unsolicited`] if it says something first.
    pub async fn quit(mut self) -> Result<(), CallError> {
        let sent = self.mta.quit(&mut self.output)?;
        self.exchange(sent).await?;
        let deadline = self.deadline;
        timeout(deadline, self.hangup()).await.unwrap_or(Err(CallError::Deadline(deadline)))
    }

    async fn hangup(&mut self) -> Result<(), CallError> {
        loop {
            self.hear()?;
            if !self.read().await? {
                return Ok(());
            }
        }
    }

    /// Writes what is due to leave, then waits for the answer if there is one to come.
    async fn exchange(&mut self, sent: Sent) -> Result<Option<Answer>, CallError> {
        if sent == Sent::Withheld {
            return Ok(None);
        }
        let deadline = self.deadline;
        timeout(deadline, self.converse(sent)).await.unwrap_or(Err(CallError::Deadline(deadline)))
    }

    async fn converse(&mut self, sent: Sent) -> Result<Option<Answer>, CallError> {
        self.stream.write_all(&self.output).await?;
        self.stream.flush().await?;
        self.output.clear();
        if sent != Sent::Due {
            return Ok(None);
        }
        loop {
            if let Some(answer) = self.hear()? {
                return Ok(Some(answer));
            }
            if !self.read().await? {
                return Err(CallError::Closed);
            }
        }
    }

    /// Takes packets from what has been read until an answer is complete.
    fn hear(&mut self) -> Result<Option<Answer>, Violation> {
        let mut used = 0;
        let mut answer = None;
        while let (None, Some((frame, size))) = (&answer, Mta::take(&self.input[used..])?) {
            answer = self.mta.receive(frame)?;
            used += size;
        }
        self.input.drain(..used);
        Ok(answer)
    }

    /// Reads some octets; `false` at the end of the stream.
    async fn read(&mut self) -> io::Result<bool> {
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let read = self.stream.read(&mut self.input[start..]).await;
        self.input.truncate(start + *read.as_ref().unwrap_or(&0));
        read.map(|octets| octets > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    const AGREED: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0";
    const CONTINUE: &[u8] = b"\0\0\0\x01c";

    /// A call to a filter that says `words` at once and then stays silent.
    async fn call(words: &[u8]) -> (Call<DuplexStream>, DuplexStream) {
        let (stream, mut filter) = duplex(1 << 16);
        filter.write_all(words).await.expect("room");
        (Call::new(stream, Offer::V6), filter)
    }

    #[tokio::test]
    async fn a_conversation_goes_from_negotiation_to_quit() {
        let (mut call, mut filter) = call(&[AGREED, CONTINUE].concat()).await;
        assert!(matches!(call.negotiate().await, Ok(Some(Answer::Negotiated(_)))));
        call.macros(b'C', &[("j", b"mx.example")]).expect("macros");
        let answer = call.connect(b"localhost", Client::Unknown, 0).await.expect("an answer");
        assert_eq!(answer, Some(Answer::Continue));
        let waiting = tokio::spawn(call.quit());
        let mut sent = vec![0; 17 + 19 + 16 + 5];
        filter.read_exact(&mut sent).await.expect("packets");
        assert_eq!(&sent[17..], b"\0\0\0\x0fDCj\0mx.example\0\0\0\0\x0cClocalhost\0U\0\0\0\x01Q");
        drop(filter);
        assert!(waiting.await.expect("no panic").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_filter_costs_the_deadline_and_no_more() {
        let (call, _filter) = call(b"").await;
        let mut call = call.deadline(Duration::from_secs(3));
        let start = tokio::time::Instant::now();
        assert!(matches!(call.negotiate().await, Err(CallError::Deadline(_))));
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_filter_that_hangs_up_or_says_too_much_is_found_out() {
        let (mut hung, mut filter) = call(&AGREED[..9]).await;
        filter.shutdown().await.expect("a half-closed stream");
        assert!(matches!(hung.negotiate().await, Err(CallError::Closed)));
        let (mut gone, filter) = call(b"").await;
        drop(filter);
        assert!(matches!(gone.negotiate().await, Err(CallError::Closed)));
        let (mut chatty, mut filter) = call(&[AGREED, CONTINUE].concat()).await;
        filter.shutdown().await.expect("a half-closed stream");
        chatty.negotiate().await.expect("an agreement");
        let end = chatty.quit().await;
        assert!(matches!(end, Err(CallError::Violation(Violation::Unsolicited(b'c')))), "{end:?}");
    }
}
