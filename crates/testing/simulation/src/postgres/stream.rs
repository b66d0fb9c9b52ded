//! A session's bytes. A statement is carried out while the whole simulation stands still: from the
//! moment at which it is sent until its answer is there nothing else runs and no time passes, so
//! that the same seed is the same run. What may happen in between, happens before and after: a pause,
//! a broken connection, a server that is killed or stands still.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::gate::{Gate, SessionId};
use super::messages::{self, backend, frontend};
use crate::node::Node;
use crate::trace::{Kind, SECOND_TIME};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the session"
)]
pub(crate) struct SimulatedStream {
    socket: Arc<TcpStream>,
    gate: Arc<Gate>,
    node: Arc<Node>,
    id: SessionId,
    phase: Phase,
    /// What has arrived and was not read yet.
    arrived: Vec<u8>,
    /// How many answers are still to come.
    outstanding: usize,
    /// How many come before these that the client did not ask for.
    hidden: usize,
    /// Whether the last answer left a transaction open.
    in_transaction: bool,
    /// A statement's pause before it is sent.
    pause: Option<Pin<Box<Sleep>>>,
    /// The present statement may be sent.
    may_send: bool,
    /// The texts of the prepared statements, by their names. The names are numbered through the whole
    /// process, so that no two runs have the same.
    prepared: BTreeMap<String, String>,
    notifies: bool,
    /// The virtual time that the session knows, in milliseconds.
    knows_time: Option<i64>,
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

impl SimulatedStream {
    pub(super) fn new(socket: TcpStream, gate: Arc<Gate>, node: Arc<Node>, name: &str) -> Self {
        let socket = Arc::new(socket);
        let id = gate.enter(Arc::clone(&socket), Arc::clone(&node), name);
        Self {
            socket,
            gate,
            node,
            id,
            phase: Phase::Handshake,
            arrived: Vec::new(),
            outstanding: 0,
            hidden: 0,
            in_transaction: false,
            pause: None,
            may_send: false,
            prepared: BTreeMap::new(),
            notifies: false,
            knows_time: None,
            is_cut: false,
            can_only_read_since: None,
            is_answered: false,
        }
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
        if self.may_send || self.outstanding > 0 {
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
        Poll::Ready(self.tell_time())
    }

    /// Tells the session what time it is, once a transaction.
    fn tell_time(&mut self) -> io::Result<()> {
        let now = self.node.now().timestamp_millis();
        if self.in_transaction || self.knows_time == Some(now) {
            return Ok(());
        }
        let is_first = self.knows_time.is_none();
        let limits = match (is_first, self.gate.only_reads(self.id)) {
            (true, false) => super::NO_REAL_LIMITS.to_owned(),
            (true, true) => format!("{}{}", super::NO_REAL_LIMITS, super::READ_ONLY),
            (false, _) => String::new(),
        };
        let text = format!(
            "{limits}SET simulation.now = '{}'",
            self.node
                .now()
                .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
        );
        self.knows_time = Some(now);
        self.hidden += 1;
        (&*self.socket).write_all(&frontend::query(&text))
    }

    fn note_sent(&mut self, data: &[u8]) {
        let mut rest = data;
        while let Some(message) = messages::next(&mut rest) {
            match message.kind {
                frontend::QUERY | frontend::SYNC => self.outstanding += 1,
                _ => {}
            }
            self.note(message.kind, message.body);
        }
    }

    fn note(&mut self, kind: u8, body: &[u8]) {
        let (first, rest) = messages::text(body);
        match kind {
            frontend::QUERY => {
                if first.starts_with("LISTEN") {
                    self.gate.listens(self.id);
                }
                self.runs(first, &[]);
            }
            frontend::PARSE => {
                let text = messages::text(rest).0;
                self.prepared.insert(first.to_owned(), text.to_owned());
            }
            frontend::BIND => {
                let (name, values) = messages::text(rest);
                let text = self.prepared.get(name).cloned().unwrap_or_default();
                self.runs(&text, values);
            }
            _ => {}
        }
    }

    fn runs(&mut self, text: &str, values: &[u8]) {
        self.notifies |= text.contains("pg_notify") || text.contains("NOTIFY");
        self.node.fingerprint(text.as_bytes());
        self.node.fingerprint(values);
        self.node.tell(Kind::Statement, || in_short(text));
    }

    /// Reads the whole answer, while everything else stands still.
    fn read_answer(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let mut incoming = Vec::new();
        while self.outstanding > 0 {
            let read = (&*self.socket).read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            incoming.extend(&chunk[..read]);
            let mut rest = incoming.as_slice();
            while let Some(message) = messages::next(&mut rest) {
                if self.hidden > 0 && message.kind != backend::NOTIFICATION {
                    self.hidden -= usize::from(message.kind == backend::READY_FOR_QUERY);
                    continue;
                }
                self.arrived.extend(message.whole);
                self.note_received(&message);
            }
            let parsed = incoming.len() - rest.len();
            incoming.drain(..parsed);
        }
        Ok(())
    }

    fn note_received(&mut self, message: &messages::Message<'_>) {
        match message.kind {
            backend::READY_FOR_QUERY => {
                self.outstanding -= 1;
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
            for (id, socket) in self.gate.listening() {
                if id != self.id {
                    (&*socket).write_all(&frontend::SYNC_MESSAGE)?;
                    let unasked = read_until_ready(&socket, 1)?;
                    self.gate.tell(id, &unasked);
                }
            }
        }
        self.gate.release(self.id);
        Ok(())
    }
}

/// Reads so many answers, and gives what else came in between: notifications.
fn read_until_ready(socket: &TcpStream, mut answers: usize) -> io::Result<Vec<u8>> {
    let (mut arrived, mut unasked, mut parsed) = (Vec::new(), Vec::new(), 0);
    let mut chunk = [0; 4096];
    while answers > 0 {
        let read = (&*socket).read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        arrived.extend(&chunk[..read]);
        let mut rest = &arrived[parsed..];
        while let Some(message) = messages::next(&mut rest) {
            match message.kind {
                backend::READY_FOR_QUERY => answers = answers.saturating_sub(1),
                backend::NOTIFICATION => unasked.extend(message.whole),
                _ => {}
            }
        }
        parsed = arrived.len() - rest.len();
    }
    Ok(unasked)
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
            this.note_sent(data);
            // The answer is read as soon as the client looks for it.
            cx.waker().wake_by_ref();
        }
        (&*this.socket).write_all(data)?;
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
        if this.phase == Phase::Handshake && this.arrived.is_empty() {
            let mut chunk = [0; 4096];
            let read = (&*this.socket).read(&mut chunk)?;
            this.arrived.extend(&chunk[..read]);
            let mut rest = this.arrived.as_slice();
            while let Some(message) = messages::next(&mut rest) {
                if message.kind == backend::READY_FOR_QUERY {
                    this.phase = Phase::Ready;
                }
            }
        }
        if this.outstanding > 0 {
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
