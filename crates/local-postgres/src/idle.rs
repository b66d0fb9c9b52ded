//! Ends a server that nobody uses: a shell script that runs beside it, since a server knows no such
//! setting and its manager may be gone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Error;
use crate::cluster::Cluster;
use crate::postmaster::Postmaster;

/// The limit is counted in minutes, so a look every 20 s misses it by little and costs nothing.
const LOOK_EVERY_S: u32 = 20;

const SCRIPT: &str = include_str!("end_when_idle.sh");

/// The script at work; it goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct IdleGuard {
    child: Child,
}

impl IdleGuard {
    pub(crate) fn start(
        cluster: &Cluster,
        postmaster: Postmaster,
        limit: Duration,
        remove_afterwards: bool,
    ) -> Result<Self, Error> {
        Self::looking_every(LOOK_EVERY_S, cluster, postmaster, limit, remove_afterwards)
    }

    fn looking_every(
        seconds: u32,
        cluster: &Cluster,
        postmaster: Postmaster,
        limit: Duration,
        remove_afterwards: bool,
    ) -> Result<Self, Error> {
        let minutes = (limit.as_secs() / 60).max(1).to_string();
        let remove = if remove_afterwards {
            cluster.dir.as_path()
        } else {
            Path::new("")
        };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "end-when-idle"])
            .arg(postmaster.number().to_string())
            .arg(cluster.data())
            .arg(cluster.used())
            .arg(minutes)
            .arg(remove)
            .arg(seconds.to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let program = "/bin/sh".into();
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
    use crate::start::{Place, Started};
    use crate::waiting::wait_for;
    use crate::{Options, Programs};

    fn start() -> Result<(Started, Options), Error> {
        let options = Options::temporary(Programs::find(&[])?);
        Ok((Place::open(&options)?.start(&options)?, options))
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
    fn a_server_that_nobody_wants_ends_and_its_directory_goes() {
        let (mut started, _) = start().unwrap();
        let cluster = started.place.cluster.clone();
        make_old(&cluster);
        let minute = Duration::from_secs(60);
        let mut guard =
            IdleGuard::looking_every(1, &cluster, started.postmaster, minute, true).unwrap();
        assert!(ends_within(10, &started));
        started.child.take().unwrap().wait().unwrap();
        guard.child.wait().unwrap();
        assert!(!cluster.dir.exists());
    }

    #[test]
    fn a_server_with_a_client_does_not_end() {
        let (started, options) = start().unwrap();
        let cluster = &started.place.cluster;
        let mut client = TcpStream::connect(("127.0.0.1", started.postmaster.port)).unwrap();
        let request = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
        client.write_all(request).unwrap();
        client.read_exact(&mut [0]).unwrap();

        make_old(cluster);
        let minute = Duration::from_secs(60);
        let guard =
            IdleGuard::looking_every(1, cluster, started.postmaster, minute, false).unwrap();
        assert!(!ends_within(4, &started));
        guard.end();
        started
            .postmaster
            .end(&cluster.data(), options.stop_timeout)
            .unwrap();
    }
}
