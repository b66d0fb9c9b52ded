//! Brings a database to the schema of the warm pool, tells how far one is, and takes steps back.

mod cli;
mod outcome;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(cli.log_filter())
        .with_target(false)
        .init();
    match run::run(&cli).await {
        Ok(outcome) => outcome.print(cli.json),
        Err(failure) => failure.print(cli.json),
    }
}
