//! Brings a database to the schema of the warm pool, tells how far one is, and takes steps back.

mod cli;
mod database;
mod enrich;
mod failure;
mod outcome;
mod run;
mod settings;

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
    // Of two TLS providers in the program neither is chosen by itself. Taken already is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run::run(&cli).await {
        Ok(outcome) => outcome.print(cli.json),
        Err(failure) => failure.print(cli.json),
    }
}
