//! Where PostgreSQL's server programs are. Installs nothing.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Debian and Ubuntu keep each major version here and put none of it into `PATH`.
const INSTALLED: &str = "/usr/lib/postgresql";

/// A folder that holds `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    bin_dir: PathBuf,
    major: String,
}

impl Programs {
    /// Looks in `PG_BIN_DIR`, `PATH`, `/usr/lib/postgresql/*/bin` and `caches`, in this order.
    ///
    /// # Errors
    ///
    /// Where no place holds all of the programs, with every place that was looked at.
    pub fn find(caches: &[PathBuf]) -> Result<Self, Error> {
        Search {
            bin_dir: env::var_os("PG_BIN_DIR").filter(|dir| !dir.is_empty()),
            path: env::var_os("PATH").unwrap_or_default(),
            installed: PathBuf::from(INSTALLED),
            caches,
        }
        .run()
    }

    /// The folder they are in.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The major version, such as `17`.
    #[must_use]
    pub fn major(&self) -> &str {
        &self.major
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.bin_dir.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.bin_dir.join("postgres")
    }

    fn in_dir(bin_dir: PathBuf) -> Result<Self, Error> {
        let program = bin_dir.join("postgres");
        let output = Command::new(&program).arg("--version").output();
        let output = output.map_err(|source| Error::RunProgram { program, source })?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout));
        Ok(Self { bin_dir, major })
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` is version 15.
fn major_version(text: &str) -> String {
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let digits = number
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit);
    digits.collect()
}

/// The places to look at, as values, so that a test can point them elsewhere.
struct Search<'a> {
    bin_dir: Option<OsString>,
    path: OsString,
    installed: PathBuf,
    caches: &'a [PathBuf],
}

impl Search<'_> {
    fn run(&self) -> Result<Programs, Error> {
        if let Some(dir) = &self.bin_dir {
            let dir = PathBuf::from(dir);
            let found = holds_programs(&dir).ok_or(Error::ReadBinDir { dir })?;
            return Programs::in_dir(found);
        }
        let places = env::split_paths(&self.path)
            .chain(versions_newest_first(&self.installed))
            .chain(self.caches.iter().cloned());
        match places.into_iter().find_map(|dir| holds_programs(&dir)) {
            Some(found) => Programs::in_dir(found),
            None => Err(Error::FindPrograms {
                searched: self.describe(),
            }),
        }
    }

    fn describe(&self) -> String {
        let mut searched = format!("PATH, {}/*/bin", self.installed.display());
        for cache in self.caches {
            searched.push_str(", ");
            searched.push_str(&cache.display().to_string());
        }
        searched
    }
}

/// The folder that really holds both programs. A link in `/usr/bin` is followed, because `initdb`
/// looks for `postgres` and its share folder beside itself.
fn holds_programs(dir: &Path) -> Option<PathBuf> {
    let initdb = fs::canonicalize(dir.join("initdb")).ok()?;
    let real = initdb.parent()?;
    let named = |path: &Path, name: &str| path.file_name() == Some(OsStr::new(name));
    (named(&initdb, "initdb") && real.join("postgres").is_file()).then(|| real.to_path_buf())
}

fn versions_newest_first(installed: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(installed).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.0));
    versions
        .into_iter()
        .map(|(_, dir)| dir.join("bin"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn fake_programs(dir: &Path, version: &str) {
        fs::create_dir_all(dir).unwrap();
        for name in ["initdb", "postgres"] {
            let file = dir.join(name);
            fs::write(
                &file,
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}.1'\n"),
            )
            .unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn search(installed: &Path) -> Search<'static> {
        Search {
            bin_dir: None,
            path: OsString::new(),
            installed: installed.to_path_buf(),
            caches: &[],
        }
    }

    #[test]
    fn the_newest_installed_version_is_taken_by_number_and_not_by_letters() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17"] {
            fake_programs(&root.path().join(version).join("bin"), version);
        }
        let found = search(root.path()).run().unwrap();
        assert_eq!(found.major(), "17");
        assert!(found.bin_dir().ends_with("17/bin"));
    }

    #[test]
    fn a_link_in_path_is_followed_to_the_folder_that_holds_both() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("real");
        let linked = root.path().join("linked");
        fake_programs(&real, "16");
        fs::create_dir(&linked).unwrap();
        symlink(real.join("initdb"), linked.join("initdb")).unwrap();

        let mut search = search(&root.path().join("none"));
        search.path = linked.into_os_string();
        let found = search.run().unwrap();
        assert_eq!(found.bin_dir(), fs::canonicalize(real).unwrap());
    }

    #[test]
    fn a_cache_is_the_last_resort() {
        let root = tempfile::tempdir().unwrap();
        let caches = [root.path().join("cache")];
        fake_programs(&caches[0], "18");
        let mut search = search(&root.path().join("none"));
        search.caches = &caches;
        assert_eq!(search.run().unwrap().major(), "18");

        fake_programs(&root.path().join("none/14/bin"), "14");
        assert_eq!(search.run().unwrap().major(), "14");
    }

    #[test]
    fn missing_programs_are_named_with_what_to_install() {
        let root = tempfile::tempdir().unwrap();
        let error = search(&root.path().join("none"))
            .run()
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with(
                "install PostgreSQL's server programs (Debian: apt-get install postgresql) or set \
                 PG_BIN_DIR"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_pg_bin_dir_is_an_error_and_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        fake_programs(&root.path().join("15/bin"), "15");
        let mut search = search(root.path());
        search.bin_dir = Some(OsString::from("/nowhere"));
        let error = search.run().unwrap_err().to_string();
        assert!(
            error.starts_with("PG_BIN_DIR is /nowhere, which does not hold both"),
            "{error}"
        );
    }
}
