//! A copy of the sources in which faults may be put without harm, with a target folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pool_harness::checkout;
use pool_harness::stopwatch::Stopwatch;

/// The copy.
pub(super) struct Tree {
    root: PathBuf,
    target: PathBuf,
}

/// What came of the seeds.
pub(super) enum Found {
    /// The first that failed, the rule that it broke, and how long that took.
    By {
        seed: u64,
        rule: String,
        took: Duration,
    },
    /// None failed.
    Nowhere,
}

impl Tree {
    /// Copies what git knows of, as it is now.
    pub(super) fn copy() -> Result<Self> {
        let target = checkout::Metadata::read()?.target_directory.join("mutants");
        let root = target.join("tree");
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(checkout::root())
            .output()
            .context("git could not be run")?;
        ensure!(
            listed.status.success(),
            "git does not say which files there are"
        );
        for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let from = checkout::root().join(file);
            // One that was deleted and not committed yet.
            if !from.is_file() {
                continue;
            }
            let to = root.join(file);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(&from, &to).with_context(|| file.to_owned())?;
        }
        Ok(Self {
            target: target.join("target"),
            root,
        })
    }

    /// Puts `to` in the place of `from`, which must stand once in the file. Gives the text as it was.
    pub(super) fn replace(&self, file: &Path, from: &str, to: &str) -> Result<String> {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).with_context(|| file.display().to_string())?;
        let times = text.matches(from).count();
        ensure!(
            times == 1,
            "{}: the text that is to be replaced stands there {times} times, not once",
            file.display()
        );
        fs::write(&path, text.replacen(from, to, 1))?;
        Ok(text)
    }

    /// As it was.
    pub(super) fn restore(&self, file: &Path, text: &str) -> Result<()> {
        fs::write(self.root.join(file), text).with_context(|| file.display().to_string())
    }

    pub(super) fn build(&self) -> Result<()> {
        let built = checkout::cargo()
            .args(["build", "--quiet", "--package", "pool-simulation"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "--allow warnings")
            .status()?;
        ensure!(built.success(), "the tree with this fault does not build");
        Ok(())
    }

    /// Runs seeds until one fails.
    pub(super) fn hunt(&self, seeds: u64) -> Result<Found> {
        let watch = Stopwatch::start();
        let output = Command::new(self.target.join("debug/pool-simulation"))
            .args(["--seeds", &format!("0..{seeds}"), "--until-one-fails"])
            .stdin(Stdio::null())
            .output()
            .context("pool-simulation could not be run")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(Found::Nowhere);
        }
        let failed = said.lines().find_map(|line| {
            let (seed, why) = line.trim().strip_prefix("seed ")?.split_once(": ")?;
            let (rule, _) = why.split_once(':')?;
            Some((seed.parse().ok()?, rule.to_owned()))
        });
        match failed {
            Some((seed, rule)) => Ok(Found::By {
                seed,
                rule,
                took: watch.elapsed(),
            }),
            None => bail!(
                "the seeds ended without a word: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
}
