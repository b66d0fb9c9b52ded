//! The directory of one run. Several runs in one checkout each have their own; what a
//! killed one left in its own is ended before the next one starts.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use local_postgres::{Server, state_dir};

use super::processes;
use crate::{checkout, database};

/// Each run is four programs or more; a machine that runs eight of them has other troubles.
const SLOTS_MAX: u32 = 8;

/// How often a lock file may be removed by its owner between our opening and our locking it.
const LOCK_TRIES: u32 = 20;

/// A directory that is ours alone for as long as this value lives, and then gone.
pub struct Slot {
    base: PathBuf,
    dir: PathBuf,
    lock: PathBuf,
    /// The kernel gives the lock up when the process ends, however it ends.
    _locked: File,
    gone: bool,
}

impl Slot {
    /// The first free one, empty.
    pub fn take() -> Result<Self> {
        Self::take_below(&state_dir("pool-runs", &checkout::root().join("target")))
    }

    fn take_below(base: &Path) -> Result<Self> {
        let mut taken = None;
        for number in 1..=SLOTS_MAX {
            let (dir, lock) = (
                base.join(number.to_string()),
                base.join(format!("{number}.lock")),
            );
            // Further ones are only of interest for what a killed run left in them.
            if taken.is_some() && !dir.exists() {
                continue;
            }
            let Some(locked) = lock_file(base, &lock)? else {
                continue;
            };
            let base = base.to_path_buf();
            let slot = Self {
                base,
                dir,
                lock,
                _locked: locked,
                gone: false,
            };
            end_leftovers(&slot.dir)?;
            if taken.is_none() {
                make_dir(&slot.dir)?;
                taken = Some(slot);
            }
        }
        taken.with_context(|| format!("{SLOTS_MAX} demos or the like run in this checkout already"))
    }

    /// The run's own directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the server of this run keeps its data.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        postgres_in(&self.dir)
    }

    /// Notes a database beside those of a server that is not ours, for whoever cleans up after us.
    pub fn note_database(&self, name: &str) -> Result<()> {
        let path = noted_database_in(&self.dir);
        fs::write(&path, name).with_context(|| format!("{} could not be written", path.display()))
    }

    /// Removes everything.
    pub fn end(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        self.gone = true;
        remove_dir(&self.dir)?;
        // While we still hold it, so that nobody waits for a file that is no longer there.
        let _ = fs::remove_file(&self.lock);
        // Only when no other run is in it.
        let _ = fs::remove_dir(&self.base);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.remove();
        }
    }
}

fn postgres_in(dir: &Path) -> PathBuf {
    dir.join("postgres")
}

fn noted_database_in(dir: &Path) -> PathBuf {
    dir.join("database")
}

/// Ends and removes what a killed run left.
fn end_leftovers(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let ended = processes::end_all(dir)?;
    let server = Server::end_leftover(&postgres_in(dir))?;
    let noted = fs::read_to_string(noted_database_in(dir))
        .ok()
        .zip(database::given_url());
    if let Some((name, url)) = noted {
        database::drop_database(&url, &name)?;
    }
    remove_dir(dir)?;
    let servers = if server {
        " and its PostgreSQL server"
    } else {
        ""
    };
    println!(
        "An earlier run was killed: ended {ended} of its programs{servers}, removed its data."
    );
    Ok(())
}

/// Open to be passed through, because PostgreSQL may run as another account than we do.
fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} could not be made", dir.display()))?;
    if rustix::process::geteuid().is_root() {
        let passable = || Permissions::from_mode(0o711);
        fs::set_permissions(dir, passable())
            .with_context(|| format!("{} could not be opened", dir.display()))?;
    }
    Ok(())
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

/// The lock, unless somebody holds it.
fn lock_file(base: &Path, path: &Path) -> Result<Option<File>> {
    for _ in 0..LOCK_TRIES {
        make_dir(base)?;
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let file = match open {
            Ok(file) => file,
            // Its owner removed the directory just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} could not be opened", path.display()));
            }
        };
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            // Its owner removed it between our opening and our locking it.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("{} could not be locked", path.display()));
            }
        }
    }
    bail!(
        "{} could not be locked: other runs come and go too fast",
        path.display()
    )
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use local_postgres::Options;

    use super::*;
    use crate::postgresql;

    #[test]
    fn two_demos_have_two_directories_and_leave_none() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("demo");
        let one = Slot::take_below(&base).unwrap();
        let two = Slot::take_below(&base).unwrap();
        assert_ne!(one.dir(), two.dir());
        let first = one.dir().to_path_buf();
        one.end().unwrap();
        let again = Slot::take_below(&base).unwrap();
        assert_eq!(again.dir(), first);
        drop((again, two));
        assert!(!base.exists());
    }

    #[test]
    fn a_ninth_demo_is_refused_in_one_sentence() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("demo");
        let taken: Vec<Slot> = (0..SLOTS_MAX)
            .map(|_| Slot::take_below(&base).unwrap())
            .collect();
        let error = Slot::take_below(&base).err().unwrap().to_string();
        assert_eq!(error, "8 demos or the like run in this checkout already");
        drop(taken);
    }

    #[test]
    fn what_a_killed_demo_left_is_ended_in_every_slot() {
        let root = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir();
        let root = root.unwrap();
        let base = root.path().join("demo");
        // A demo in the second slot was killed: nobody holds its lock, its server runs.
        let dir = base.join("2");
        make_dir(&base).unwrap();
        make_dir(&dir).unwrap();
        let options = Options::in_dir(postgresql::programs().unwrap(), postgres_in(&dir));
        let server = Server::start(&options).unwrap();
        let port = server.port();
        server.leave_running();

        let slot = Slot::take_below(&base).unwrap();
        assert_eq!(slot.dir(), base.join("1"));
        assert!(!dir.exists());
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    }
}
