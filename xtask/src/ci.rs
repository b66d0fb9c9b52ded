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

const STEPS: &[Step] = &[
    Step {
        name: "format",
        rerun: "cargo fmt --all --check",
        run: format,
    },
    Step {
        name: "tidy",
        rerun: "cargo xtask tidy",
        run: tidy::check,
    },
    Step {
        name: "unused dependencies",
        rerun: "cargo machete",
        run: dependencies::unused,
    },
    Step {
        name: "refused dependencies",
        rerun: "cargo deny check bans licenses sources",
        run: dependencies::denied,
    },
    Step {
        name: "schema",
        rerun: "cargo xtask schema-check",
        run: schema_check::check_where_present,
    },
    Step {
        name: "clippy",
        rerun: "cargo clippy --workspace --all-targets -- -D warnings",
        run: clippy,
    },
    Step {
        name: "documentation",
        rerun: "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps",
        run: documentation,
    },
    Step {
        name: "migrations",
        rerun: "cargo xtask migrations",
        run: migrations::run,
    },
    Step {
        name: "tests",
        rerun: "cargo xtask test",
        run: test::run_for_ci,
    },
    Step {
        name: "chaos",
        rerun: "cargo xtask chaos --seconds 25",
        run: pool_chaos::briefly,
    },
    Step {
        name: "demo",
        rerun: "cargo xtask demo --check",
        run: demo::check_with_defaults,
    },
];

pub(crate) fn run() -> Result<()> {
    interrupt::listen()?;
    let total = Stopwatch::start();
    for (index, step) in STEPS.iter().enumerate() {
        let title = format!("ci {}/{} {}", index + 1, STEPS.len(), step.name);
        println!("{title}: {}", step.rerun);
        let watch = Stopwatch::start();
        (step.run)().with_context(|| {
            format!(
                "{title} failed after {watch}; to run it again: {}",
                step.rerun
            )
        })?;
        println!("{title}: passed in {watch}");
    }
    println!(
        "cargo xtask ci: all {} steps passed in {total}",
        STEPS.len()
    );
    Ok(())
}

fn format() -> Result<()> {
    running::run(checkout::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let arguments = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    running::run(checkout::cargo().args(arguments))
}

fn documentation() -> Result<()> {
    let mut command = checkout::cargo();
    command.args(["doc", "--quiet", "--workspace", "--no-deps"]);
    running::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
