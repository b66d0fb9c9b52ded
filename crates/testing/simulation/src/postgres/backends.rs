//! Sessions of the real server that are used again and again: one that begins anew costs more than all
//! that is asked of it in its life here.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Config;

use super::messages::{self, backend, frontend};

/// The sessions with one database that nobody has at the moment.
#[derive(Debug)]
pub(crate) struct Backends {
    socket: PathBuf,
    user: String,
    password: Vec<u8>,
    database: String,
    free: Mutex<Vec<Arc<Backend>>>,
}

/// A session of the real server.
#[derive(Debug)]
pub(crate) struct Backend {
    socket: UnixStream,
    /// What the server said when it began, from the moment at which the password was right.
    greeting: Vec<u8>,
}

/// Ends whatever transaction there is, and makes the session what it was at its beginning.
const FORGET: [&str; 2] = ["ROLLBACK", "DISCARD ALL"];

impl Backends {
    /// Of the database that the address names, by a socket in this directory.
    pub(super) fn new(address: &Config, directory: &Path) -> Self {
        let port = address.get_ports().first().copied().unwrap_or_default();
        Self {
            socket: directory.join(format!(".s.PGSQL.{port}")),
            user: address.get_user().unwrap_or_default().to_owned(),
            password: address.get_password().unwrap_or_default().to_owned(),
            database: address.get_dbname().unwrap_or_default().to_owned(),
            free: Mutex::default(),
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Arc<Backend>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that knows of nothing.
    pub(super) fn take(&self) -> io::Result<Arc<Backend>> {
        let free = self.free().pop();
        free.map_or_else(|| self.begin().map(Arc::new), Ok)
    }

    /// Ends it for whoever had it, once the database has let go of all that it held.
    pub(super) fn give_back(&self, backend: Arc<Backend>) {
        // One that does not do what it is told is no loss.
        if backend.forget().is_ok() {
            self.free().push(backend);
        }
    }

    fn begin(&self) -> io::Result<Backend> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.write_all(&frontend::startup(&self.user, &self.database))?;
        let mut greeting = Vec::new();
        read_until(&socket, |message| {
            let wants_password = message.kind == backend::AUTHENTICATION
                && message.body == backend::WANTS_PASSWORD.as_slice();
            if wants_password {
                (&socket).write_all(&frontend::password(&self.password))?;
            } else {
                greeting.extend(message.whole);
            }
            Ok(message.kind == backend::READY_FOR_QUERY)
        })?;
        Ok(Backend { socket, greeting })
    }
}

impl Backend {
    pub(super) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Whatever was asked before is answered, and the answers are read.
    fn forget(&self) -> io::Result<()> {
        for text in FORGET {
            (&self.socket).write_all(&frontend::query(text))?;
        }
        let mut has_forgotten = false;
        read_until(&self.socket, |message| {
            has_forgotten |= message.kind == backend::COMMAND_COMPLETE
                && messages::text(message.body).0 == FORGET[1];
            Ok(has_forgotten && message.kind == backend::READY_FOR_QUERY)
        })
    }
}

/// Reads whole messages until one is the last.
pub(super) fn read_until(
    mut socket: &UnixStream,
    mut is_last: impl FnMut(&messages::Message<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    let (mut arrived, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = socket.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        arrived.extend(&chunk[..read]);
        let mut rest = arrived.as_slice();
        while let Some(message) = messages::next(&mut rest) {
            if is_last(&message)? {
                return Ok(());
            }
        }
        let parsed = arrived.len() - rest.len();
        arrived.drain(..parsed);
    }
}
