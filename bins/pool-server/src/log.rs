//! What the process says, line by line, on standard error: by a thread of its own, so that whoever
//! does not take the lines (a log collector that is stuck, a pipe that is closed, a full disk) stops
//! nobody. What does not fit meanwhile is dropped, and counted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for being taken: some three thousand, a minute of a busy server.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// How long the end of the process waits for its last lines to be taken.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How soon it is tried again where the other end made the pipe one that refuses instead of blocking.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The log of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// One was taken out, and is being written.
    is_writing: bool,
    dropped: usize,
}

impl Log {
    /// One whose lines go to `to`.
    ///
    /// # Errors
    ///
    /// Where the machine has no thread left.
    pub fn to(to: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let taken = Arc::clone(&queue);
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || taken.write_to(to))?;
        Ok(Self(queue))
    }

    /// Adds text that ends with a line's end. It never waits.
    pub fn say(&self, text: &str) {
        self.0.push(text.as_bytes());
    }

    /// Waits a second at most until everything is written.
    pub fn flush(&self) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        let state = self.0.state();
        let _ = self
            .0
            .changed
            .wait_timeout_while(state, FLUSH_WITHIN, is_busy);
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes + line.len() > QUEUE_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        drop(state);
        self.changed.notify_all();
    }

    /// Writes line after line for as long as the process lives.
    fn write_to(&self, mut to: impl Write) {
        loop {
            let line = self.next();
            let is_written = write_line(&mut to, &line).is_ok();
            let dropped = self.written(is_written);
            if dropped > 0 {
                tracing::warn!(
                    lines.dropped = dropped,
                    "lines of this log were dropped, since nobody took them"
                );
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many lines were dropped, where it is time to say so: there are some, the lines flow again,
    /// and one more has room.
    fn written(&self, is_written: bool) -> usize {
        let mut state = self.state();
        state.is_writing = false;
        let mut dropped = 0;
        if !is_written {
            state.dropped += 1;
        } else if state.bytes <= QUEUE_BYTES_MAX / 2 {
            dropped = std::mem::take(&mut state.dropped);
        }
        drop(state);
        self.changed.notify_all();
        dropped
    }
}

fn write_line(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => line = &line[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(WRITE_AGAIN_AFTER),
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// An event is written at once, as a whole.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a line for each turn that it is given.
    struct Reader {
        turns: Receiver<io::Result<()>>,
        lines: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.turns.recv().unwrap_or(Ok(()))?;
            let _ = self.lines.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read_by_turns() -> (Log, Sender<io::Result<()>>, Receiver<String>) {
        let ((give, turns), (lines, read)) = (channel(), channel());
        (Log::to(Reader { turns, lines }).unwrap(), give, read)
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted_and_the_rest_is_in_order() {
        let (log, give, read) = read_by_turns();
        let line = format!("{}\n", "x".repeat(1_023));
        for _ in 0..5_000 {
            log.say(&line);
        }
        log.flush();
        let state = log.0.state();
        // One is with the reader.
        assert_eq!(state.dropped + state.lines.len() + 1, 5_000);
        assert!(state.bytes <= QUEUE_BYTES_MAX, "{}", state.bytes);
        drop(state);
        drop(give);
        log.flush();
        assert_eq!(log.0.state().dropped, 0, "it was said");
        assert!(read.try_iter().count() >= 1_024);
    }

    #[test]
    fn a_line_that_could_not_be_written_counts_as_dropped() {
        let (log, give, read) = read_by_turns();
        give.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        log.say("lost\n");
        log.flush();
        assert_eq!(log.0.state().dropped, 1);
        drop(give);
        log.say("kept\n");
        log.flush();
        assert_eq!(log.0.state().dropped, 0, "it was said");
        assert_eq!(read.try_iter().collect::<String>(), "kept\n");
    }

    #[test]
    fn a_pipe_that_is_full_for_a_moment_loses_nothing() {
        let (log, give, read) = read_by_turns();
        give.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        drop(give);
        log.say("kept\n");
        log.flush();
        assert_eq!(read.try_iter().collect::<String>(), "kept\n");
    }
}
