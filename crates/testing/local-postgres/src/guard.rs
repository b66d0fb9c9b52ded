//! Ends a server that nobody else will: one whose manager was killed, or one that is left running
//! and that nobody uses. Shell scripts that run beside the server, since it knows no such settings
//! and its manager is gone by then.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Error;
use crate::cluster::Cluster;
use crate::postmaster::Postmaster;

const SHELL: &str = "/bin/sh";

const END_WHEN_IDLE: &str = include_str!("end_when_idle.sh");
const END_WITH_MANAGER: &str = include_str!("end_with_manager.sh");

/// The limit is counted in minutes, so a look every 20 s misses it by little and costs nothing.
const LOOK_EVERY_S: u32 = 20;

/// A script at work. Dropping this leaves the one that waits for idleness at work, and sets the one
/// that waits for the end of the manager off.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
}

impl Guard {
    /// Ends the server once nobody was connected, and nobody adopted it, for `limit`.
    pub(crate) fn end_when_idle(
        cluster: &Cluster,
        postmaster: Postmaster,
        limit: Duration,
    ) -> Result<Self, Error> {
        Self::looking_every(LOOK_EVERY_S, cluster, postmaster, limit)
    }

    /// Ends the server and removes its directory as soon as this process is gone.
    pub(crate) fn end_with_manager(
        cluster: &Cluster,
        postmaster: Postmaster,
    ) -> Result<Self, Error> {
        let mut command = script(END_WITH_MANAGER, cluster, postmaster);
        // The child's handle keeps our end, and no other program that we start inherits it.
        Self::spawn(command.arg(&cluster.dir).stdin(Stdio::piped()))
    }

    fn looking_every(
        seconds: u32,
        cluster: &Cluster,
        postmaster: Postmaster,
        limit: Duration,
    ) -> Result<Self, Error> {
        let minutes = (limit.as_secs() / 60).max(1).to_string();
        let mut command = script(END_WHEN_IDLE, cluster, postmaster);
        Self::spawn(
            command
                .arg(cluster.used())
                .args([minutes, seconds.to_string()]),
        )
    }

    fn spawn(command: &mut Command) -> Result<Self, Error> {
        let program = SHELL.into();
        let child = command
            .spawn()
            .map_err(|source| Error::RunProgram { program, source })?;
        Ok(Self { child })
    }

    /// Ends the script, which leads a process group of its own, and what it runs.
    pub(crate) fn end(mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn script(text: &str, cluster: &Cluster, postmaster: Postmaster) -> Command {
    let mut command = Command::new(SHELL);
    command
        .args(["-c", text, "local-postgres-guard"])
        .arg(postmaster.number().to_string())
        .arg(cluster.data())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Notes that somebody wants the server now.
pub(crate) fn touch(cluster: &Cluster) -> Result<(), Error> {
    let path = cluster.used();
    // Writing a byte, and not only opening, is what changes the time on every file system.
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(b"\n"))
        .map_err(Error::file("written", path))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::SystemTime;

    use super::*;
    use crate::postmaster::Halt;
    use crate::start::{Place, Started};
    use crate::waiting::wait_for;
    use crate::{Options, Programs};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Guarded like every temporary one, in case the test is killed.
    fn start() -> Result<(Started, Guard), Error> {
        let options = Options::temporary(Programs::find(&[])?);
        let started = Place::open(&options)?.start(&options)?;
        let guard = Guard::end_with_manager(&started.place.cluster, started.postmaster)?;
        Ok((started, guard))
    }

    /// As if nobody had wanted the server since 1970.
    fn make_old(cluster: &Cluster) {
        let used = File::options().write(true).open(cluster.used()).unwrap();
        used.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn ends_within(seconds: u64, started: &Started) -> bool {
        let data = started.place.cluster.data();
        let ended = wait_for(Duration::from_secs(seconds), || {
            Postmaster::running_in(&data).map(|running| running.is_none().then_some(()))
        });
        ended.unwrap().is_some()
    }

    #[test]
    fn a_server_that_nobody_wants_ends() {
        let (mut started, manager) = start().unwrap();
        let cluster = &started.place.cluster;
        make_old(cluster);
        let mut idle = Guard::looking_every(1, cluster, started.postmaster, MINUTE).unwrap();
        assert!(ends_within(10, &started));
        started.child.take().unwrap().wait().unwrap();
        assert!(idle.child.wait().unwrap().success());
        manager.end();
    }

    #[test]
    fn a_server_with_a_client_does_not_end() {
        let (started, manager) = start().unwrap();
        let cluster = &started.place.cluster;
        let mut client = TcpStream::connect(("127.0.0.1", started.postmaster.port)).unwrap();
        let request = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
        client.write_all(request).unwrap();
        client.read_exact(&mut [0]).unwrap();

        make_old(cluster);
        let idle = Guard::looking_every(1, cluster, started.postmaster, MINUTE).unwrap();
        assert!(!ends_within(4, &started));
        idle.end();
        manager.end();
        started.postmaster.end(&cluster.data(), Halt::Fast).unwrap();
    }

    #[test]
    fn a_server_whose_manager_is_gone_ends_and_its_directory_goes() {
        let (mut started, mut manager) = start().unwrap();
        let dir = started.place.cluster.dir.clone();
        assert!(!ends_within(1, &started));
        // What the kernel does when a process ends.
        drop(manager.child.stdin.take());
        assert!(ends_within(10, &started));
        started.child.take().unwrap().wait().unwrap();
        assert!(manager.child.wait().unwrap().success());
        assert!(!dir.exists());
    }
}
