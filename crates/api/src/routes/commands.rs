//! What only the leader can do: written down as a command, done by the leader's next tick, whichever
//! server leads.

use std::collections::HashSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use pool_db::commands::{self, COMMAND_LIFE, Command, CommandKind};
use pool_db::fuse;
use pool_domain::{FuseReport, InstanceId, Policy};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::body::Body;
use crate::error::ApiError;
use crate::routes::ACTOR;
use crate::state::Shared;
use crate::views::Counts;

/// How long a command is waited for: as long as the leader would still do it.
pub(crate) const WAIT_MAX: Duration = COMMAND_LIFE;

/// The first pause between two looks at a command, doubled up to the second: a tick with nothing to
/// do takes a quarter of a second, one that creates many takes half a minute.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
const LOOK_AGAIN_AFTER_MAX: Duration = Duration::from_millis(400);

/// A refusal names so many ids; a list of hundreds helps nobody.
const UNKNOWN_NAMED_MAX: usize = 10;

#[derive(Serialize)]
pub(crate) struct TickAnswer {
    ok: bool,
    counts: Counts,
    report: Value,
}

#[derive(Serialize)]
pub(crate) struct ConfirmAnswer {
    ok: bool,
    confirmed: Value,
    counts: Counts,
    report: Value,
}

#[derive(Serialize)]
pub(crate) struct ReplenishAnswer {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Value>,
    counts: Counts,
}

#[derive(Serialize)]
pub(crate) struct SweepAnswer {
    ok: bool,
    #[serde(flatten)]
    sweep: Value,
}

/// `POST /api/pool/reconcile`: a tick without waiting for its time.
pub(crate) async fn reconcile(
    State(shared): State<Shared>,
    _body: Body,
) -> Result<Json<TickAnswer>, ApiError> {
    ticked(&shared, CommandKind::Reconcile).await.map(Json)
}

/// Creates as many as asked for, within the cap; asked for none, a tick decides.
pub(crate) async fn replenish(
    State(shared): State<Shared>,
    body: Body,
) -> Result<Json<ReplenishAnswer>, ApiError> {
    let count = body.count()?.and_then(how_many);
    let mut outcome = carry_out(&shared, CommandKind::Replenish { count }, WAIT_MAX).await?;
    Ok(Json(ReplenishAnswer {
        ok: true,
        created: count.map(|_| outcome["created"].take()),
        counts: *shared.counts().await?,
    }))
}

/// Goes ahead, once, with the losses that the fuse holds back of these instances; of all that it
/// lists where none are named.
pub(crate) async fn confirm_fuse(
    State(shared): State<Shared>,
    Body(fields): Body,
) -> Result<Json<ConfirmAnswer>, ApiError> {
    let named = read_ids(fields.get("ids"))?;
    let ids = listed(named, fuse::tripped(&shared.app.db).await?)?;
    let kind = CommandKind::ConfirmFuse { ids };
    let mut outcome = carry_out(&shared, kind, WAIT_MAX).await?;
    let confirmed = outcome["confirmed"].take();
    if confirmed.as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::NothingConfirmed);
    }
    Ok(Json(ConfirmAnswer {
        ok: true,
        confirmed,
        counts: *shared.counts().await?,
        report: outcome["report"].take(),
    }))
}

/// A sweep now, or only what it would remove.
pub(crate) async fn sweep(
    State(shared): State<Shared>,
    Body(fields): Body,
) -> Result<Json<SweepAnswer>, ApiError> {
    let dry_run = match fields.get("dryRun") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        // What was meant as a look must not remove anything.
        Some(_) => return Err(ApiError::DryRunNotBoolean),
    };
    let mut outcome = carry_out(&shared, CommandKind::Sweep { dry_run }, WAIT_MAX).await?;
    Ok(Json(SweepAnswer {
        ok: true,
        sweep: outcome["sweep"].take(),
    }))
}

async fn ticked(shared: &Shared, kind: CommandKind) -> Result<TickAnswer, ApiError> {
    let mut outcome = carry_out(shared, kind, WAIT_MAX).await?;
    Ok(TickAnswer {
        ok: true,
        counts: *shared.counts().await?,
        report: outcome["report"].take(),
    })
}

/// Hands a command to the leader and waits for what comes of it.
async fn carry_out(
    shared: &Shared,
    kind: CommandKind,
    wait_max: Duration,
) -> Result<Value, ApiError> {
    let _change = shared.change();
    let db = &shared.app.db;
    let began = Instant::now();
    let by = ACTOR.to_owned();
    // This also wakes the leader.
    let id = commands::submit(db, &Command { kind, by }).await?;
    let mut pause = LOOK_AGAIN_AFTER;
    while began.elapsed() < wait_max {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN_AFTER_MAX);
        match commands::outcome(db, id).await {
            Ok(Some(outcome)) => return Ok(outcome),
            // Whether this server led or another: the leader's own last round may not come.
            Ok(None) if shared.app.claims.takes_no_more() => return Err(ApiError::Stopping),
            Ok(None) => {}
            // The command is written down, so a database that comes back still has it.
            Err(error) if error.is_unavailable() => {
                tracing::debug!(%error, "cannot look at a command yet");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::LeaderSilent)
}

/// None or fewer leave the number to the tick.
fn how_many(count: i64) -> Option<usize> {
    let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
    Some(count.min(Policy::PERSON_COUNT_MAX))
}

/// A list of ids, each a text; none where it is missing or null.
fn read_ids(value: Option<&Value>) -> Result<Option<Vec<InstanceId>>, ApiError> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let texts = value.as_array().into_iter().flatten().map(Value::as_str);
    let ids: Option<Vec<_>> = texts.map(|id| id.map(InstanceId::from)).collect();
    let ids = ids.filter(|ids| !ids.is_empty());
    ids.map(Some).ok_or(ApiError::IdsWrong)
}

/// The named ones, if each is listed; all that are listed, if none is named.
fn listed(
    named: Option<Vec<InstanceId>>,
    tripped: Option<FuseReport>,
) -> Result<Vec<InstanceId>, ApiError> {
    let held = tripped.map(|tripped| tripped.held).unwrap_or_default();
    if held.is_empty() {
        return Err(ApiError::FuseHoldsNothing);
    }
    let held = held.into_iter().map(|loss| loss.id);
    let Some(named) = named else {
        return Ok(held.collect());
    };
    let held: HashSet<_> = held.collect();
    let unknown = named.iter().filter(|id| !held.contains(id));
    let unknown: Vec<_> = unknown
        .take(UNKNOWN_NAMED_MAX)
        .map(InstanceId::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(named);
    }
    Err(ApiError::FuseDoesNotHold(unknown.join(", ")))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use pool_claims::Claims;
    use pool_domain::{OsEntropy, Secret};
    use std::sync::Arc;

    use super::*;
    use crate::state::{App, State};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_that_stays_silent_is_not_waited_for_for_ever() {
        let (_database, shared) = shared().await;
        let wait_max = Duration::from_millis(200);
        let silence = carry_out(&shared, CommandKind::Reconcile, wait_max).await;
        let answer = silence.unwrap_err().into_response();
        assert_eq!(answer.status(), http::StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "30");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_for_a_leader_at_a_server_that_stops() {
        let (_database, shared) = shared().await;
        let began = Instant::now();
        let (waited, ()) = tokio::join!(
            carry_out(&shared, CommandKind::Reconcile, WAIT_MAX),
            async {
                sleep(Duration::from_millis(200)).await;
                shared.app.claims.drain(Duration::from_secs(1)).await;
            }
        );
        assert!(matches!(waited, Err(ApiError::Stopping)), "{waited:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
        let answer = ApiError::Stopping.into_response();
        assert_eq!(answer.status(), http::StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "2");
    }

    async fn shared() -> (pool_test_database::TestDatabase, Shared) {
        let database = pool_test_database::TestDatabase::create().await;
        let settings = pool_db::DbSettings::new(Secret::new(database.url()));
        let db = pool_db::Db::connect(&settings).await.unwrap();
        let agent = pool_claims::AgentClient::new(Secret::new("k")).unwrap();
        let entropy = Arc::new(OsEntropy);
        let shared = State::new(App {
            claims: Claims::new(
                db.clone(),
                agent,
                entropy,
                pool_claims::ClaimSettings::default(),
            ),
            db,
            key: Secret::new("k"),
            environment: "staging".to_owned(),
            version: "1".to_owned(),
            tick_interval: Duration::from_secs(30),
            wake: Arc::default(),
            loops: crate::LiveLoops::none(),
        });
        (database, shared)
    }

    #[test]
    fn one_to_twenty_are_created_and_anything_below_is_a_tick() {
        for (count, expected) in [
            (i64::MIN, None),
            (-1, None),
            (0, None),
            (1, Some(1)),
            (20, Some(20)),
            (21, Some(20)),
            (i64::MAX, Some(20)),
        ] {
            assert_eq!(how_many(count), expected, "{count}");
        }
    }
}
