//! One connection of an MTA.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::buffer::{self, READ};
use super::handover::{BadState, Rested, State};
use super::output::send;
use super::room::Seat;
use super::serve::{Phase, Shared};
use super::stream::Stream;
use super::wait::{Wait, Woken, poll_alarm};
use crate::milter::{Due, Filter, Flow, Frame, ProtocolError, Session, Step, Unspoken};
use crate::smtp::{SessionId, Stage};
use crate::verdict::Decision;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// QUIT, or the MTA closed between packets.
    Quit,
    /// The MTA closed in the middle of a packet or of a message.
    Gone,
    /// The server stops.
    Drained,
    /// The server hands its connections over: not an end, and nothing is lost or said twice.
    Rested,
    /// A deadline passed.
    Late(&'static str),
    /// The MTA sent what no MTA can mean.
    Protocol(ProtocolError),
    /// The socket failed.
    Socket(io::Error),
}

/// What a wait for octets came to.
enum Received {
    /// There are so many.
    Octets(usize),
    /// The server is in another phase.
    Phase,
}

/// What became of the packets that are there.
enum Processed {
    /// They are answered. Whether the last one gets no answer that could carry its acknowledgement, and more is to
    /// come: macros, whose command follows, and ABORT.
    All { unanswered: bool },
    /// Those up to one that has to be judged at this stage.
    Judge(Stage),
}

/// What became of a connection.
pub(super) enum Outcome {
    /// It is closed.
    Ended(End),
    /// It goes on elsewhere.
    Rested(Rested),
}

/// The state of a connection: what is known, and what is half received.
pub(super) struct Connection<F: Filter> {
    stream: Stream,
    shared: Arc<Shared<F>>,
    filter: Option<Arc<F>>,
    session: Session,
    memory: F::Memory,
    input: Vec<u8>,
    /// When the packet that is half received must be complete.
    due: Option<Instant>,
    /// What is said and has not left yet.
    output: Vec<u8>,
    /// What was left of the wait in which the connection was put to rest, for the one that continues it.
    left: Option<Duration>,
    seat: Option<Seat<F>>,
}

impl<F: Filter> Connection<F> {
    pub(super) fn new(stream: Stream, id: SessionId, shared: Arc<Shared<F>>) -> Self {
        stream.prepare();
        Self {
            stream,
            filter: None,
            session: Session::new(id, &shared.limits),
            memory: F::Memory::default(),
            input: Vec::new(),
            due: None,
            output: Vec::new(),
            left: None,
            seat: None,
            shared,
        }
    }

    /// A connection that was [put to rest](Outcome::Rested), here or in another process.
    ///
    /// # Errors
    /// [`BadState`] if no connection can have been in that state.
    pub(super) fn restored(
        stream: Stream,
        state: State<Session, F::Memory>,
        shared: Arc<Shared<F>>,
    ) -> Result<Self, BadState> {
        let State { mut session, memory, input, output, left } = state;
        session.resume(&shared.limits);
        let waits = matches!(session.due(), Due::Nothing | Due::Judgement(_));
        if !waits || (session.agreement().is_none() && session.due() != Due::Nothing) {
            return Err(BadState::Impossible);
        }
        stream.prepare();
        let filter = session.agreement().map(|_| shared.filter.load_full());
        if let Some(filter) = &filter {
            session.keep(filter.needs().kept);
        }
        let left = left.map(Duration::from_millis).map(|left| left.min(shared.limits.idle));
        // The wait was for the rest of a packet, unless something could not leave.
        let due = left.filter(|_| output.is_empty() && !input.is_empty());
        // It had one, unless it was refused one, which it goes on without.
        let seat = shared.readmit(&session.dialog().client);
        Ok(Self {
            seat,
            due: due.map(|left| Instant::now() + left.min(shared.limits.frame_time)),
            left: left.filter(|_| due.is_none()),
            stream,
            filter,
            session,
            memory,
            input,
            output,
            shared,
        })
    }

    /// Whether the session negotiated less than its filter wants to see: it began with another configuration.
    pub(super) fn sees_less(&self) -> bool {
        let needs = self.filter.as_ref().map(|filter| filter.needs());
        needs.is_some_and(|needs| !self.session.agreement().is_some_and(|agreed| agreed.covers(&needs)))
    }

    /// The session's id in the log.
    pub(super) fn id(&self) -> SessionId {
        self.session.dialog().id
    }

    /// Serves the connection to its end, or until it is to go on elsewhere.
    ///
    /// It is borrowed, since a task has room for each value that moves within it.
    pub(super) async fn serve(&mut self) -> End {
        let Err(end) = self.converse().await;
        if !matches!(end, End::Rested) {
            // What is already said may still be read: the answer to the last packet, mostly.
            if !self.output.is_empty() {
                let _ = self.stream.try_write(&self.output);
            }
            buffer::give_back(&mut self.output);
        }
        end
    }

    /// What becomes of the connection after its end.
    pub(super) fn finish(self, end: End) -> Outcome {
        match end {
            End::Rested => self.rest(),
            end => Outcome::Ended(end),
        }
    }

    fn is_new(&self) -> bool {
        self.input.is_empty() && self.output.is_empty() && self.session.due() == Due::Nothing
    }

    /// Does what was left undone when the connection was put to rest.
    async fn go_on(&mut self) -> Result<(), End> {
        if !self.output.is_empty() {
            self.send().await?;
            self.left = None;
        }
        if let Due::Judgement(stage) = self.session.due() {
            self.decide(stage).await?;
        }
        if !self.input.is_empty() || !self.output.is_empty() {
            self.answer().await?;
            self.stream.acknowledge();
        }
        Ok(())
    }

    fn rest(self) -> Outcome {
        let in_message = self.session.in_message() || self.session.due() != Due::Nothing;
        let state = State {
            session: &self.session,
            memory: &self.memory,
            input: self.input,
            output: self.output,
            left: self.left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        };
        match state.store().and_then(|state| Ok((state, self.stream.into_fd()?))) {
            Ok((state, stream)) => Outcome::Rested(Rested { stream, state, in_message }),
            Err(error) => Outcome::Ended(End::Socket(error)),
        }
    }

    /// Takes packets and answers them to the end.
    ///
    /// What is waited with stays from one packet to the next: to hang a waker or a timer in and take it out again
    /// costs more than most answers do.
    async fn converse(&mut self) -> Result<Infallible, End> {
        // A new connection has nothing left to do, and most never need the room for it.
        if !self.is_new() {
            Box::pin(self.go_on()).await?;
        }
        let shared = Arc::clone(&self.shared);
        let mut phase = shared.phase.subscribe();
        let mut alarm = pin!(sleep_until(Instant::now() + shared.limits.idle));
        loop {
            let now = *phase.borrow_and_update();
            let mut changed = pin!(phase.changed());
            loop {
                let received = {
                    let wait = self.begin_wait(now)?;
                    let woken =
                        poll_fn(|context| self.poll(changed.as_mut(), alarm.as_mut(), &wait, context));
                    let woken = woken.await;
                    self.end_wait(&wait, woken)?
                };
                match received {
                    // Who always has something to say never lets others have the thread.
                    Received::Octets(READ) => tokio::task::yield_now().await,
                    Received::Octets(_) => {}
                    Received::Phase => break,
                }
                if self.answer().await? {
                    self.stream.acknowledge();
                }
            }
        }
    }

    fn begin_wait(&mut self, phase: Phase) -> Result<Wait, End> {
        let now = Instant::now();
        let idle = self.left.take().unwrap_or(self.shared.limits.idle);
        let deadline = if self.input.is_empty() {
            now + idle
        } else {
            *self.due.get_or_insert_with(|| now + self.shared.limits.frame_time)
        };
        if let Phase::HandingOver { .. } = phase {
            // What has not been read stays in the socket.
            self.left = Some(deadline.saturating_duration_since(now));
            return Err(End::Rested);
        }
        let until = self.until(phase);
        // Looked at first: a peer that never stops sending always has something to read.
        if until.is_some_and(|until| now >= until) {
            return Err(End::Drained);
        }
        Ok(Wait { deadline, until })
    }

    /// When a server that stops lets the connection go.
    fn until(&self, phase: Phase) -> Option<Instant> {
        match phase {
            Phase::Draining { idle, all } => Some(if self.session.in_message() { all } else { idle }),
            Phase::Serving | Phase::HandingOver { .. } => None,
        }
    }

    /// Takes what is there, or waits for it until the phase is another.
    fn poll(
        &mut self,
        changed: Pin<&mut impl Future>,
        alarm: Pin<&mut Sleep>,
        wait: &Wait,
        context: &mut Context<'_>,
    ) -> Poll<Woken> {
        if changed.poll(context).is_ready() {
            return Poll::Ready(Woken::Phase);
        }
        let Self { stream, input, .. } = self;
        if let Poll::Ready(read) = buffer::append(input, |scratch| stream.poll_read(context, scratch)) {
            return Poll::Ready(Woken::Read(read));
        }
        poll_alarm(alarm, wait.nearest(), context).map(|()| Woken::Alarm)
    }

    fn end_wait(&mut self, wait: &Wait, woken: Woken) -> Result<Received, End> {
        match woken {
            Woken::Phase => {
                self.left = Some(wait.deadline.saturating_duration_since(Instant::now()));
                Ok(Received::Phase)
            }
            Woken::Read(Ok(0)) if self.input.is_empty() && !self.session.in_message() => Err(End::Quit),
            Woken::Read(Ok(0)) => Err(End::Gone),
            Woken::Read(Ok(count)) => Ok(Received::Octets(count)),
            Woken::Read(Err(error)) => Err(End::Socket(error)),
            Woken::Alarm if wait.until == Some(wait.nearest()) => Err(End::Drained),
            Woken::Alarm if self.input.is_empty() => Err(End::Late("silent for too long")),
            Woken::Alarm => Err(End::Late("a packet took too long to arrive")),
        }
    }

    /// Answers every complete packet. Tells whether the last one is [unanswered](Processed::All).
    ///
    /// Nothing but the judgement is kept while it is waited for: each connection has room for what is.
    async fn answer(&mut self) -> Result<bool, End> {
        loop {
            let processed = self.process()?;
            // Answers to earlier packets must not wait for a judgement.
            self.send().await?;
            match processed {
                Processed::All { unanswered } => return Ok(unanswered),
                Processed::Judge(stage) => self.decide(stage).await?,
            }
            // What was sent ahead may take many judgements, and does not keep a server that stops.
            if !self.input.is_empty() {
                let until = self.until(*self.shared.phase.borrow());
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Err(End::Drained);
                }
            }
        }
    }

    fn process(&mut self) -> Result<Processed, End> {
        let mut input = std::mem::take(&mut self.input);
        buffer::lend(&mut self.output);
        let mut done = 0;
        let mut unanswered = false;
        let mut judged = Ok(None);
        while matches!(judged, Ok(None)) {
            let taken = self.session.take(&input[done..]).map_err(End::Protocol)?;
            let Some((frame, used)) = taken else { break };
            // Whatever becomes of the packet: the session has it, and it must not come again.
            done += used;
            unanswered = matches!(frame.code, b'D' | b'A');
            judged = self.packet(frame);
        }
        if done > 0 {
            // What is left has its time from when it is waited for.
            self.due = None;
        }
        if done == input.len() {
            buffer::give_back(&mut input);
        } else {
            input.drain(..done);
            self.input = input;
        }
        Ok(judged?.map_or(Processed::All { unanswered }, Processed::Judge))
    }

    /// Takes a packet, and tells at which stage it has to be judged, if it has to.
    fn packet(&mut self, frame: Frame<'_>) -> Result<Option<Stage>, End> {
        match self.session.receive(frame, &mut self.output).map_err(End::Protocol)? {
            Step::Proceed => Ok(None),
            Step::Negotiate(offer) => {
                let filter = self.shared.filter.load_full();
                let needs = filter.needs();
                self.session.negotiate(offer, &needs, &mut self.output).map_err(End::Protocol)?;
                if let Some(missing) =
                    self.session.agreement().map(|a| a.missing(&needs)).filter(|m| m.0 != 0)
                {
                    self.shared.missing(self.session.dialog().id, missing);
                }
                self.filter = Some(filter);
                Ok(None)
            }
            Step::Judge { stage, last_chunk } => {
                if let (false, Some(filter)) = (last_chunk.is_empty(), &self.filter) {
                    let _ = filter.body(self.session.dialog(), &mut self.memory, last_chunk);
                }
                Ok(Some(stage))
            }
            Step::Restart => {
                self.memory = F::Memory::default();
                self.seat = None;
                Ok(None)
            }
            Step::Hangup => Err(End::Quit),
            step => {
                self.look(step);
                Ok(None)
            }
        }
    }

    /// Makes sure that the client may have one more session, as soon as the client is known.
    fn seat(&mut self, stage: Stage) -> Result<(), Decision> {
        if stage == Stage::Connect && self.seat.is_none() {
            let dialog = self.session.dialog();
            self.seat = self.shared.admit(dialog.id, &dialog.client)?;
        }
        Ok(())
    }

    /// Lets the filter look at something that streams by.
    fn look(&mut self, step: Step<'_>) {
        let Some(filter) = &self.filter else { return };
        let (dialog, memory) = (self.session.dialog(), &mut self.memory);
        let flow = match step {
            Step::Header { name, value, restore_space: false } => {
                Flow::Answer(filter.header(dialog, memory, name, value))
            }
            Step::Header { name, value, restore_space: true } => {
                Flow::Answer(filter.header(dialog, memory, name, &[b" ", value].concat()))
            }
            Step::EndOfHeaders => Flow::Answer(filter.end_of_headers(dialog, memory)),
            Step::Body(chunk) => filter.body(dialog, memory, chunk),
            Step::Unknown(line) => Flow::Answer(filter.unknown(dialog, memory, line)),
            _ => return,
        };
        let said = self.session.answer(&flow, &mut self.output);
        self.note(said);
    }

    /// Judges and speaks.
    async fn decide(&mut self, stage: Stage) -> Result<(), End> {
        let Some(filter) = self.filter.clone() else { return Ok(()) };
        if let Err(decision) = self.seat(stage) {
            self.say(&decision);
            return Ok(());
        }
        let decision = self.judge(&filter, stage).await?;
        self.say(&decision);
        Ok(())
    }

    fn say(&mut self, decision: &Decision) {
        buffer::lend(&mut self.output);
        let said = self.session.resolve(decision, &mut self.output);
        self.note(said);
    }

    /// Judges; at the end of a message Postfix is told every few seconds that it may take longer.
    ///
    /// A judgement that is not ready when the connection has to go on elsewhere is begun anew there: the
    /// session remembers that it is due.
    async fn judge(&mut self, filter: &Arc<F>, stage: Stage) -> Result<Decision, End> {
        let Self { shared, session, memory, output, stream, left, .. } = self;
        let session = &*session;
        let mut judging = pin!(filter.judge(stage, session.dialog(), memory));
        if let Some(decision) = judging.as_mut().now_or_never() {
            return Ok(decision);
        }
        // A connection that waits for nothing needs no room for waiting.
        Box::pin(async move {
            loop {
                let patience = async {
                    match stage {
                        Stage::Message => tokio::time::sleep(shared.limits.progress).await,
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    decision = &mut judging => return Ok(decision),
                    () = shared.handing_over() => return Err(End::Rested),
                    () = patience => {}
                }
                session.progress(output);
                send(stream, output, shared, left).await?;
            }
        })
        .await
    }

    async fn send(&mut self) -> Result<(), End> {
        send(&self.stream, &mut self.output, &self.shared, &mut self.left).await
    }

    fn note(&self, said: Result<(), Unspoken>) {
        if let Err(unspoken) = said {
            self.shared.unspoken(self.session.dialog().id, unspoken);
        }
    }
}
