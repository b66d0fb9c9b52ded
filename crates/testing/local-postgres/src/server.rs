//! A running server: started, adopted, stopped.

use std::fmt;
use std::path::Path;
use std::process::Child;

use tempfile::TempDir;

use crate::cluster::{Cluster, SUPERUSER};
use crate::guard::{self, Guard};
use crate::lock::DirectoryLock;
use crate::postmaster::{Halt, Postmaster};
use crate::start::{Place, Started, start_at};
use crate::{Error, Options};

/// A PostgreSQL server of ours. Dropping it stops it, unless it is [left](Self::leave_running).
pub struct Server {
    cluster: Cluster,
    postmaster: Postmaster,
    password: String,
    options: Options,
    /// Whether an earlier run started it.
    adopted: bool,
    /// Ours to reap, when it is our child.
    child: Option<Child>,
    guard: Option<Guard>,
    /// Removed with its contents when dropped, which is after the server ended.
    temporary: Option<TempDir>,
    /// Whether dropping this stops the server.
    stops: bool,
}

impl Server {
    /// Starts a server; an error when one runs in the directory already.
    ///
    /// # Errors
    ///
    /// Where one runs in the directory already, where the account may not run a server, and where
    /// the server does not come up in time, with what it said.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let place = Place::open(options)?;
        let _lock = DirectoryLock::take(&place.cluster.dir)?;
        if let Some(running) = Postmaster::running_in(&place.cluster.data())? {
            return Err(Error::StartTwice {
                dir: place.cluster.dir,
                pid: running.number(),
            });
        }
        Self::of(place.start(options)?, options)
    }

    /// Takes over the server that runs in the directory, or starts one. Several may adopt the same
    /// server, each of them then [leaves](Self::leave_running) it or agrees otherwise who stops it.
    ///
    /// # Errors
    ///
    /// As [`Self::start`], but for a server that runs.
    pub fn adopt_or_start(options: &Options) -> Result<Self, Error> {
        let place = Place::open(options)?;
        let _lock = DirectoryLock::take(&place.cluster.dir)?;
        // Before the look, so that a server which is about to end from idleness sees it.
        guard::touch(&place.cluster)?;
        let started = match place.await_running()? {
            Some(postmaster) => place.adopted(postmaster)?,
            None => place.start(options)?,
        };
        Self::of(started, options)
    }

    /// Ends the server that an earlier run left in `dir`; says whether there was one.
    ///
    /// # Errors
    ///
    /// Where it does not end in time.
    pub fn end_leftover(dir: &Path) -> Result<bool, Error> {
        if !dir.exists() {
            return Ok(false);
        }
        let cluster = Cluster::at(dir)?;
        let _lock = DirectoryLock::take(&cluster.dir)?;
        match Postmaster::running_in(&cluster.data())? {
            Some(running) => running.end(&cluster.data(), Halt::Fast).map(|()| true),
            None => Ok(false),
        }
    }

    /// The address of one of its databases, password included. `postgres` always exists.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let Self { password, .. } = self;
        format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{}/{database}",
            self.port()
        )
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.postmaster.port
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.postmaster.number()
    }

    /// Its directory, which holds `data` and `log`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.cluster.dir
    }

    /// Whether an earlier run started it.
    #[must_use]
    pub fn was_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether its process is there still.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let running = Postmaster::running_in(&self.cluster.data());
        matches!(running, Ok(Some(now)) if now.pid == self.postmaster.pid)
    }

    /// Stops it, waiting for the end, and removes its directory when that is a temporary one.
    ///
    /// # Errors
    ///
    /// Where it does not end in time: it is left alone then, with its directory.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stops = false;
        self.halt(Halt::Fast)
    }

    /// Lets it run on without this manager; a temporary directory then stays too.
    pub fn leave_running(mut self) {
        self.stops = false;
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
            if let Some(guard) = self.guard.take() {
                guard.end();
            }
        }
    }

    /// Brings it down and leaves its directory, for [`start_again`](Self::start_again).
    ///
    /// # Errors
    ///
    /// Where it does not come down in time.
    pub fn halt(&mut self, how: Halt) -> Result<(), Error> {
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
        self.postmaster.end(&self.cluster.data(), how)?;
        // It is a zombie by now; asking for its status lets the system forget it.
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        Ok(())
    }

    /// Starts it again after a [`halt`](Self::halt), on the port that it had.
    ///
    /// # Errors
    ///
    /// As [`Self::start`]; the port may be another's by now.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let port = self.port();
        let (postmaster, child) = start_at(&self.cluster, port, &self.options)?;
        (self.postmaster, self.child) = (postmaster, Some(child));
        self.guard = self.guarded()?;
        Ok(())
    }

    /// A hot standby of this server, which is brought down for a moment to be copied. It finds this one
    /// at `port`, which is this one's or that of something between them.
    ///
    /// # Errors
    ///
    /// As [`Self::start`], of either server; and where the copy cannot be made.
    pub fn standby(&mut self, options: &Options, port: u16) -> Result<Self, Error> {
        let place = Place::open(options)?;
        self.halt(Halt::Fast)?;
        place.cluster.copy_of(&self.cluster)?;
        self.start_again()?;
        let follows = format!(
            "host=127.0.0.1 port={port} user={SUPERUSER} password={} application_name=standby",
            self.password
        );
        let options = options.clone().setting("primary_conninfo", follows);
        Self::of(place.start(&options)?, &options)
    }

    fn of(started: Started, options: &Options) -> Result<Self, Error> {
        let mut server = Self {
            password: started.password,
            postmaster: started.postmaster,
            options: options.clone(),
            adopted: started.child.is_none(),
            child: started.child,
            guard: None,
            stops: true,
            temporary: started.place.temporary,
            cluster: started.place.cluster,
        };
        if !server.adopted {
            // An error drops `server`, which stops what was started.
            server.guard = server.guarded()?;
        }
        Ok(server)
    }

    fn guarded(&self) -> Result<Option<Guard>, Error> {
        let Self {
            cluster,
            postmaster,
            ..
        } = self;
        let guard = match (&self.temporary, self.options.idle_limit) {
            (Some(_), _) => Guard::end_with_manager(cluster, *postmaster)?,
            (None, Some(limit)) => Guard::end_when_idle(cluster, *postmaster, limit)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(guard))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stops {
            let _ = self.halt(Halt::Fast);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("dir", &self.cluster.dir)
            .field("pid", &self.pid())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}
