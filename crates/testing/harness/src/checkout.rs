//! Where this checkout is, and what cargo knows about it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The root of the checkout that this program was built from.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    root.canonicalize().unwrap_or(root)
}

/// What `cargo run` tells a program about its package. Build scripts watch some of it, so that a
/// cargo which inherits ours would build a third of the dependencies anew.
const ABOUT_OUR_PACKAGE: &[&str] = &[
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
];

/// The cargo that runs us, at the root.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if ABOUT_OUR_PACKAGE
            .iter()
            .any(|prefix| name_text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command.current_dir(root());
    command
}

/// Whether cargo knows `cargo <name>`: one that is its own, or a program `cargo-<name>` in the path.
#[must_use]
pub fn has_subcommand(name: &str) -> bool {
    let mut command = cargo();
    command
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What `cargo metadata` says about the packages of the workspace.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package of ours.
    pub packages: Vec<Package>,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// As its manifest names it.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// All of them, of ours and of others, for any purpose.
    pub dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package that it is on.
    pub name: String,
    /// `None` is an ordinary one, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, which needs no network for it.
    pub fn read() -> Result<Self> {
        let mut command = cargo();
        command.args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ]);
        let output = command.output().context("cargo could not be run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            said.trim()
        );
        serde_json::from_slice(&output.stdout).context("cargo metadata printed what we cannot read")
    }

    /// Where `cargo build` puts a binary.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        self.target_directory.join("debug").join(name)
    }

    /// Where `cargo build --release` puts a binary.
    #[must_use]
    pub fn release_binary(&self, name: &str) -> PathBuf {
        self.target_directory.join("release").join(name)
    }
}
