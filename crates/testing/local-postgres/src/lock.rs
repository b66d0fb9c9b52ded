//! One manager at a time starts, adopts or ends the server of a directory. The lock is the
//! kernel's, so that a killed manager leaves none behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::waiting::wait_for;

/// The holder may be making a cluster on a busy disk; that takes a second, rarely ten.
const WAIT_S: u64 = 60;

/// Held until dropped.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("lock");
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.map_err(Error::file("opened", &path))?;
        let taken = wait_for(Duration::from_secs(WAIT_S), || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::file("locked", &path)(source)),
        })?;
        match taken {
            Some(()) => Ok(Self { _file: file }),
            None => Err(Error::LockDirectory {
                path,
                seconds: WAIT_S,
            }),
        }
    }
}
