//! Deploys those that are whole, together: one request, and one deployment each.

use pool_db::provisions::{self, Made as Recorded};
use pool_domain::{CreateStep, Stage};
use pool_failpoints::fail_point;
use pool_planner::{Refused, batches, refused};
use pool_railway::{ErrorClass, ServicePatch};
use tokio::time::timeout;

use super::blueprint::Parts;
use super::making::Made;
use super::tools::{StepFailed, Tools};
use crate::leading::Leading;
use crate::limits::RAILWAY_STEP;
use crate::{Error, budget};

const STEP: CreateStep = CreateStep::Commit;

/// One commit for all. Where it is refused, halves are tried, until the ones at fault stand alone.
pub(super) async fn commit(tools: Tools, whole: Vec<Made>) -> Result<(), Error> {
    let mut waiting = batches(whole, |made| made.draft.attempts > 0);
    while let Some(batch) = waiting.pop() {
        let batch = begun(&tools, batch).await?;
        if batch.is_empty() {
            continue;
        }
        match send(&tools, &batch).await {
            Ok(()) => record(&tools, batch).await?,
            Err((failed, is_refusal)) => match refused(batch, is_refusal) {
                Refused::Halves(halves) => waiting.extend(halves),
                Refused::Failed(batch) => fail(&tools, batch, failed).await?,
            },
        }
    }
    Ok(())
}

/// Records that the commit begins, and leaves out those that are to be destroyed by now.
async fn begun(tools: &Tools, batch: Vec<Made>) -> Result<Vec<Made>, Error> {
    let Leading { context, term, .. } = &*tools.leading;
    let mut begun = Vec::with_capacity(batch.len());
    for made in batch {
        let id = &made.draft.id;
        if provisions::begin_step(&context.db, *term, id, STEP).await? {
            begun.push(made);
        } else {
            tools.forget_key(id);
        }
    }
    Ok(begun)
}

async fn send(tools: &Tools, batch: &[Made]) -> Result<(), (StepFailed, bool)> {
    let context = &tools.leading.context;
    let patches: Vec<_> = batch
        .iter()
        .map(|made| patch(&tools.leading, made))
        .collect();
    fail_point!("create.commit.before");
    let sent = timeout(RAILWAY_STEP, context.railway.commit(&patches)).await;
    let sent = sent.map_err(|_elapsed| {
        let failed = StepFailed {
            step: STEP,
            why: format!("no answer within {} s", RAILWAY_STEP.as_secs()),
            may_have_happened: true,
            limit: None,
        };
        (failed, false)
    })?;
    sent.map_err(|error| (StepFailed::new(STEP, &error), is_refusal(&error)))?;
    fail_point!("create.commit.after");
    Ok(())
}

async fn record(tools: &Tools, batch: Vec<Made>) -> Result<(), Error> {
    let Leading { context, term, .. } = &*tools.leading;
    for made in batch {
        let id = &made.draft.id;
        provisions::advance(&context.db, *term, id, Recorded::Nothing, Stage::Created).await?;
        tools.forget_key(id);
        let mut tally = tools.leading.tally();
        tally.creations.whole.push(id.clone());
        tally.done.created += 1;
        tools.leading.loops.building.went(None);
    }
    Ok(())
}

/// One request failed, whoever of them it was that spoilt it.
async fn fail(tools: &Tools, batch: Vec<Made>, failed: StepFailed) -> Result<(), Error> {
    for made in &batch {
        tools.note_uncounted(&made.draft, &failed).await?;
    }
    tools.leading.tally().creations.failed += 1;
    budget::share_block(&tools.leading).await
}

/// Railway read the patch and did not take it: another part of it may be fine.
fn is_refusal(error: &pool_railway::Error) -> bool {
    !error.may_have_happened()
        && !matches!(
            error.class(),
            ErrorClass::RateLimited { .. }
                | ErrorClass::EdgeBlocked
                | ErrorClass::Network
                | ErrorClass::Timeout
        )
}

fn patch(leading: &Leading, made: &Made) -> ServicePatch {
    let context = &leading.context;
    let parts = Parts {
        manager: leading.manager.clone(),
        service_id: made.service_id.clone(),
        gateway_token: made.draft.gateway_token.clone(),
        openrouter_key: made.draft.key.clone(),
        inbox_id: made.draft.inbox_id.clone(),
    };
    context.blueprint.patch(&parts, &*context.entropy)
}
