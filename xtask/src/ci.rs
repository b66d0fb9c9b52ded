//! `cargo xtask ci`: all that must hold on main, in the order of what fails fastest.

use anyhow::{Context, Result};

use crate::{demo, dependencies, migrations, schema_check, test, tidy};
use pool_harness::stopwatch::Stopwatch;
use pool_harness::{checkout, interrupt, running};

/// One thing that must hold.
struct Step {
    name: &'static str,
    /// What a person types to run it alone.
    rerun: &'static str,
    run: fn() -> Result<()>,
}

const fn step(name: &'static str, rerun: &'static str, run: fn() -> Result<()>) -> Step {
    Step { name, rerun, run }
}

const CLIPPY: &str = "cargo clippy --workspace --all-targets -- -D warnings";
const DENY: &str = "cargo deny check bans licenses sources";
const DOC: &str = "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps";
const SCHEMA: fn() -> Result<()> = schema_check::check_where_present;

const STEPS: &[Step] = &[
    step("format", "cargo fmt --all --check", format),
    step("tidy", "cargo xtask tidy", tidy::check),
    step("unused dependencies", "cargo machete", dependencies::unused),
    step("refused dependencies", DENY, dependencies::denied),
    step("schema", "cargo xtask schema-check", SCHEMA),
    step("clippy", CLIPPY, clippy),
    step("documentation", DOC, documentation),
    step("migrations", "cargo xtask migrations", migrations::run),
    step("tests", "cargo xtask test", test::run_for_ci),
    step(
        "chaos",
        "cargo xtask chaos --seconds 25",
        pool_chaos::briefly,
    ),
    step(
        "demo",
        "cargo xtask demo --check",
        demo::check_with_defaults,
    ),
];

pub(crate) fn run() -> Result<()> {
    interrupt::listen()?;
    let total = Stopwatch::start();
    for (index, step) in STEPS.iter().enumerate() {
        let title = format!("ci {}/{} {}", index + 1, STEPS.len(), step.name);
        println!("{title}: {}", step.rerun);
        let watch = Stopwatch::start();
        let failed = || {
            format!(
                "{title} failed after {watch}; to run it again: {}",
                step.rerun
            )
        };
        (step.run)().with_context(failed)?;
        println!("{title}: passed in {watch}");
    }
    let count = STEPS.len();
    println!("cargo xtask ci: all {count} steps passed in {total}");
    Ok(())
}

fn format() -> Result<()> {
    running::run(checkout::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let mut command = checkout::cargo();
    command.args(["clippy", "--quiet", "--workspace", "--all-targets"]);
    running::run(command.args(["--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    let mut command = checkout::cargo();
    command.args(["doc", "--quiet", "--workspace", "--no-deps"]);
    running::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
