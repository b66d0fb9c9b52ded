//! `cargo xtask tidy`: rules of the tree that the compiler does not check. Each complaint is one
//! sentence that begins with the place.

mod circles;
mod edges;
mod invariants;
mod paths;
mod sources;

use anyhow::{Result, bail};

use pool_harness::checkout::{self, Metadata};

/// An error when there is anything to complain about, with the complaints on standard error.
pub(crate) fn check() -> Result<()> {
    let root = checkout::root();
    let metadata = Metadata::read()?;
    let mut complaints = edges::check(&root, &metadata)?;
    complaints.extend(circles::check(&root, &metadata)?);
    complaints.extend(sources::check(&root)?);
    complaints.extend(invariants::check(&root)?);
    complaints.extend(paths::check(&root)?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        1 => bail!("tidy has 1 complaint"),
        count => bail!("tidy has {count} complaints"),
    }
}
