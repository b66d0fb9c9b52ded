//! One program of a run: started with an environment of its own, in a process group of its own,
//! its output in files, and ended within a limit.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::processes::MARK;
use crate::stopwatch::{Look, Stopwatch, wait_until};

/// What a program may see of our own environment. Settings of the person who runs the task are
/// meant for another server.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "RUST_LOG",
    "RUST_BACKTRACE",
];

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// When nobody waits for its end: what a program needs that has nothing to finish.
const DROP_LIMIT: Duration = Duration::from_secs(2);

/// How much of a log an error shows.
const TAIL_LINES: usize = 12;

/// A program that runs. Dropping it ends it.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    output: PathBuf,
    ended: bool,
}

impl Program {
    /// Starts it with these settings and no others of ours; what it says goes to files in `dir`.
    pub fn start(
        name: &str,
        binary: &Path,
        arguments: &[&str],
        settings: &[(&str, &str)],
        dir: &Path,
    ) -> Result<Self> {
        let (log, output) = (
            dir.join(format!("{name}.log")),
            dir.join(format!("{name}.out")),
        );
        let file = |path: &Path| {
            File::create(path).with_context(|| format!("{} could not be written", path.display()))
        };
        let ours = PASSED_ON
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .env_clear()
            .envs(ours)
            .envs(settings.iter().copied())
            .env(MARK, dir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file(&output)?)
            .stderr(file(&log)?)
            // In a group of its own, or Ctrl-C would end it before we are done with it.
            .process_group(0);
        let child = command.spawn();
        let child = child.with_context(|| format!("{} could not be run", binary.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            output,
            ended: false,
        })
    }

    /// The first line that it prints.
    pub fn first_line(&mut self, limit: Duration) -> Result<String> {
        let what = format!("{} printing that it is ready", self.name);
        wait_until(limit, &what, || {
            let text = fs::read_to_string(&self.output).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                return Ok(Look::Found(line.to_owned()));
            }
            self.ensure_running()?;
            Ok(Look::NotYet("it printed nothing".to_owned()))
        })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("a program was lost")
    }

    /// Ends it at once, without a word to it.
    pub fn kill(mut self) {
        self.ended = true;
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// An error with the end of its log when it ended by itself.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => self.fail(status),
        }
    }

    /// For one that ends by itself: waits for that, and for it to have gone well.
    pub fn succeed(mut self, limit: Duration) -> Result<()> {
        let what = format!("the end of {}", self.name);
        let status = wait_until(limit, &what, || {
            let status = self.child.try_wait().context("a program was lost")?;
            Ok(status.map_or_else(|| Look::NotYet("it still runs".to_owned()), Look::Found))
        })?;
        self.ended = true;
        if status.success() {
            Ok(())
        } else {
            self.fail(status)
        }
    }

    /// Asks it to end, and after `limit` ends it; that is an error, for it should have ended.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        if self.end(limit) {
            return Ok(());
        }
        bail!(
            "{} did not end within {} s and was killed",
            self.name,
            limit.as_secs()
        );
    }

    /// The error that it ended, with what it said last.
    pub fn fail(&self, status: ExitStatus) -> Result<()> {
        // Logs go to one or the other, as the program likes.
        let texts =
            [&self.output, &self.log].map(|path| fs::read_to_string(path).unwrap_or_default());
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        bail!(
            "{} ended ({status}); what it said last:\n  {tail}",
            self.name
        )
    }

    /// Whether it ended by itself when told to.
    fn end(&mut self, limit: Duration) -> bool {
        self.ended = true;
        self.signal(Signal::TERM);
        let watch = Stopwatch::start();
        while watch.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            sleep(LOOK_EVERY);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        false
    }

    /// To it and whatever it started.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A group that is gone already is what we want.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended {
            self.end(DROP_LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str, dir: &Path) -> Result<Program> {
        Program::start(
            "sh",
            Path::new("/bin/sh"),
            &["-c", script],
            &[("SETTING", "given")],
            dir,
        )
    }

    #[test]
    fn a_program_gets_its_settings_and_says_when_it_is_ready() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = shell("echo $SETTING$CARGO_PKG_NAME; sleep 60", dir.path()).unwrap();
        assert_eq!(program.first_line(LIMIT).unwrap(), "given");
        program.stop(LIMIT).unwrap();
    }

    #[test]
    fn a_program_that_ends_by_itself_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = shell("echo no database >&2; exit 4", dir.path()).unwrap();
        let error = program.first_line(LIMIT).unwrap_err().to_string();
        assert_eq!(
            error,
            "sh ended (exit status: 4); what it said last:\n  no database"
        );
    }

    #[test]
    fn a_program_that_does_not_listen_is_killed_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let mut program = shell(script, dir.path()).unwrap();
        program.first_line(LIMIT).unwrap();
        let error = program
            .stop(Duration::from_secs(1))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "sh did not end within 1 s and was killed");
    }
}
