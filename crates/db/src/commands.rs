//! What people ask of the leader. Any server writes it down and wakes the leader, whose next tick
//! does it.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Jsonb, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pool_domain::{InstanceId, Term};
use serde_json::{Value, json};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::fencing::check_term;
use crate::schema::{commands, now};
use crate::statement::milliseconds;
use crate::statement::statement;
use crate::text::storable_json;

/// Whoever asked waits no longer than this, and then asks again; doing both would do it twice.
pub const COMMAND_LIFE: Duration = Duration::from_secs(60);
/// A person asks by hand; more than this many at once is a script gone wrong, and waits its turn.
const PENDING_MAX: i64 = 100;
/// Old commands are only a record for people.
const KEEP_COMMANDS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a person asks of the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is to be done by the next round.
    pub kind: CommandKind,
    /// Whoever asked, as the API knows them: for the logs.
    pub by: String,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandKind {
    /// A tick now, and no more in it than is due.
    Reconcile,
    /// A tick now that creates this many within the cap; none leaves the number to the tick.
    Replenish {
        /// How many to make at once; none where the plan is to say.
        count: Option<usize>,
    },
    /// Go ahead with what the fuse holds back, for these instances and once.
    ConfirmFuse {
        /// The instances that may be lost.
        ids: Vec<InstanceId>,
    },
    /// Remove outside what our records say is ours and nobody needs.
    Sweep {
        /// Only say what it would remove.
        dry_run: bool,
    },
}

/// Names a command that was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub i64);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A command that waits for the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    /// By which the leader says what came of it.
    pub id: CommandId,
    /// What is asked, and by whom.
    pub command: Command,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
}

/// Writes a command down and wakes the leader.
///
/// # Errors
///
/// As every statement: see [`Error`]. A command that is there all the same is done; whoever repeats
/// it asks twice.
pub async fn submit(db: &Db, command: &Command) -> Result<CommandId, Error> {
    let (kind, arguments) = command.kind.stored();
    let arguments = storable_json(arguments);
    let channel = db.scope().wake_channel();
    let mut connection = db.connection().await?;
    let id = answer(connection.transaction(async |connection| {
        let id: i64 = diesel::insert_into(commands::table)
            .values((
                commands::kind.eq(kind),
                commands::arguments.eq(&arguments),
                commands::requested_by.eq(&command.by),
            ))
            .returning(commands::id)
            .get_result(connection)
            .await?;
        notify(connection, &channel).await?;
        Ok::<_, Error>(id)
    }))
    .await?;
    Ok(CommandId(id))
}

/// What waits for the leader, in the order in which it was asked. What nobody waits for any more is
/// never done; it and old ones are forgotten after a week.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn pending(db: &Db, term: Term) -> Result<Vec<PendingCommand>, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<Row> = answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        statement(
            "DELETE FROM commands WHERE requested_at < now() - $1 * interval '1 millisecond'",
        )
        .bind::<BigInt, _>(milliseconds(KEEP_COMMANDS))
        .execute(connection)
        .await?;
        let rows = statement(include_str!("commands_pending.sql"))
            .bind::<BigInt, _>(milliseconds(COMMAND_LIFE))
            .bind::<BigInt, _>(PENDING_MAX)
            .load(connection)
            .await?;
        Ok::<_, Error>(rows)
    }))
    .await?;
    Ok(rows.into_iter().filter_map(Row::into_command).collect())
}

/// Notes that these commands are done, by which tick where one could be recorded, and what came of
/// it.
///
/// # Errors
///
/// [`Error::StaleTerm`] when another server leads by now; otherwise as every statement: see
/// [`Error`].
pub async fn finish(
    db: &Db,
    term: Term,
    ids: &[CommandId],
    tick: Option<i64>,
    result: &Value,
) -> Result<(), Error> {
    let mut connection = db.connection().await?;
    answer(connection.transaction(async |connection| {
        check_term(connection, term).await?;
        for id in ids {
            note_done(connection, *id, tick, result).await?;
        }
        Ok::<_, Error>(())
    }))
    .await
}

/// Notes within the transaction that does it that a command is done.
pub(crate) async fn note_done(
    connection: &mut AsyncPgConnection,
    id: CommandId,
    tick: Option<i64>,
    result: &Value,
) -> Result<(), Error> {
    diesel::update(commands::table.find(id.0))
        .set((
            commands::tick_id.eq(tick),
            commands::result.eq(storable_json(result.clone())),
            commands::done_at.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// What came of a command; none while it waits.
///
/// # Errors
///
/// As every statement: see [`Error`]. [`Error::Read`] where this build does not understand what is
/// stored.
pub async fn outcome(db: &Db, id: CommandId) -> Result<Option<Value>, Error> {
    let mut connection = db.connection().await?;
    let result: Option<Option<Value>> = answer(async {
        commands::table
            .find(id.0)
            .select(commands::result)
            .first(&mut connection)
            .await
            .optional()
    })
    .await?;
    Ok(result.flatten())
}

/// Wakes the leader, whichever server it is.
///
/// # Errors
///
/// As every statement: see [`Error`]. The leader looks by itself, too.
pub async fn wake(db: &Db) -> Result<(), Error> {
    let mut connection = db.connection().await?;
    answer(notify(&mut connection, &db.scope().wake_channel())).await
}

async fn notify(connection: &mut AsyncPgConnection, channel: &str) -> Result<(), Error> {
    statement("SELECT pg_notify($1, '')")
        .bind::<Text, _>(channel)
        .execute(connection)
        .await?;
    Ok(())
}

impl CommandKind {
    fn stored(&self) -> (&'static str, Value) {
        match self {
            Self::Reconcile => ("reconcile", json!({})),
            Self::Replenish { count } => ("replenish", json!({ "count": count })),
            Self::ConfirmFuse { ids } => ("confirm_fuse", json!({ "ids": ids })),
            Self::Sweep { dry_run } => ("sweep", json!({ "dryRun": dry_run })),
        }
    }

    fn read(kind: &str, arguments: &Value) -> Option<Self> {
        match kind {
            "reconcile" => Some(Self::Reconcile),
            "replenish" => {
                let count = arguments.get("count").and_then(Value::as_u64);
                Some(Self::Replenish {
                    count: count.and_then(|count| usize::try_from(count).ok()),
                })
            }
            "confirm_fuse" => {
                let ids = serde_json::from_value(arguments.get("ids")?.clone()).ok()?;
                Some(Self::ConfirmFuse { ids })
            }
            "sweep" => {
                // Whatever another build meant: looking does no harm.
                let dry_run = arguments.get("dryRun").and_then(Value::as_bool);
                Some(Self::Sweep {
                    dry_run: dry_run.unwrap_or(true),
                })
            }
            _ => None,
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Jsonb)]
    arguments: Value,
    #[diesel(sql_type = Text)]
    requested_by: String,
    #[diesel(sql_type = Timestamptz)]
    requested_at: DateTime<Utc>,
}

impl Row {
    fn into_command(self) -> Option<PendingCommand> {
        let Some(kind) = CommandKind::read(&self.kind, &self.arguments) else {
            tracing::warn!(
                command.id = self.id,
                "commands.kind of row {}: `{}` is not understood by this build, and is not done",
                self.id,
                self.kind
            );
            return None;
        };
        Some(PendingCommand {
            id: CommandId(self.id),
            command: Command {
                kind,
                by: self.requested_by,
            },
            requested_at: self.requested_at,
        })
    }
}
