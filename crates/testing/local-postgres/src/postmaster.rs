//! The process of a server: what its `postmaster.pid` says, whether that is still true, and the
//! signals that end it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;
use crate::waiting::wait_for;

/// After SIGQUIT the server kills its own children within 5 s, so 10 s is enough for it to go.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A fast shutdown takes 10 to 15 ms, and the time of one checkpoint on a slow disk.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How a server is brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Connections are closed, what is committed is written (`SIGINT`).
    Fast,
    /// Everything ends at once, and the next start recovers (`SIGQUIT`).
    Immediate,
    /// The postmaster is gone without a word (`SIGKILL`); its children go when they notice.
    Killed,
}

/// What `postmaster.pid` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Postmaster {
    pub(crate) pid: Pid,
    pub(crate) port: u16,
    pub(crate) ready: bool,
}

impl Postmaster {
    /// The server that runs in `data_dir`, if one does. A file left by a killed server names a
    /// process that is gone, or another one that got its number since.
    pub(crate) fn running_in(data_dir: &Path) -> Result<Option<Self>, Error> {
        let found = Self::read(data_dir)?;
        Ok(found.filter(|postmaster| serves(postmaster.pid, data_dir)))
    }

    /// What the file says, true or not. A file that is still being written says nothing yet.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, Error> {
        let path = data_dir.join("postmaster.pid");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path)(error)),
        }
    }

    /// Line 1 is the process, line 4 the port, line 8 the state.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: lines.first()?.parse().ok().and_then(Pid::from_raw)?,
            port: lines.get(3)?.parse().ok()?,
            ready: lines.get(7).is_some_and(|state| *state == "ready"),
        })
    }

    pub(crate) fn number(self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Ends it, and by a harder signal where that takes too long.
    pub(crate) fn end(self, data_dir: &Path, how: Halt) -> Result<(), Error> {
        let quit = (Signal::QUIT, QUIT_TIMEOUT);
        let kill = (Signal::KILL, QUIT_TIMEOUT);
        let signals = match how {
            Halt::Fast => [(Signal::INT, STOP_TIMEOUT), quit],
            // PostgreSQL 15 waits for ever for a child that it was forking when the signal came.
            Halt::Immediate => [quit, kill],
            Halt::Killed => [kill, kill],
        };
        let is_gone = || (!serves(self.pid, data_dir)).then_some(());
        for (signal, limit) in signals {
            // One that ended long ago may have given its number to somebody else.
            if is_gone().is_none() {
                let _ = kill_process(self.pid, signal);
            }
            if wait_for(limit, || Ok::<_, Error>(is_gone()))?.is_some() {
                return Ok(());
            }
        }
        Err(Error::StopServer {
            pid: self.number(),
            seconds: signals.iter().map(|(_, limit)| limit.as_secs()).sum(),
        })
    }
}

/// Whether this process is a living PostgreSQL server of `data_dir`: a server works in its data
/// directory, and nothing else does.
fn serves(pid: Pid, data_dir: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let name = fs::read_to_string(proc.join("comm")).unwrap_or_default();
    let works_in = fs::read_link(proc.join("cwd")).ok();
    let data_dir = fs::canonicalize(data_dir).ok();
    name.trim() == "postgres" && works_in.is_some() && works_in == data_dir && !is_zombie(&proc)
}

/// One that ended and that its parent did not ask about yet.
fn is_zombie(proc: &Path) -> bool {
    let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// The last lines of the log, for an error message.
pub(crate) fn log_tail(log: &Path) -> String {
    const LINES: usize = 5;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}

/// Whether a data directory was made by this major version.
pub(crate) fn made_by(data_dir: &Path) -> Result<String, Error> {
    let path = data_dir.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(Error::file("read", path))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4711\n/d\n1700000000\n34567\n\n127.0.0.1\n  12345 1\nready   \n";

    #[test]
    fn the_pid_file_tells_process_port_and_state() {
        let read = Postmaster::parse(READY).unwrap();
        assert_eq!((read.number(), read.port, read.ready), (4711, 34567, true));
        let starting = READY.replace("ready   ", "starting");
        assert!(!Postmaster::parse(&starting).unwrap().ready);
    }

    #[test]
    fn a_half_written_pid_file_says_nothing() {
        assert_eq!(Postmaster::parse("4711\n/d\n17"), None);
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("0\n/d\n1\n5\n"), None);
    }

    #[test]
    fn a_stale_pid_file_that_names_another_process_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let ours = READY.replace("4711", &std::process::id().to_string());
        fs::write(dir.path().join("postmaster.pid"), ours).unwrap();
        assert!(Postmaster::read(dir.path()).unwrap().is_some());
        assert_eq!(Postmaster::running_in(dir.path()).unwrap(), None);
    }
}
