//! `cargo xtask night`: what takes too long for every build. To be run before a release, and on a
//! machine that has a night to itself.

use anyhow::{Context, Result};
use pool_harness::stopwatch::Stopwatch;
use pool_harness::{checkout, interrupt, running};

/// What is run, as a person types it after `cargo xtask`.
const STEPS: &[&[&str]] = &[
    &["simulate", "--seeds", "0..5000"],
    &["simulate", "--mutants"],
    &["chaos", "--minutes", "10"],
];

pub(crate) fn run() -> Result<()> {
    interrupt::listen()?;
    for step in STEPS {
        let title = format!("cargo xtask {}", step.join(" "));
        println!("night: {title}");
        let watch = Stopwatch::start();
        running::run(checkout::cargo().arg("xtask").args(*step))
            .with_context(|| format!("{title} failed after {watch}"))?;
        println!("night: {title}: passed in {watch}");
    }
    Ok(())
}
