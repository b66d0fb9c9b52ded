//! `cargo xtask simulate`: tells the story of one seed of the simulation, or runs many.

use anyhow::Result;

use pool_harness::{checkout, interrupt, running};

/// What `pool-simulation` takes.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// `--seed N [--ticks M] [--statements]` tells a story; `--seeds A..B` runs many seeds.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    let mut command = checkout::cargo();
    command.args(["run", "--quiet", "--package", "pool-simulation", "--"]);
    running::run(command.args(&arguments.rest))
}
