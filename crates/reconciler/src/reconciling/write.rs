//! Writes what a round decided. One change's failure never stops the others; only the database's
//! refusal does, since then nothing can be recorded.

use std::collections::HashSet;

use pool_db::commands::PendingCommand;
use pool_db::provisions::{Made, NewProvision};
use pool_db::{instances, provisions};
use pool_domain::report::Failure;
use pool_domain::{InstanceId, Report, Stage, Term, chain};
use pool_failpoints::fail_point;
use pool_planner::{Plan, Removal, Resume};

use super::commands::{replenish_answers, requested_creates};
use crate::working::new_gateway_token;
use crate::{Context, Error};

/// Who the event log names for what the leader does by itself.
pub(crate) const ACTOR: &str = "reconciler";

/// Writes the rows: first what was observed, since a change of status ends the epoch that it was
/// decided from, then the changes, then the rows of adopted services.
pub(crate) async fn write_rows(
    context: &Context,
    term: Term,
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Error> {
    let db = &context.db;
    let refreshed = instances::refresh(db, term, &plan.refreshes).await;
    report.done.refreshed = unless_refused(refreshed, "writing what was observed", report)?;
    let changed = instances::change_statuses(db, term, &plan.changes, ACTOR).await?;
    let changed: HashSet<_> = changed.into_iter().collect();
    report.confirmed.retain(|id| changed.contains(id));
    report.done.changed = changed.len();
    report.done.overtaken = plan.changes.len() - changed.len();
    let lasts = context.policy.held_ones_are_last_for();
    let last = instances::put_last(db, term, &plan.put_last, lasts).await;
    unless_refused(
        last,
        "putting behind the others what the fuse holds",
        report,
    )?;
    if !plan.adoptions.is_empty() {
        let adopted = instances::insert_adopted(db, term, &plan.adoptions).await;
        let adopted = unless_refused(adopted, "inserting what is adopted", report)?;
        report.done.overtaken += plan.adoptions.len() - adopted.len();
    }
    Ok(())
}

/// What somebody else's constraint or trigger refuses is told, and the round goes on without it.
fn unless_refused<T: Default>(
    written: Result<T, pool_db::Error>,
    action: &str,
    report: &mut Report,
) -> Result<T, Error> {
    match written {
        Err(error) if error.is_refusal() => {
            fail(report, None, action, chain(&error));
            Ok(T::default())
        }
        written => Ok(written?),
    }
}

/// Removes the rows and provisions of which nothing is left outside.
pub(crate) async fn remove(
    context: &Context,
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
    let removed = instances::remove(&context.db, term, &rows, ACTOR).await?;
    for (id, why) in removed.held {
        fail(report, Some(id), "removing the row", chain(&why));
    }
    let removed: HashSet<_> = removed.ids.into_iter().collect();
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
    provisions::remove(&context.db, term, &done).await?;
    fail_point!("destroy.record.after", !done.is_empty(), |_| Err(
        pool_db::Error::Lose("at a failpoint".into()).into()
    ));
    Ok(())
}

/// Writes the intents of the planned creations: from here on they count, whoever leads. People who
/// asked for some of them are answered with it.
pub(crate) async fn intend(
    context: &Context,
    term: Term,
    plan: &Plan,
    asked: &[PendingCommand],
    report: &mut Report,
) -> Result<Vec<NewProvision>, Error> {
    let intents: Vec<_> = (0..plan.create)
        .map(|_| {
            let id = InstanceId::generate(&*context.entropy);
            let name = context.identity.prefix.name_of(&id);
            let gateway_token = new_gateway_token(&*context.entropy);
            NewProvision {
                id,
                name,
                gateway_token,
            }
        })
        .collect();
    if !intents.is_empty() || asked.iter().any(|it| requested_creates(it) > 0) {
        let answers = |written| replenish_answers(asked, written);
        report.done.intended = provisions::intend(&context.db, term, &intents, answers).await?;
    }
    Ok(intents)
}

/// Records as whole what was committed without anybody hearing of it.
pub(crate) async fn settle(
    context: &Context,
    term: Term,
    resumes: Vec<Resume>,
    report: &mut Report,
) -> Result<Vec<Resume>, Error> {
    let (committed, open): (Vec<_>, Vec<_>) =
        resumes.into_iter().partition(|resume| resume.is_committed);
    for resume in committed {
        let id = &resume.provision.id;
        provisions::advance(&context.db, term, id, Made::Nothing, Stage::Created).await?;
        report.done.created += 1;
    }
    Ok(open)
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
