//! What can go wrong, each in one sentence that names the thing and, where there is one, the remedy.
#![expect(
    missing_docs,
    reason = "the sentence of each error says what its fields are"
)]

use std::io;
use std::path::PathBuf;

/// Why a server could not be found, started, adopted or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder searched holds both `initdb` and `postgres`.
    #[error(
        "PostgreSQL's server programs (initdb and postgres) were not found in {searched}: install \
         PostgreSQL's server programs (Debian: apt-get install postgresql) or set PG_BIN_DIR"
    )]
    FindPrograms { searched: String },
    /// `PG_BIN_DIR` is set, and wrong; it is not passed over in silence.
    #[error(
        "PG_BIN_DIR is {}, which does not hold both initdb and postgres: install PostgreSQL's \
         server programs (Debian: apt-get install postgresql) or set PG_BIN_DIR to the folder that \
         has them",
        dir.display()
    )]
    ReadBinDir { dir: PathBuf },
    /// A program exists and cannot be run.
    #[error("{} could not be run", program.display())]
    RunProgram { program: PathBuf, source: io::Error },
    /// The directory of the server could not be prepared or read.
    #[error("{} could not be {verb}", path.display())]
    UseFile {
        verb: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Root starts the server as another account, which cannot pass through this directory.
    #[error(
        "{} cannot be entered by the account `{account}`, as which root must run PostgreSQL: use a \
         directory below /var/lib or the temporary directory",
        path.display()
    )]
    ReachDirectory { path: PathBuf, account: String },
    /// `initdb` failed.
    #[error("initdb could not make a database cluster in {}: {output}", dir.display())]
    InitCluster { dir: PathBuf, output: String },
    /// The data directory belongs to another major version.
    #[error(
        "{} was made by PostgreSQL {found}, the programs found are version {programs}: remove it, \
         or set PG_BIN_DIR to version {found}",
        dir.display()
    )]
    MatchVersion {
        dir: PathBuf,
        found: String,
        programs: String,
    },
    /// A server runs in this directory already.
    #[error("a PostgreSQL server (process {pid}) already runs in {}", dir.display())]
    StartTwice { dir: PathBuf, pid: i32 },
    /// Another manager kept the directory locked for too long.
    #[error(
        "{} is still locked by another process after {seconds} s",
        path.display()
    )]
    LockDirectory { path: PathBuf, seconds: u64 },
    /// No free port could be had.
    #[error("no free port on 127.0.0.1 could be had")]
    ChoosePort { source: io::Error },
    /// The server ended before it was ready.
    #[error("PostgreSQL ended before it was ready ({status}); its log ends: {log}")]
    StartServer { status: String, log: String },
    /// The server did not get ready in time, and was ended.
    #[error("PostgreSQL was not ready after {seconds} s; its log ends: {log}")]
    AwaitReady { seconds: u64, log: String },
    /// The server did not end in time.
    #[error("PostgreSQL (process {pid}) did not end within {seconds} s")]
    StopServer { pid: i32, seconds: u64 },
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::UseFile { verb, path, source }
    }
}
