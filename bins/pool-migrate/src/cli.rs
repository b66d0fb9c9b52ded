//! The command line.

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or there was nothing to do; of status: it could tell
  1  a migration failed, and nothing of it remains
  2  the command line or DATABASE_URL cannot be used
  3  the database is away, too busy, or another process has been migrating it for long: try again

Several may run at once, the servers too: one does the work, the others wait for it.";

/// Brings a database to the schema of the warm pool, tells how far one is, and takes steps back.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The database, as a URL. Its sslmode is honoured; none means prefer.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<SecretString>,

    /// Print one JSON object instead of sentences.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// What to log on stderr, such as `debug` or `pool_db=debug`.
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER")]
    log: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Apply what is pending (the default). Only adds, so what runs now goes on working.
    Up(Up),
    /// Tell what is applied, what is pending and where the database came from. Changes nothing.
    Status,
    /// Take back the newest migration. What only it stored is lost.
    Down,
}

/// How far up.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Up {
    /// Also install the transition trigger, as the first server that leads does. From then on the
    /// Node service must be stopped.
    #[arg(long)]
    pub(crate) contract: bool,
}

impl Cli {
    /// What was asked, or the default.
    pub(crate) fn wanted(&self) -> Command {
        self.command
            .clone()
            .unwrap_or_else(|| Command::Up(Up::default()))
    }

    /// Warnings only: what is done is printed anyway.
    pub(crate) fn log_filter(&self) -> EnvFilter {
        let filter = self.log.as_deref().filter(|text| !text.is_empty());
        EnvFilter::new(filter.unwrap_or("warn"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_is_what_is_done_when_nothing_is_said() {
        let cli = Cli::try_parse_from(["pool-migrate", "--json"]).unwrap();
        assert!(matches!(cli.wanted(), Command::Up(Up { contract: false })));
    }
}
