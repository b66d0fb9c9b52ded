//! Runs one program to its end, on our terminal, and passes a signal on to it.

use std::fmt::Write as _;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt;
use crate::stopwatch::Stopwatch;

/// How often the program and our signals are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After Ctrl-C the terminal has told the program as well, and a test runner ends its tests within
/// 10 s; telling it twice would make it drop them at once.
const CTRL_C_GRACE: Duration = Duration::from_secs(15);

/// An error when it does not succeed; the error names the command to run again.
pub fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("`{line}` could not be run"))?;
    let status = wait(&mut child)?;
    interrupt::check()?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut since_signal = None;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().context("a child process was lost")? {
            return Ok(status);
        }
        if let Some(signal) = interrupt::signal() {
            let since = *since_signal.get_or_insert_with(Stopwatch::start);
            let grace = if interrupt::was_ctrl_c(signal) {
                CTRL_C_GRACE
            } else {
                Duration::ZERO
            };
            if !told && since.elapsed() >= grace {
                told = true;
                terminate(child);
            }
        }
        sleep(LOOK_EVERY);
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that ended this moment is what we wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// The command as a person would type it.
#[must_use]
pub fn command_line(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command
        .get_envs()
        .filter(|(name, _)| *name == "RUSTDOCFLAGS")
    {
        let value = value.unwrap_or_default().to_string_lossy();
        let _ = write!(line, "{}='{value}' ", name.to_string_lossy());
    }
    let program = std::path::Path::new(command.get_program());
    line.push_str(&program.file_name().unwrap_or_default().to_string_lossy());
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_named_with_its_arguments() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"]))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(&mut Command::new("/nowhere/none"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`none` could not be run");
    }
}
