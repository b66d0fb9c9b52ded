//! For load balancers and for people who wonder which build runs.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pool_domain::report::UnverifiedReport;
use pool_domain::{AgentsReport, BudgetReport, FuseReport, LoopsReport, Pace, Stopped, Trouble};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::answer;
use crate::error::ApiError;
use crate::state::{Shared, State as Everything};

/// A database that takes longer serves no claim in a second.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Ticks that may be missed before nobody seems to lead.
const TICKS_MISSED_MAX: u32 = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own, and a field of the answer"
)]
pub(crate) struct Readiness {
    ready: bool,
    /// Why this server refuses claims, in a sentence, ready or not; null where it does not.
    why: Option<String>,
    /// Whether it answered in time.
    database: bool,
    /// Whether it lets this server write.
    writes: bool,
    /// Whether some leader's last tick ended lately.
    leader: bool,
    last_tick_age_ms: Option<u64>,
    /// Why the fuse has tripped, and what it holds back; null while it is whole.
    fuse: Option<FuseReport>,
    /// What agents answer, where that is why this server refuses claims.
    agents: Option<AgentsReport>,
    /// Instances that may be somebody's, as that tick found them; null where there are none.
    unverified: Option<UnverifiedReport>,
    /// How Railway's budget stood at the end of that tick.
    budget: Option<BudgetReport>,
    /// What goes wrong with making instances; null while nothing does.
    making: Option<Making>,
    /// When each loop of the leader last went round, and what keeps it: now where this server leads,
    /// else at the end of that tick.
    loops: Option<LoopsReport>,
    /// What keeps this server from leading, beside another that does.
    cannot_lead: Option<String>,
}

/// What goes wrong with making instances, and whether none is made for it.
#[derive(Serialize)]
pub(crate) struct Making {
    trouble: Option<Trouble>,
    stopped: Option<Stopped>,
}

impl Making {
    fn of(pace: &Pace) -> Option<Self> {
        let is_well = pace.trouble.is_none() && pace.stopped.is_none();
        (!is_well).then(|| Self {
            trouble: pace.trouble.clone(),
            stopped: pace.stopped.clone(),
        })
    }
}

/// `GET /healthz`: that this process answers, whatever else fails.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// This server can claim, and somebody keeps the stock. Read once for all who ask at about the same
/// time, so that no number of them takes the database's time from claims.
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let read = async || {
        let readiness = read(&shared).await;
        let status = if readiness.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        answer::json(&shared.answers.for_machines, status, &readiness)
    };
    let answer = shared.answers.readiness.get(|| shared.generation(), read);
    Ok(answer.await?.response())
}

async fn read(shared: &Everything) -> Readiness {
    let db = &shared.app.db;
    // A database that may only be read answers everything but claims.
    let writes = async { Ok(db.write().await) };
    let all = async { tokio::try_join!(shared.last_tick(), writes) };
    match timeout(DATABASE_TIMEOUT, all).await {
        Ok(Ok((seen, written))) => {
            if let Err(error) = &written {
                tracing::warn!(%error, "not ready: the database takes no write");
            }
            let age = seen.tick.as_ref().map(|tick| tick.age);
            let report = seen.report();
            let live = shared.app.loops.report();
            let then = report.and_then(|report| report.loops.clone());
            let late = shared.app.tick_interval * TICKS_MISSED_MAX;
            let leader = age.is_some_and(|age| age < late);
            let agents = shared.app.claims.agents();
            let probes = report.map(|report| &report.probes);
            let leader_reaches_none =
                probes.is_some_and(|probes| probes.probed > 0 && probes.ready == 0);
            // The leader's own report says what it reaches itself.
            let is_cut_off = leader
                && live.is_none()
                && !leader_reaches_none
                && agents.as_ref().is_some_and(|agents| agents.none_answers);
            Readiness {
                ready: leader && written.is_ok() && !is_cut_off,
                why: agents.as_ref().map(|agents| why(agents, is_cut_off)),
                agents,
                database: true,
                writes: written.is_ok(),
                leader,
                last_tick_age_ms: age.map(milliseconds),
                fuse: seen.fuse.clone(),
                making: report.and_then(|report| Making::of(&report.replenish.pace)),
                unverified: report.and_then(|report| report.unverified.clone()),
                budget: seen.budget().cloned(),
                loops: live.or_else(|| Some(aged(then?, age?))),
                cannot_lead: shared.app.loops.hindrance(),
            }
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database gives no answer");
            Readiness::without_database(shared)
        }
        Err(_elapsed) => {
            tracing::warn!("not ready: the database did not answer within a second");
            Readiness::without_database(shared)
        }
    }
}

/// Which build this is, and where it runs.
pub(crate) async fn version(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({
        "version": shared.app.version,
        "environment": shared.app.environment,
    }))
}

impl Readiness {
    fn without_database(shared: &Everything) -> Self {
        Self {
            ready: false,
            why: None,
            agents: None,
            database: false,
            writes: false,
            leader: false,
            last_tick_age_ms: None,
            fuse: None,
            unverified: None,
            budget: None,
            making: None,
            loops: None,
            cannot_lead: shared.app.loops.hindrance(),
        }
    }
}

fn why(agents: &AgentsReport, is_cut_off: bool) -> String {
    let since_s = agents.since_ms / 1_000;
    if is_cut_off {
        format!("This server has reached no agent for {since_s} s, while the leader does.")
    } else if agents.none_answers {
        format!("No agent has answered this server for {since_s} s.")
    } else {
        format!("Agents have refused every claim for {since_s} s.")
    }
}

/// What a tick said of the loops, so long after it.
fn aged(mut loops: LoopsReport, age: Duration) -> LoopsReport {
    for it in [
        &mut loops.promoting,
        &mut loops.reconciling,
        &mut loops.building,
    ] {
        let then = it.last_round_age_ms;
        it.last_round_age_ms = then.map(|then| then.saturating_add(milliseconds(age)));
    }
    loops
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
