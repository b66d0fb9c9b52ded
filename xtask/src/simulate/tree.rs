//! A copy of the sources in which faults may be put without harm, with a target folder of its own.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
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
    /// Copies what git knows of, as it is now. What is the same already stays as old as it is, so that
    /// nobody builds it again.
    pub(super) fn copy() -> Result<Self> {
        let target = checkout::Metadata::read()?.target_directory.join("mutants");
        let root = target.join("tree");
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
        let listed = String::from_utf8(listed.stdout)?;
        let files: BTreeSet<_> = listed.split_terminator('\0').map(Path::new).collect();
        for file in &files {
            let (from, to) = (checkout::root().join(file), root.join(file));
            // One that was deleted and not committed yet.
            if !from.is_file() {
                continue;
            }
            let text = fs::read(&from)?;
            if fs::read(&to).is_ok_and(|there| there == text) {
                continue;
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&to, text).with_context(|| file.display().to_string())?;
        }
        remove_others(&root, Path::new(""), &|file| {
            files.contains(file) && checkout::root().join(file).is_file()
        })?;
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
            .args([
                "build",
                "--quiet",
                "--workspace",
                "--bin",
                "pool-simulation",
            ])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // Nobody looks into them with a debugger, and they are linked in half the time.
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .output()?;
        ensure!(
            built.status.success(),
            "the tree with this fault does not build: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        Ok(())
    }

    /// Runs seeds until one fails, on a bad day or not.
    pub(super) fn hunt(&self, seeds: Range<u64>, day: Option<&str>) -> Result<Found> {
        let watch = Stopwatch::start();
        let output = Command::new(self.target.join("debug/pool-simulation"))
            .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
            .arg("--until-one-fails")
            .args(day.map(|day| format!("--day={day}")))
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

/// Removes the files below this folder that are not to be there.
fn remove_others(root: &Path, folder: &Path, belongs: &dyn Fn(&Path) -> bool) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let file = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(root, &file, belongs)?;
        } else if !belongs(&file) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
