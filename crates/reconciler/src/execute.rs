//! The last phase: carries out the plan. One action's failure never stops the others; only the
//! database's refusal does, since then nothing can be recorded.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use pool_db::provisions::NewProvision;
use pool_db::{instances, provisions};
use pool_domain::report::Failure;
use pool_domain::{Creations, InstanceId, Report, Term};
use pool_failpoints::fail_point;
use pool_planner::{Destruction, Plan, Removal};
use tokio::time::{Instant, timeout_at};

use crate::blueprint::new_gateway_token;
use crate::create::build;
use crate::destroy::destroy;
use crate::{Error, Outside, phase};

/// Who the event log names for what a tick does.
pub(crate) const ACTOR: &str = "reconciler";

/// Writes the rows: first what was observed, since a change of status ends the epoch that it was
/// decided from, then the changes, then the rows of adopted services.
pub(crate) async fn write_rows(
    outside: &Outside,
    term: Term,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let db = &outside.db;
    report.done.refreshed = instances::refresh(db, term, &plan.refreshes).await?;
    let changed = instances::change_statuses(db, term, &plan.changes, ACTOR).await?;
    let changed: HashSet<_> = changed.into_iter().collect();
    report.confirmed.retain(|id| changed.contains(id));
    report.done.changed = changed.len();
    report.done.overtaken = plan.changes.len() - changed.len();
    if !plan.adoptions.is_empty() {
        let adopted = instances::insert_adopted(db, term, &plan.adoptions).await?;
        report.done.overtaken += plan.adoptions.len() - adopted.len();
    }
    Ok(())
}

/// Removes the rows and provisions of which nothing is left outside.
pub(crate) async fn remove(
    outside: &Outside,
    term: Term,
    removals: &[Removal],
    report: &mut Report,
) -> Result<(), Error> {
    let rows: Vec<_> = removals
        .iter()
        .filter_map(|removal| Some((removal.id.clone(), removal.row?)))
        .collect();
    fail_point!("destroy.row.before", !rows.is_empty(), |_| Err(
        pool_db::Error::Lose("at a failpoint".into()).into()
    ));
    let removed = instances::remove(&outside.db, term, &rows, ACTOR).await?;
    let removed: HashSet<_> = removed.into_iter().collect();
    report.done.removed = removed.len();
    fail_point!("destroy.row.after", !removed.is_empty(), |_| Err(
        pool_db::Error::Lose("at a failpoint".into()).into()
    ));
    // A provision goes after its row: as long as there is a row, its record is needed.
    let done: Vec<_> = removals
        .iter()
        .filter(|it| it.provision && (it.row.is_none() || removed.contains(&it.id)))
        .map(|it| it.id.clone())
        .collect();
    fail_point!("destroy.record.before", !done.is_empty(), |_| Err(
        pool_db::Error::Lose("at a failpoint".into()).into()
    ));
    provisions::remove(&outside.db, term, &done).await?;
    fail_point!("destroy.record.after", !done.is_empty(), |_| Err(
        pool_db::Error::Lose("at a failpoint".into()).into()
    ));
    Ok(())
}

/// Destroys outside what is to be destroyed, so many at once.
pub(crate) async fn destroy_all(
    outside: &Outside,
    term: Term,
    destructions: Vec<Destruction>,
    report: &mut Report,
) -> Result<(), Error> {
    let until = Instant::now() + phase::DESTROY;
    let mut ended = stream::iter(destructions)
        .map(|destruction| async move {
            let id = destruction.belongings.id.clone();
            (
                id,
                timeout_at(until, destroy(outside, term, &destruction)).await,
            )
        })
        .buffer_unordered(phase::DESTROYS_IN_FLIGHT_MAX);
    while let Some((id, destroyed)) = ended.next().await {
        let Ok(destroyed) = destroyed else {
            fail(
                report,
                Some(id),
                "destroying",
                "no time was left in this tick",
            );
            continue;
        };
        let destroyed = destroyed?;
        report.done.destroyed += usize::from(destroyed.service);
        for (step, why) in destroyed.failures {
            fail(
                report,
                Some(id.clone()),
                format!("deleting the {}", step.as_str()),
                why,
            );
        }
    }
    Ok(())
}

/// Writes the intents of the planned creations: from here on they count, whoever leads.
pub(crate) async fn intend(
    outside: &Outside,
    term: Term,
    plan: &Plan,
    report: &mut Report,
) -> Result<Vec<NewProvision>, Error> {
    let intents: Vec<_> = (0..plan.create)
        .map(|_| {
            let id = InstanceId::generate(&*outside.entropy);
            let name = outside.identity.prefix.name_of(&id);
            let gateway_token = new_gateway_token(&*outside.entropy);
            NewProvision {
                id,
                name,
                gateway_token,
            }
        })
        .collect();
    if !intents.is_empty() {
        report.done.intended = provisions::intend(&outside.db, term, &intents).await?;
    }
    Ok(intents)
}

/// Makes what was interrupted and what was intended, as many as the plan says; the other intents
/// are finished by the next ticks. Says how it went.
pub(crate) async fn create_all(
    outside: &Outside,
    term: Term,
    plan: &Plan,
    mut intents: Vec<NewProvision>,
    report: &mut Report,
) -> Result<Creations, Error> {
    intents.truncate(plan.make_now);
    if plan.resumes.is_empty() && intents.is_empty() {
        return Ok(Creations::default());
    }
    let requests_before = outside.railway.requests_sent();
    let built = build(outside, term, plan.resumes.clone(), intents).await?;
    let requests = outside.railway.requests_sent() - requests_before;
    report.done.creating_requests = u32::try_from(requests).unwrap_or(u32::MAX);
    report.done.created = built.creations.whole + built.settled;
    report.hold_back(
        "making intended instances",
        "Railway wants no more of them for now",
        built.held_back,
    );
    for (id, step, why) in built.failures {
        fail(
            report,
            Some(id),
            format!("creating: {step:?}").to_lowercase(),
            why,
        );
    }
    Ok(built.creations)
}

/// Notes a failure in the report.
pub(crate) fn fail(
    report: &mut Report,
    id: Option<InstanceId>,
    action: impl Into<String>,
    error: impl Into<String>,
) {
    report.done.failures.push(Failure {
        id,
        action: action.into(),
        error: error.into(),
    });
}
