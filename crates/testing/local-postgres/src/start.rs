//! Bringing a directory to a server that is ready: making the cluster, choosing the port, starting
//! the process and waiting for it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::guard;
use crate::postmaster::{Postmaster, log_tail};
use crate::waiting::wait_for;
use crate::{Error, Options};

/// How long a start may take, the making of the cluster excluded: 30 ms on idle cores, and on a busy
/// machine many times that.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The port that belongs to the server that the machine's owner runs.
const STANDARD_PORT: u16 = 5432;

/// Another process may take a free port between our look and the server's start. The system hands
/// out ports in no order, so that even the second try hardly ever fails.
const PORT_TRIES: u32 = 5;

/// What a server says that cannot start because the one before it is not quite gone.
const STILL_ENDING: [&str; 2] = ["shared memory block", "Address already in use"];

/// A directory in which a server may be running or not.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    /// Removed with its contents when dropped.
    pub(crate) temporary: Option<TempDir>,
}

/// A server that is ready, and, when we started it, its process to reap.
pub(crate) struct Started {
    pub(crate) place: Place,
    pub(crate) postmaster: Postmaster,
    pub(crate) password: String,
    pub(crate) child: Option<Child>,
}

impl Place {
    pub(crate) fn open(options: &Options) -> Result<Self, Error> {
        if let Some(dir) = &options.dir {
            return Ok(Self {
                cluster: Cluster::at(dir)?,
                temporary: None,
            });
        }
        let below = options.below.clone().unwrap_or_else(std::env::temp_dir);
        let named = tempfile::Builder::new()
            .prefix("local-postgres-")
            .tempdir_in(&below);
        let temporary = named.map_err(Error::file("written to", below))?;
        Ok(Self {
            cluster: Cluster::at(temporary.path())?,
            temporary: Some(temporary),
        })
    }

    pub(crate) fn adopted(self, postmaster: Postmaster) -> Result<Started, Error> {
        let password = self.cluster.password()?;
        Ok(Started {
            place: self,
            postmaster,
            password,
            child: None,
        })
    }

    pub(crate) fn start(self, options: &Options) -> Result<Started, Error> {
        self.cluster.ensure_made(options)?;
        let password = self.cluster.password()?;
        guard::touch(&self.cluster)?;
        let mut tries = 1;
        loop {
            match start_once(&self.cluster, free_port()?, options) {
                Ok((postmaster, child)) => {
                    return Ok(Started {
                        place: self,
                        postmaster,
                        password,
                        child: Some(child),
                    });
                }
                Err(Error::StartServer { log, .. })
                    if log.contains("Address already in use") && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server that runs here already, once it is ready: it may have been left in the middle of
    /// its start. `None` when there is none, or when it ends meanwhile.
    pub(crate) fn await_running(&self) -> Result<Option<Postmaster>, Error> {
        let data = self.cluster.data();
        let running = wait_for(START_TIMEOUT, || {
            Ok(match Postmaster::running_in(&data)? {
                None => Some(None),
                Some(postmaster) => postmaster.ready.then_some(Some(postmaster)),
            })
        })?;
        running.ok_or_else(|| not_ready(&self.cluster))
    }
}

/// Starts a server that was brought down, on the port that it had. The children of a killed one hold
/// its memory until they notice, and its port may be closing still.
pub(crate) fn start_at(
    cluster: &Cluster,
    port: u16,
    options: &Options,
) -> Result<(Postmaster, Child), Error> {
    let mut refused = None;
    let started = wait_for(START_TIMEOUT, || match start_once(cluster, port, options) {
        Ok(started) => Ok(Some(started)),
        Err(Error::StartServer { status, log })
            if STILL_ENDING.iter().any(|it| log.contains(it)) =>
        {
            refused = Some(Error::StartServer { status, log });
            Ok(None)
        }
        Err(error) => Err(error),
    })?;
    started.ok_or_else(|| refused.unwrap_or_else(|| not_ready(cluster)))
}

fn start_once(
    cluster: &Cluster,
    port: u16,
    options: &Options,
) -> Result<(Postmaster, Child), Error> {
    let mut child = spawn(cluster, port, options)?;
    match await_started(cluster, &mut child) {
        Ok(postmaster) => Ok((postmaster, child)),
        Err(error) => {
            // It may have ended by itself; its children end when they notice that it has.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn spawn(cluster: &Cluster, port: u16, options: &Options) -> Result<Child, Error> {
    let log_path = cluster.log();
    let log = File::create(&log_path).map_err(Error::file("written", &log_path))?;
    let errors = log.try_clone().map_err(Error::file("written", &log_path))?;
    let program = options.programs.postgres();
    let mut command = cluster.command(&program);
    command
        .arg("-D")
        .arg(cluster.data())
        .args(["-p", &port.to_string()]);
    for (name, value) in settings(cluster, options) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // In a group of its own, or Ctrl-C would end it before its manager is done with it.
    command.stdout(log).stderr(errors).process_group(0);
    command
        .spawn()
        .map_err(|source| Error::RunProgram { program, source })
}

fn await_started(cluster: &Cluster, child: &mut Child) -> Result<Postmaster, Error> {
    let data = cluster.data();
    let started = wait_for(START_TIMEOUT, || {
        if let Some(postmaster) = Postmaster::running_in(&data)?.filter(|found| found.ready) {
            return Ok(Some(postmaster));
        }
        let status = match child.try_wait() {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        Err(Error::StartServer {
            status,
            log: log_tail(&cluster.log()),
        })
    })?;
    started.ok_or_else(|| not_ready(cluster))
}

fn not_ready(cluster: &Cluster) -> Error {
    let log = log_tail(&cluster.log());
    Error::AwaitReady {
        seconds: START_TIMEOUT.as_secs(),
        log,
    }
}

/// The settings of the server, those of the caller last, because the last one of a name wins.
fn settings(cluster: &Cluster, options: &Options) -> Vec<(String, String)> {
    let on_or_off = if options.durable { "on" } else { "off" };
    let max_connections = options.max_connections.to_string();
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", &max_connections),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("logging_collector", "off"),
        ("fsync", on_or_off),
        ("synchronous_commit", on_or_off),
        ("full_page_writes", on_or_off),
    ];
    let file = |name: &str| cluster.dir.join(name).display().to_string();
    let (certificate, key) = (file("server.crt"), file("server.key"));
    if options.certificate.is_some() {
        settings.push(("ssl", "on"));
        settings.push(("ssl_cert_file", &certificate));
        settings.push(("ssl_key_file", &key));
    }
    let ours = settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    ours.chain(options.settings.iter().cloned()).collect()
}

fn free_port() -> Result<u16, Error> {
    for _ in 0..PORT_TRIES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let address = listener.and_then(|listener| listener.local_addr());
        let port = address
            .map_err(|source| Error::ChoosePort { source })?
            .port();
        if port != STANDARD_PORT {
            return Ok(port);
        }
    }
    let source = io::Error::other("the system offers 5432 only, which is the standard server's");
    Err(Error::ChoosePort { source })
}
