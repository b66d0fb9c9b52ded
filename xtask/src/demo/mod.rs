//! `cargo xtask demo`: the whole product on this machine against a simulated Railway, for a person,
//! or with `--check` for nobody.

mod check;
mod pool;
mod stack;

use std::time::Duration;

use anyhow::Result;

use pool_harness::programs::Slot;
use pool_harness::{checkout, interrupt, running};
use stack::{Pace, Stack};

/// A demonstration; more would only take longer to fill.
const IDLE_DEFAULT: u16 = 5;

/// How quickly the end of one of the programs is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fill the pool, claim, refill, destroy, say what happened, and end.
    #[arg(long)]
    check: bool,
    /// How many agents to keep idle.
    #[arg(long, default_value_t = IDLE_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=200))]
    idle: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    build()?;
    if arguments.check {
        check(arguments.idle)
    } else {
        show(arguments.idle)
    }
}

/// What `cargo xtask ci` runs.
pub(crate) fn check_with_defaults() -> Result<()> {
    build()?;
    check(IDLE_DEFAULT)
}

fn build() -> Result<()> {
    running::run(checkout::cargo().args(["build", "--workspace", "--bins"]))
}

fn check(idle: u16) -> Result<()> {
    let story = check::Story::begin();
    let slot = Slot::take()?;
    let mut stack = Stack::start(&slot, idle, Pace::Quick)?;
    story.tell("PostgreSQL, the simulated Railway and the server are up");
    let done = check::play(&mut stack, idle, &story);
    let ended = stack.stop();
    let removed = slot.end();
    done.and(ended).and(removed)?;
    println!("cargo xtask demo --check: passed in {}", story.watch);
    Ok(())
}

/// Until a signal comes, or one of the programs ends by itself.
fn show(idle: u16) -> Result<()> {
    let slot = Slot::take()?;
    let mut stack = Stack::start(&slot, idle, Pace::Visible)?;
    println!("{}", stack.introduction(&slot));
    let done = loop {
        if interrupt::signal().is_some() {
            break Ok(());
        }
        if let Err(error) = stack.ensure_running() {
            break Err(error);
        }
        std::thread::sleep(LOOK_EVERY);
    };
    println!("\nStopping everything …");
    let ended = stack.stop();
    let removed = slot.end();
    done.and(ended).and(removed)?;
    println!("Stopped; nothing is left.");
    Ok(())
}
