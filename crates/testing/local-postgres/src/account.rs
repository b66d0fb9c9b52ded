//! As whom the server runs: as ourselves, or, when we are root, as an account without rights,
//! because PostgreSQL refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// What Linux calls the account of nobody, where `/etc/passwd` names none.
const NOBODY: u32 = 65534;

/// The account a server runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// We are not root: the server runs as we do.
    Own,
    /// We are root: the server runs as this account.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    pub(crate) fn of_this_process() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Own;
        }
        Self::without_rights(&fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    /// `postgres` where there is one, since it exists for this; else `nobody`.
    fn without_rights(passwd: &str) -> Self {
        let find = |wanted: &str| {
            passwd.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|name| *name == wanted)?;
                let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self::Other {
                    name: name.to_owned(),
                    uid,
                    gid,
                })
            })
        };
        find("postgres")
            .or_else(|| find("nobody"))
            .unwrap_or_else(|| Self::Other {
                name: "nobody".to_owned(),
                uid: NOBODY,
                gid: NOBODY,
            })
    }

    /// Lets `command` run as this account. std clears the supplementary groups of root itself.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives `path` to this account, with `mode`.
    pub(crate) fn own(&self, path: &Path, mode: u32) -> Result<(), Error> {
        if let Self::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid)).map_err(Error::file("given away", path))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::file("given its mode", path))
    }

    /// The mode of the directory around the data: closed, but another account must pass through.
    pub(crate) fn outer_mode(&self) -> u32 {
        match self {
            Self::Own => 0o700,
            Self::Other { .. } => 0o711,
        }
    }

    /// Says which directory on the way to `dir` this account cannot enter, before PostgreSQL says
    /// it less clearly.
    pub(crate) fn check_reach(&self, dir: &Path) -> Result<(), Error> {
        let Self::Other { name, uid, gid } = self else {
            return Ok(());
        };
        for parent in dir
            .ancestors()
            .skip(1)
            .filter(|path| !path.as_os_str().is_empty())
        {
            let found = fs::metadata(parent).map_err(Error::file("read", parent))?;
            let bit = match (found.uid() == *uid, found.gid() == *gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if found.mode() & bit == 0 {
                return Err(Error::ReachDirectory {
                    path: parent.to_path_buf(),
                    account: name.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";

    #[test]
    fn root_runs_the_server_as_postgres_and_else_as_nobody() {
        let with_postgres = format!("{PASSWD}postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");
        let other = |name: &str, uid, gid| Account::Other {
            name: name.to_owned(),
            uid,
            gid,
        };
        assert_eq!(
            Account::without_rights(&with_postgres),
            other("postgres", 101, 104)
        );
        assert_eq!(
            Account::without_rights(PASSWD),
            other("nobody", NOBODY, 65533)
        );
        assert_eq!(Account::without_rights(""), other("nobody", NOBODY, NOBODY));
    }

    #[test]
    fn a_postgres_account_that_is_root_is_not_used() {
        let odd = format!("{PASSWD}postgres:x:0:0::/root:/bin/bash\n");
        assert!(matches!(
            Account::without_rights(&odd),
            Account::Other { uid: NOBODY, .. }
        ));
    }

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        // An account that certainly owns nothing here.
        let account = Account::Other {
            name: "stranger".to_owned(),
            uid: 4_000_001,
            gid: 4_000_001,
        };

        let error = account.check_reach(&closed.join("data")).unwrap_err();
        assert!(
            matches!(&error, Error::ReachDirectory { path, .. } if *path == closed),
            "{error}"
        );
        account.check_reach(&closed).unwrap();
    }
}
