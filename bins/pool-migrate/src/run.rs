//! Does what was asked.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use pool_db::{managers, migrations, record};
use pool_domain::ManagerId;
use pool_legacy_schema::{Moved, Progress};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::cli::{Cli, Command, DropLegacy, Up};
use crate::database;
use crate::enrich::enrich;
use crate::failure::Failure;
use crate::outcome::Outcome;

/// Progress is told this often: a log of a deploy stays short.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Does it, and says what came of it.
pub(crate) async fn run(cli: &Cli) -> Result<Outcome, Failure> {
    let url = cli
        .database_url
        .as_ref()
        .map(SecretString::expose_secret)
        .filter(|url| !url.is_empty())
        .ok_or_else(|| Failure::usage("DATABASE_URL is not set"))?;
    match cli.wanted() {
        Command::Up(how) => up(url, &how).await,
        Command::Status => Ok(Outcome::Status(
            migrations::status(url).await?,
            pool_legacy_schema::status(url).await?,
        )),
        Command::Down => Ok(Outcome::Down(migrations::revert_one(url).await?)),
        Command::DropLegacy(how) => drop_legacy(url, &how).await,
        Command::AfterRestore => after_restore(url).await,
        Command::TakeOver(whose) => {
            let db = database::contracted(url).await?;
            let manager = ManagerId::new(whose.manager_id);
            managers::take_over(&db, &manager).await?;
            Ok(Outcome::TookOver(manager))
        }
        Command::Enrich(how) => Ok(Outcome::Enriched(enrich(url, &how).await?)),
    }
}

async fn up(url: &str, how: &Up) -> Result<Outcome, Failure> {
    let applied = migrations::run(url).await?.migrations;
    let mut tell = telling();
    let mut moved = Moved::default();
    let mut contracted_now = false;
    if how.contract {
        let done = pool_legacy_schema::contract_telling(url, &mut tell).await?;
        moved += done.moved;
        contracted_now = done.now;
    } else {
        moved += pool_legacy_schema::backfill(url, &mut tell).await?;
    }
    Ok(Outcome::Up {
        applied,
        moved,
        contracted_now,
        status: migrations::status(url).await?,
        found: pool_legacy_schema::status(url).await?.found,
    })
}

async fn drop_legacy(url: &str, how: &DropLegacy) -> Result<Outcome, Failure> {
    let tables = pool_legacy_schema::status(url).await?.tables;
    if !tables.is_empty() && !how.yes {
        for table in &tables {
            eprintln!("Would drop: {} ({} rows)", table.name, table.rows);
        }
        if !confirmed() {
            return Err(Failure::refused(
                "nothing was dropped: it was not confirmed (--yes does so without asking)",
            ));
        }
    }
    Ok(Outcome::Dropped(
        pool_legacy_schema::drop_tables(url).await?,
    ))
}

async fn after_restore(url: &str) -> Result<Outcome, Failure> {
    let db = database::contracted(url).await?;
    let doubted = record::doubt(&db, "a person said that it was put back").await?;
    Ok(Outcome::Doubted(doubted.instances))
}

/// Where nobody can answer, the answer is no.
fn confirmed() -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return false;
    }
    eprint!("Drop them for good? [yes/no] ");
    let mut answer = String::new();
    std::io::stderr().flush().is_ok()
        && stdin.read_line(&mut answer).is_ok()
        && answer.trim() == "yes"
}

/// Tells on stderr: the first step, then once a second, and the end of each step.
fn telling() -> impl FnMut(Progress) + Send {
    let mut told_at: Option<Instant> = None;
    move |progress| {
        let due = told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if due || progress.done == progress.total {
            told_at = Some(Instant::now());
            let Progress { step, done, total } = progress;
            eprintln!("pool-migrate: {step}: {done} of {total}");
        }
    }
}
