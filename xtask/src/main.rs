#![doc = include_str!("../README.md")]

mod bench;
mod ci;
mod demo;
mod dependencies;
mod dist;
mod migrations;
mod night;
mod schema_check;
mod simulate;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of the warm pool manager.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the whole product on this machine against a simulated Railway.
    Demo(demo::Arguments),
    /// Run every test with a PostgreSQL server of its own.
    Test(test::Arguments),
    /// Tell the story of one seed of the simulation, run many, or show which faults they find.
    Simulate(simulate::Arguments),
    /// Run all that must hold on main.
    Ci,
    /// Run what takes too long for every build: thousands of seeds, mutants, minutes of chaos.
    Night,
    /// Build what is deployed: both programs, stripped, and their symbols beside them.
    Dist,
    /// Migrate an empty database up, down to nothing, and up again.
    Migrations,
    /// Check the rules of the tree that the compiler does not.
    Tidy,
    /// Let everything fail under real servers, and check the history for harm.
    Chaos(pool_chaos::Arguments),
    /// Measure what somebody waits for, on this machine.
    Bench(bench::Arguments),
    /// Check that what we use of Railway's schema is still in it: 0 fine, 1 refused, 2 cannot tell.
    SchemaCheck(schema_check::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Simulate(arguments) => simulate::run(&arguments),
        Task::Dist => dist::run(),
        Task::Migrations => migrations::from_command_line(),
        Task::Ci => ci::run(),
        Task::Night => night::run(),
        Task::Tidy => tidy::check(),
        Task::Chaos(arguments) => pool_chaos::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::SchemaCheck(arguments) => return schema_check::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
