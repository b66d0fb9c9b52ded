//! The command line.

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or there was nothing to do; of status: it could tell
  1  it failed or was refused, and nothing of the failed step remains
  2  the command line, DATABASE_URL or another setting cannot be used: also when the server knows no
     such database, schema or user, is older than PostgreSQL 14 or stands behind a pooler that
     exchanges sessions, and when Railway knows no such project, environment or token
  3  the database or Railway is away or too busy, or another process has been migrating for long:
     try again

Progress of long work goes to stderr. Whatever is killed may simply be run again.

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

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Apply what is pending (the default). Only adds, so what runs now goes on working.
    Up(Up),
    /// Tell what is applied, what is pending, which generation was found, and how many rows would
    /// be taken over and set aside. Changes nothing.
    Status,
    /// Take back the newest migration. What only it stored is lost.
    Down,
    /// Drop the tables of earlier generations, once everything of them was taken over.
    DropLegacy(DropLegacy),
    /// Say that the database was put back to an earlier state, by a disk's snapshot for example. Every
    /// instance that is not somebody's by its rows is handed to nobody until its agent says whose it
    /// is. Of every other restore the servers know by themselves.
    AfterRestore,
    /// Take over the services that another manager made. Its servers must be stopped for good: from now
    /// on these services are this database's, and are adopted.
    TakeOver(TakeOver),
    /// Fill from Railway what rows lack, and insert a row for each service of ours without one.
    Enrich(Enrich),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TakeOver {
    /// The `POOL_MANAGER_ID` of its services, as the report says under `foreign`.
    pub(crate) manager_id: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DropLegacy {
    /// Drop without asking for a word at the terminal.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to look at, and where Railway is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Enrich {
    /// Look at every row, and not only at those that lack something.
    #[arg(long)]
    pub(crate) all: bool,

    /// Say what would change, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) railway: RailwayFlags,
}

/// The server's settings of the same names. `RAILWAY_TOKEN` (wins) or `RAILWAY_API_TOKEN`, and
/// `POOL_API_KEY`, are read from the environment only.
#[derive(Debug, Clone, Args)]
pub(crate) struct RailwayFlags {
    /// The Railway project that the pool lives in.
    #[arg(long, env = "RAILWAY_PROJECT_ID", value_name = "ID")]
    pub(crate) railway_project_id: Option<String>,

    /// The environment; wins over its name.
    #[arg(long, env = "RAILWAY_ENVIRONMENT_ID", value_name = "ID")]
    pub(crate) railway_environment_id: Option<String>,

    /// The environment by its name, in any case.
    #[arg(long, env = "RAILWAY_ENVIRONMENT_NAME", value_name = "NAME")]
    pub(crate) railway_environment_name: Option<String>,

    /// Where Railway's GraphQL API answers, if not at its own address.
    #[arg(long, env = "RAILWAY_API_URL", value_name = "URL")]
    pub(crate) railway_api_url: Option<String>,

    /// The manager's own service, which is never taken for an instance.
    #[arg(long, env = "RAILWAY_SERVICE_ID", value_name = "ID")]
    pub(crate) railway_service_id: Option<String>,

    /// What the names of our services begin with.
    #[arg(long, env = "POOL_SERVICE_PREFIX", value_name = "PREFIX")]
    pub(crate) pool_service_prefix: Option<String>,

    /// How agents are reached: https, or http for local use.
    #[arg(long, env = "POOL_AGENT_SCHEME", value_name = "SCHEME")]
    pub(crate) pool_agent_scheme: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Up {
    /// Also contract, as the first server that leads does: copy what changed since, and install the
    /// transition trigger. From then on the Node service must be stopped.
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
