//! Destroys one instance outside: key, inbox, volumes and service. Each step is recorded when it is
//! done and may be repeated. None waits for another but the service for its volumes; only the row
//! waits for all.

use futures_util::future::try_join3;
use pool_credentials::Deleted;
use pool_db::provisions;
use pool_domain::write::OwnedResources;
use pool_domain::{DestroyStep, Policy};
use pool_failpoints::fail_point;
use pool_planner::Destruction;
use pool_railway::ErrorClass;
use tokio::time::{Duration, timeout};

use super::lanes::Lane;
use super::tools::Tools;
use crate::leading::{Leading, Place};
use crate::limits::{ACCOUNT_STEP, RAILWAY_STEP};
use crate::{Context, Error};

/// Takes every planned step. Only the database's refusal ends it early.
pub(super) async fn end(tools: Tools, destruction: Destruction, place: Place) -> Result<(), Error> {
    let Leading { context, term, .. } = &*tools.leading;
    let id = &destruction.owned.id;
    tools.forget_key(id);
    provisions::begin_destruction(&context.db, *term, &destruction.owned).await?;
    for step in &destruction.already_gone {
        provisions::mark_destroyed(&context.db, *term, id, *step).await?;
    }
    let end = End {
        tools: &tools,
        destruction: &destruction,
    };
    let lanes = &tools.lanes;
    let (key, inbox, rest) = try_join3(
        end.step(DestroyStep::Key, &lanes.ending_keys, ACCOUNT_STEP),
        end.step(DestroyStep::Inbox, &lanes.ending_inboxes, ACCOUNT_STEP),
        end.volumes_and_service(),
    )
    .await?;
    let failed = [key, inbox, rest].into_iter().flatten().next();
    if let Some((step, why)) = failed {
        let error = format!("deleting the {}: {why}", step.as_str());
        let wait = Policy::retry_after(destruction.attempts + 1);
        provisions::failed(&context.db, *term, id, &error, wait).await?;
        tools.leading.loops.building.went(Some(error));
    } else {
        tools.leading.loops.building.went(None);
    }
    drop(place);
    Ok(())
}

/// The step that failed, and why.
type Failed = (DestroyStep, String);

struct End<'a> {
    tools: &'a Tools,
    destruction: &'a Destruction,
}

impl End<'_> {
    async fn volumes_and_service(&self) -> Result<Option<Failed>, Error> {
        let lane = &self.tools.lanes.ending;
        let volumes = self.step(DestroyStep::Volumes, lane, RAILWAY_STEP).await?;
        if volumes.is_some() && leaves_a_volume(&self.destruction.owned) {
            let why = "a volume that is attached to it comes first";
            self.fail(DestroyStep::Service, why);
            return Ok(volumes);
        }
        let service = self.step(DestroyStep::Service, lane, RAILWAY_STEP).await?;
        Ok(volumes.or(service))
    }

    /// Takes the step if it is planned, when it has its turn, and not for longer than its limit.
    async fn step(
        &self,
        step: DestroyStep,
        lane: &Lane,
        limit: Duration,
    ) -> Result<Option<Failed>, Error> {
        if !self.destruction.steps.contains(&step) {
            return Ok(None);
        }
        let Leading { context, term, .. } = &*self.tools.leading;
        let owned = &self.destruction.owned;
        let taken = match lane.enter().await {
            None => Err("the steps before it took too long".to_owned()),
            Some(_turn) => timeout(limit, take(context, owned, step))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs()))),
        };
        match taken {
            Ok(Gone::NotFound) if self.destruction.may_still_show => Ok(None),
            Ok(_) => {
                provisions::mark_destroyed(&context.db, *term, &owned.id, step).await?;
                let is_service = usize::from(step == DestroyStep::Service);
                self.tools.leading.tally().done.destroyed += is_service;
                Ok(None)
            }
            Err(why) => {
                self.fail(step, &why);
                Ok(Some((step, why)))
            }
        }
    }

    fn fail(&self, step: DestroyStep, why: &str) {
        let id = &self.destruction.owned.id;
        let action = format!("deleting the {}", step.as_str());
        self.tools.leading.tally().done.fail(Some(id), action, why);
    }
}

/// One volume is recorded. A second one is known by the service alone that it is attached to.
fn leaves_a_volume(owned: &OwnedResources) -> bool {
    owned.volume_ids.len() > 1
}

/// What a step that did not fail found.
enum Gone {
    /// It was deleted, and Railway's listings show whether that is so.
    Deleted,
    /// The account lists no such key or inbox.
    NotFound,
}

async fn take(
    context: &Context,
    owned: &OwnedResources,
    step: DestroyStep,
) -> Result<Gone, String> {
    match step {
        DestroyStep::Key => {
            fail_point!("destroy.key.before");
            let gone = delete_keys(context, owned).await;
            let gone = gone.map_err(|error| error.to_string())??;
            fail_point!("destroy.key.after");
            Ok(gone)
        }
        DestroyStep::Inbox => {
            fail_point!("destroy.inbox.before");
            let gone = delete_inbox(context, owned).await;
            let gone = gone.map_err(|error| error.to_string())??;
            fail_point!("destroy.inbox.after");
            Ok(gone)
        }
        DestroyStep::Volumes => {
            fail_point!("destroy.volumes.before");
            delete_volumes(context, owned).await?;
            fail_point!("destroy.volumes.after");
            Ok(Gone::Deleted)
        }
        DestroyStep::Service => {
            fail_point!("destroy.service.before");
            if let Some(service) = &owned.service_id {
                accepted(context.railway.delete_service(service).await)?;
            }
            fail_point!("destroy.service.after");
            Ok(Gone::Deleted)
        }
    }
}

/// Each is tried, whatever became of the others.
async fn delete_volumes(context: &Context, owned: &OwnedResources) -> Result<(), String> {
    let mut ended = Ok(());
    for volume in &owned.volume_ids {
        let deleted = accepted(context.railway.delete_volume(volume).await);
        ended = ended.and(deleted);
    }
    ended
}

/// "Not Authorized" is also what Railway says of what is already gone. The row goes only when a
/// complete listing agrees, so taking it for done loses nothing: what still shows is deleted again.
fn accepted(deleted: Result<(), pool_railway::Error>) -> Result<(), String> {
    match deleted {
        Err(error)
            if matches!(
                error.class(),
                ErrorClass::NotAuthorized | ErrorClass::NotFound
            ) =>
        {
            Ok(())
        }
        deleted => deleted.map_err(|error| error.to_string()),
    }
}

type Answered<T> = Result<Result<T, String>, pool_credentials::Error>;

/// The recorded key; and where there is none, or it is not found, every key of the instance's name:
/// one may have been made anew, and the answer lost.
async fn delete_keys(context: &Context, owned: &OwnedResources) -> Answered<Gone> {
    let credentials = &context.credentials;
    let recorded = owned.openrouter_key_hash.as_ref();
    if let Some(hash) = recorded
        && credentials.delete_key(hash).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    let mut gone = Gone::NotFound;
    for hash in credentials.find_keys(&owned.name).await? {
        if Some(&hash) == recorded {
            return Ok(Err(CONTRADICTION.to_owned()));
        }
        credentials.delete_key(&hash).await?;
        gone = Gone::Deleted;
    }
    Ok(Ok(gone))
}

/// The recorded inbox; and where there is none, or it is not found, the one of the instance's name.
async fn delete_inbox(context: &Context, owned: &OwnedResources) -> Answered<Gone> {
    let credentials = &context.credentials;
    let recorded = owned.agentmail_inbox_id.as_ref();
    if let Some(inbox) = recorded
        && credentials.delete_inbox(inbox).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    match credentials.find_inbox(&owned.name).await? {
        None => Ok(Ok(Gone::NotFound)),
        found if found.as_ref() == recorded => Ok(Err(CONTRADICTION.to_owned())),
        Some(other) => {
            credentials.delete_inbox(&other).await?;
            Ok(Ok(Gone::Deleted))
        }
    }
}

/// "Not found" counts as gone only when the whole list agrees. A list that lags does so later.
const CONTRADICTION: &str = "the account does not find it, and lists it";
