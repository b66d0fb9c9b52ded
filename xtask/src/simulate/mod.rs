//! `cargo xtask simulate`: tells the story of one seed of the simulation, runs many, or shows which
//! faults the seeds find.

mod mutants;
mod tree;

use anyhow::{Result, ensure};
use pool_harness::{checkout, interrupt, running};

/// What `pool-simulation` takes, or `--mutants`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// `--seed N [--ticks M] [--statements]` tells a story; `--seeds A..B` runs many seeds;
    /// `--mutants [NAME…]` puts faults back one at a time and says which seed finds each.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    if let Some((first, names)) = arguments.rest.split_first()
        && first == "--mutants"
    {
        let missed = mutants::run(names)?;
        ensure!(
            missed.is_empty(),
            "not found by any seed: {}",
            missed.join(", ")
        );
        return Ok(());
    }
    let mut command = checkout::cargo();
    command.args(["run", "--quiet", "--package", "pool-simulation", "--"]);
    running::run(command.args(&arguments.rest))
}
