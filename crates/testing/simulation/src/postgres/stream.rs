//! A session's bytes. A statement is carried out while the whole simulation stands still: from the
//! moment at which it is sent until its answer is there nothing else runs and no time passes, so
//! that the same seed is the same run. What may happen in between, happens before and after: a pause,
//! a broken connection, a server that is killed or stands still.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::backends::{Backend, read_until};
use super::gate::{Gate, SessionId};
use super::messages::{self, backend, frontend};
use crate::node::Node;
use crate::trace::{Kind, SECOND_TIME};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the session"
)]
pub(crate) struct SimulatedStream {
    backend: Arc<Backend>,
    gate: Arc<Gate>,
    node: Arc<Node>,
    id: SessionId,
    phase: Phase,
    /// What has arrived and was not read yet.
    arrived: Vec<u8>,
    /// The answers that are still to come.
    expected: VecDeque<Answer>,
    /// Whether the last answer left a transaction open.
    in_transaction: bool,
    /// A statement's pause before it is sent.
    pause: Option<Pin<Box<Sleep>>>,
    /// The present statement may be sent.
    may_send: bool,
    /// The texts of the prepared statements, by their names. The names are numbered through the whole
    /// process, so that no two runs have the same.
    prepared: BTreeMap<String, Arc<str>>,
    notifies: bool,
    /// The virtual time that the session knows, in milliseconds.
    knows_time: Option<i64>,
    /// It counts none of its limits in real time.
    has_no_limits: bool,
    is_cut: bool,
    /// When it was first told that it can only read, and should not be used again.
    can_only_read_since: Option<Instant>,
    /// The answer is there, and what happens after it is not decided yet.
    is_answered: bool,
}

/// What the database says to whoever wants to write and cannot.
const READ_ONLY_TRANSACTION: &str = "25006";
/// The program takes a session that it has just proven for one that can write for a second, whatever a
/// statement said meanwhile.
const THROWN_AWAY_WITHIN: Duration = Duration::from_millis(1_200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Name, password and parameters.
    Handshake,
    Ready,
}

/// Whose question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Clients,
    Ours,
}

impl SimulatedStream {
    pub(super) fn new(gate: Arc<Gate>, node: Arc<Node>, name: &str) -> io::Result<Self> {
        let (id, backend) = gate.enter(Arc::clone(&node), name)?;
        Ok(Self {
            backend,
            gate,
            node,
            id,
            phase: Phase::Handshake,
            arrived: Vec::new(),
            expected: VecDeque::new(),
            in_transaction: false,
            pause: None,
            may_send: false,
            prepared: BTreeMap::new(),
            notifies: false,
            knows_time: None,
            has_no_limits: false,
            is_cut: false,
            can_only_read_since: None,
            is_answered: false,
        })
    }

    /// The connection breaks.
    fn cut(&mut self, at: &str) -> io::Error {
        self.node.cut(at);
        self.broken()
    }

    fn broken(&mut self) -> io::Error {
        self.is_cut = true;
        self.gate.leave(self.id);
        io::Error::from(io::ErrorKind::ConnectionReset)
    }

    /// What comes before a statement: its server's fate, a pause, its turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.may_send || !self.expected.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.pause.is_none() {
            if ready!(self.node.poll_step(cx, "before a statement")) {
                return Poll::Ready(Err(self.cut("before")));
            }
            self.pause = Some(Box::pin(sleep(self.node.statement_takes())));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        if !self.gate.stands(self.id) {
            return Poll::Ready(Err(self.broken()));
        }
        if !self.gate.take(self.id, cx.waker()) {
            return Poll::Pending;
        }
        self.pause = None;
        self.may_send = true;
        Poll::Ready(Ok(()))
    }

    /// Sends what the client says, after what the session has to know for it.
    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let (mut asks_time, mut sets_limits, mut asked) = (!self.has_no_limits, false, 0);
        let mut rest = data;
        while let Some(message) = messages::next(&mut rest) {
            asked += usize::from(matches!(message.kind, frontend::QUERY | frontend::SYNC));
            sets_limits |= message.kind == frontend::QUERY && sets_limit(message.body);
            asks_time |= self.note(message.kind, message.body);
        }
        if asks_time {
            self.tell_time()?;
        }
        self.has_no_limits &= !sets_limits;
        let answers = std::iter::repeat_n(Answer::Clients, asked);
        self.expected.extend(answers);
        self.socket().write_all(data)
    }

    fn socket(&self) -> &UnixStream {
        self.backend.socket()
    }

    /// Tells the session what time it is, once a transaction; and what it is to forget of limits.
    fn tell_time(&mut self) -> io::Result<()> {
        let now = self.node.now().timestamp_millis();
        if self.in_transaction || (self.has_no_limits && self.knows_time == Some(now)) {
            return Ok(());
        }
        let limits = if self.has_no_limits {
            ""
        } else {
            super::NO_REAL_LIMITS
        };
        let read_only = if self.knows_time.is_none() && self.gate.only_reads(self.id) {
            super::READ_ONLY
        } else {
            ""
        };
        let time = self.node.now();
        let time = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let text = format!("{limits}{read_only}SET simulation.now = '{time}'");
        self.knows_time = Some(now);
        self.has_no_limits = true;
        self.expected.push_back(Answer::Ours);
        self.socket().write_all(&frontend::query(&text))
    }

    /// Notes a message of the client. Whether the time matters for it.
    fn note(&mut self, kind: u8, body: &[u8]) -> bool {
        let (first, rest) = messages::text(body);
        match kind {
            frontend::QUERY => {
                if first.starts_with("LISTEN") {
                    self.gate.listens(self.id);
                }
                self.runs(first, &[])
            }
            frontend::PARSE => {
                let text = messages::text(rest).0;
                self.prepared.insert(first.to_owned(), text.into());
                false
            }
            frontend::BIND => {
                let (name, values) = messages::text(rest);
                let text = self.prepared.get(name).cloned();
                self.runs(text.as_deref().unwrap_or_default(), values)
            }
            _ => false,
        }
    }

    fn runs(&mut self, text: &str, values: &[u8]) -> bool {
        self.notifies |= text.contains("pg_notify") || text.contains("NOTIFY");
        self.node.fingerprint(text.as_bytes());
        self.node.fingerprint(values);
        self.node.tell(Kind::Statement, || in_short(text));
        asks_time(text)
    }

    /// Reads the whole answer, while everything else stands still.
    fn read_answer(&mut self) -> io::Result<()> {
        let session = Arc::clone(&self.backend);
        read_until(session.socket(), |message| {
            let whose = self.expected.front().copied();
            if message.kind == backend::READY_FOR_QUERY {
                self.expected.pop_front();
            }
            if whose == Some(Answer::Clients) || message.kind == backend::NOTIFICATION {
                self.arrived.extend(message.whole);
                self.note_received(message);
            }
            Ok(self.expected.is_empty())
        })
    }

    fn note_received(&mut self, message: &messages::Message<'_>) {
        match message.kind {
            backend::READY_FOR_QUERY => {
                self.in_transaction = message.body.first() != Some(&backend::IDLE);
            }
            backend::ERROR => {
                let code = messages::error_field(message.body, b'C');
                let said = messages::error_field(message.body, b'M');
                self.node
                    .tell(Kind::Statement, || format!("ERROR {code}: {said}"));
                if code == READ_ONLY_TRANSACTION {
                    let since = *self.can_only_read_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > THROWN_AWAY_WITHIN {
                        self.node.refused(SECOND_TIME, said);
                    }
                }
                self.node.refused(code, said);
            }
            backend::DATA_ROW | backend::COMMAND_COMPLETE => self.node.fingerprint(message.body),
            _ => {}
        }
    }

    /// The statement is done; its transaction may be.
    fn answered(&mut self) -> io::Result<()> {
        self.may_send = false;
        self.is_answered = true;
        self.gate.heard(self.id);
        if self.in_transaction {
            return Ok(());
        }
        if std::mem::take(&mut self.notifies) {
            for (id, backend) in self.gate.listening() {
                if id != self.id {
                    self.gate.tell(id, &unasked(backend.socket())?);
                }
            }
        }
        self.gate.release(self.id);
        Ok(())
    }
}

/// What has come without anybody's asking: notifications.
fn unasked(mut socket: &UnixStream) -> io::Result<Vec<u8>> {
    let mut unasked = Vec::new();
    socket.write_all(&frontend::SYNC_MESSAGE)?;
    read_until(socket, |message| {
        if message.kind == backend::NOTIFICATION {
            unasked.extend(message.whole);
        }
        Ok(message.kind == backend::READY_FOR_QUERY)
    })?;
    Ok(unasked)
}

/// Whether limits are set that the database counts in real time.
fn sets_limit(body: &[u8]) -> bool {
    messages::text(body).0.contains("_timeout")
}

/// Whether what a statement does may depend on the time. What only reads, and calls none of our own
/// functions, tells by its text.
fn asks_time(text: &str) -> bool {
    let calls = ["now()", "_timestamp", "pool_"];
    !text.starts_with("SELECT") || calls.iter().any(|call| text.contains(call))
}

/// A statement on one line, not too long.
fn in_short(text: &str) -> String {
    const CHARS: usize = 100;
    let line = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let line = line
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl AsyncWrite for SimulatedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut || (!this.gate.stands(this.id) && !this.gate.ended_unheard(this.id)) {
            return Poll::Ready(Err(this.broken()));
        }
        if this.phase == Phase::Ready {
            if data.first() == Some(&frontend::TERMINATE) {
                this.is_cut = true;
                this.gate.leave(this.id);
                return Poll::Ready(Ok(data.len()));
            }
            ready!(this.poll_turn(cx))?;
            this.send(data)?;
            // The answer is read as soon as the client looks for it.
            cx.waker().wake_by_ref();
        } else {
            // The session has begun already; the client hears what it would have heard.
            this.arrived.extend(this.backend.greeting());
            this.phase = Phase::Ready;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_cut = true;
        this.gate.leave(this.id);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for SimulatedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !this.expected.is_empty() {
            if !this.gate.stands(this.id) {
                return Poll::Ready(Err(this.broken()));
            }
            let answered = this.read_answer().and_then(|()| this.answered());
            if let Err(error) = answered {
                let _ = this.broken();
                return Poll::Ready(Err(error));
            }
        }
        if this.is_answered {
            if ready!(this.node.poll_step(cx, "after a statement")) {
                return Poll::Ready(Err(this.cut("after")));
            }
            this.is_answered = false;
        }
        if this.arrived.is_empty() {
            if this.gate.ended_unheard(this.id) {
                return Poll::Pending;
            }
            if !this.gate.stands(this.id) {
                return Poll::Ready(Err(this.broken()));
            }
            this.arrived = this.gate.unasked(this.id, cx.waker());
            if this.arrived.is_empty() {
                return Poll::Pending;
            }
        }
        let taken = this.arrived.len().min(buffer.remaining());
        buffer.put_slice(&this.arrived[..taken]);
        this.arrived.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimulatedStream {
    fn drop(&mut self) {
        // Of a killed one the database hears by its host, sooner or later.
        if !self.is_cut && !self.node.killed.is_cancelled() {
            self.gate.leave(self.id);
        }
    }
}

impl TlsStream for SimulatedStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl fmt::Debug for SimulatedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
