//! The steps by which the rows of earlier generations become ours: look, backfill, contract, drop. Each
//! is done by one process at a time, and may be stopped at any moment and run again.

use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use pool_db::migrations::{LockTries, Migrator};
use pool_db::{DbSettings, Error};

use crate::backfill::Backfill;
use crate::contraction;
use crate::drop::{self, LegacyTable};
use crate::progress::{Forecast, Moved, Progress, Tell};
use crate::tables::{NAMES, exists};

/// What is left of earlier generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generations {
    /// The tables that were there before the first migration; before that, those that are there now.
    pub found: Vec<String>,
    /// The tables that are there now, but for `instances`, which is ours.
    pub tables: Vec<LegacyTable>,
    /// What a backfill would do now; empty once it was contracted.
    pub forecast: Vec<Forecast>,
}

/// What a contraction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contraction {
    /// Whether it was this call that did it.
    pub now: bool,
    /// What it still found to move.
    pub moved: Moved,
}

/// Looks, and changes nothing.
///
/// # Errors
/// When the database is away, busy or refuses.
pub async fn status(url: &str) -> Result<Generations, Error> {
    let mut migrator = Migrator::look(url).await?;
    let recorded = migrator.recorded().await?;
    let connection = migrator.connection();
    let mut forecast = Vec::new();
    if recorded
        .as_ref()
        .is_none_or(|it| it.contracted_at.is_none())
        && let Some(backfill) = Backfill::prepare(connection).await?
    {
        forecast = backfill.forecast(connection).await?;
    }
    let found = if let Some(recorded) = recorded {
        recorded.found
    } else {
        let mut found = Vec::new();
        for name in NAMES {
            if exists(connection, name).await? {
                found.push(name.to_owned());
            }
        }
        found
    };
    Ok(Generations {
        tables: drop::tables(connection).await?,
        found,
        forecast,
    })
}

/// Copies the rows of earlier generations into ours, and changes none of theirs. Does nothing before
/// the first migration and after contraction.
///
/// # Errors
/// When the database is away, busy or refuses, or another process migrates for too long. What was
/// copied stays.
pub async fn backfill(url: &str, tell: &mut Tell<'_>) -> Result<Moved, Error> {
    let mut migrator = Migrator::begin(url).await?;
    let recorded = migrator.recorded().await?;
    if recorded.is_none_or(|it| it.contracted_at.is_some()) {
        return Ok(Moved::default());
    }
    let connection = migrator.connection();
    match Backfill::prepare(connection).await? {
        Some(backfill) => backfill.pass(connection, None, tell).await,
        None => Ok(Moved::default()),
    }
}

/// As [`contract_telling`] for a server that leads: with its progress in the log; says whether it was
/// this call that did it.
///
/// # Errors
/// As [`contract_telling`].
pub async fn contract(settings: &DbSettings) -> Result<bool, Error> {
    let mut last_tenth = 0;
    let mut tell = |progress: Progress| {
        let tenth = progress.done * 10 / progress.total.max(1);
        if tenth != last_tenth {
            last_tenth = tenth;
            tracing::info!(
                progress.done = progress.done,
                progress.total = progress.total,
                "contracting: {}",
                progress.step
            );
        }
    };
    let migrator = Migrator::begin_at(settings).await?;
    Ok(contract_with(migrator, &mut tell).await?.now)
}

/// Runs the backfill once more, and installs the transition trigger and the status CHECK with its
/// last batch, once. From then on claims are served and the Node service must be stopped. Applies
/// nothing that is pending.
///
/// # Errors
/// [`Error::Migrate`] before the first migration and while one is pending; [`Error::Wait`] when
/// somebody holds a lock on `instances` for a minute, and says who; otherwise when the database is
/// away, busy or refuses. The trigger is then not installed, and it may be run again.
pub async fn contract_telling(url: &str, tell: &mut Tell<'_>) -> Result<Contraction, Error> {
    contract_with(Migrator::begin(url).await?, tell).await
}

async fn contract_with(mut migrator: Migrator, tell: &mut Tell<'_>) -> Result<Contraction, Error> {
    let Some(recorded) = migrator.recorded().await? else {
        let why = "there is nothing to contract before the first migration";
        return Err(Error::Migrate(why.to_owned()));
    };
    let mut done = Contraction {
        now: false,
        moved: Moved::default(),
    };
    if recorded.contracted_at.is_none() {
        // A newer build's contraction would be another one, an older build's too.
        if let Some(missing) = migrator.pending().await?.first() {
            let why = format!("{missing} has to be applied before contraction");
            return Err(Error::Migrate(why));
        }
        done.moved = contraction::contract(&mut migrator, tell).await?;
        done.now = true;
    }
    contraction::finish(migrator.connection()).await?;
    Ok(done)
}

/// Drops the tables of earlier generations, and says which.
///
/// # Errors
/// [`Error::Migrate`] before contraction, and when one of them holds a row that was neither taken over
/// nor set aside; otherwise when the database is away, busy or refuses. Nothing is dropped then.
pub async fn drop_tables(url: &str) -> Result<Vec<LegacyTable>, Error> {
    let mut migrator = Migrator::begin(url).await?;
    let recorded = migrator.recorded().await?;
    if recorded.is_none_or(|it| it.contracted_at.is_none()) {
        let why = "the tables of earlier generations are dropped only after contraction";
        return Err(Error::Migrate(why.to_owned()));
    }
    let limit = format!("SET LOCAL lock_timeout = {}", LockTries::LIMIT_MS);
    let mut tries = LockTries::default();
    loop {
        let dropped = migrator
            .connection()
            .transaction(async |connection| {
                connection.batch_execute(&limit).await?;
                drop::drop_tables(connection).await
            })
            .await;
        match dropped {
            Err(error) if tries.again_after(&error).await => {}
            other => return migrator.naming_the_holder(other).await,
        }
    }
}
