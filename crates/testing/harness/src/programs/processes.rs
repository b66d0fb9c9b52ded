//! The processes of a run, found again by a mark in their environment. A list of numbers in a file
//! would miss a process that was started just before the run was killed, and might name one that
//! got a number anew; the mark is there from the first moment and is nobody else's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::stopwatch::Stopwatch;

/// Set for every program of a run, to the directory of that run.
pub(super) const MARK: &str = "WARM_POOL_RUN";

/// The server finishes claims in flight when it is told to end; left from a killed run it has
/// hardly any.
const TERM_LIMIT: Duration = Duration::from_secs(10);
const KILL_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ends every process that belongs to the run in `dir`; says how many there were.
pub(super) fn end_all(dir: &Path) -> Result<usize> {
    let found = signal_all(dir, Signal::TERM);
    if found == 0 || gone_within(dir, TERM_LIMIT) {
        return Ok(found);
    }
    signal_all(dir, Signal::KILL);
    if !gone_within(dir, KILL_LIMIT) {
        bail!(
            "a process of the earlier run in {} cannot be ended",
            dir.display()
        );
    }
    Ok(found)
}

fn signal_all(dir: &Path, signal: Signal) -> usize {
    let marked = processes().filter(|pid| {
        // Held before the look: what the handle means cannot change after it.
        let Ok(handle) = pidfd_open(*pid, PidfdFlags::empty()) else {
            return false;
        };
        is_marked(*pid, dir) && pidfd_send_signal(handle, signal).is_ok()
    });
    marked.count()
}

fn gone_within(dir: &Path, limit: Duration) -> bool {
    let watch = Stopwatch::start();
    loop {
        if !processes().any(|pid| is_marked(pid, dir)) {
            return true;
        }
        if watch.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        entry
            .file_name()
            .to_str()?
            .parse()
            .ok()
            .and_then(Pid::from_raw)
    })
}

/// One that ended, or that belongs to somebody else, shows no environment.
fn is_marked(pid: Pid, dir: &Path) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    let mark = [MARK.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat();
    environment
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .any(|entry| entry == mark)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_marked_process_is_ended_and_another_is_not() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sleeper = |dir: &Path| {
            Command::new("sleep")
                .arg("60")
                .env(MARK, dir)
                .spawn()
                .unwrap()
        };
        let (mut marked, mut other) = (sleeper(ours.path()), sleeper(theirs.path()));
        // The environment shows once the program has replaced its parent's image.
        let watch = Stopwatch::start();
        while signal_all(ours.path(), Signal::CONT) == 0 {
            assert!(watch.elapsed() < Duration::from_secs(10));
        }

        assert_eq!(end_all(ours.path()).unwrap(), 1);
        assert_eq!(marked.wait().unwrap().signal(), Some(15));
        assert_eq!(other.try_wait().unwrap(), None);
        assert_eq!(end_all(ours.path()).unwrap(), 0);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_process_that_does_not_listen_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let script = format!(
            "trap '' TERM; touch {}; while :; do sleep 0.1; done",
            ready.display()
        );
        let mut deaf = Command::new("sh");
        let mut deaf = deaf
            .args(["-c", &script])
            .env(MARK, dir.path())
            .spawn()
            .unwrap();
        while !ready.exists() {
            assert_eq!(deaf.try_wait().unwrap(), None);
        }
        signal_all(dir.path(), Signal::TERM);
        assert!(!gone_within(dir.path(), Duration::from_millis(300)));
        signal_all(dir.path(), Signal::KILL);
        assert!(gone_within(dir.path(), KILL_LIMIT));
        assert_eq!(deaf.wait().unwrap().signal(), Some(9));
    }
}
