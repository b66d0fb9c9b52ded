//! Runs the package's client: finds how it is called on this machine, and limits how long it may take.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::package;
use crate::running::command_line;
use crate::stopwatch::{Look, wait_until};

/// A client says its version within a second, on an overloaded machine within ten.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// The words that call the package's client here.
pub(super) fn find(path: &OsStr) -> Result<&'static [&'static str]> {
    for words in package::CLIENTS {
        let mut command = command(words, path);
        command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if run(&mut command, VERSION_LIMIT).is_ok() {
            return Ok(words);
        }
    }
    let tried = package::CLIENTS.map(|words| words.join(" "));
    bail!("no {} here", tried.join(", "))
}

/// Lets the client put the package into `folder`, with its complaints on our terminal.
pub(super) fn install(words: &[&str], path: &OsStr, folder: &Path, limit: Duration) -> Result<()> {
    let mut command = command(words, path);
    command
        .args(package::ARGUMENTS)
        .envs(package::ENVIRONMENT)
        .current_dir(folder)
        // What a killed client leaves goes with the folder.
        .env("TMPDIR", folder)
        .stdout(Stdio::null());
    run(&mut command, limit)
}

fn command(words: &[&str], path: &OsStr) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().copied().unwrap_or_default());
    command.args(words).env("PATH", path).stdin(Stdio::null());
    // A group of its own, so that what it starts ends with it.
    command.process_group(0);
    command
}

fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let line = command_line(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("`{line}` could not be run"))?;
    let ended = wait_until(limit, &format!("the end of `{line}`"), || {
        let status = child.try_wait().context("a child process was lost")?;
        Ok(status.map_or_else(|| Look::NotYet("it was ended".to_owned()), Look::Found))
    });
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{line}` failed, {status}"),
        Err(error) => {
            kill(&mut child);
            Err(error)
        }
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // One that ended this moment is what we wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
