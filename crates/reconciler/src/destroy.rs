//! Destroys one instance outside: key, inbox, volumes, service. Each step is recorded when it is
//! done and may be repeated; one that fails holds back no other, only the row waits.

use pool_credentials::Deleted;
use pool_db::provisions;
use pool_domain::write::Belongings;
use pool_domain::{DestroyStep, Policy, Term};
use pool_failpoints::fail_point;
use pool_planner::Destruction;
use pool_railway::ErrorClass;

use crate::{Error, Outside};

/// How one destruction went.
#[derive(Debug, Default)]
pub(crate) struct Destroyed {
    /// Whether the deletion of its service was accepted.
    pub(crate) service: bool,
    /// The steps that failed, and why.
    pub(crate) failures: Vec<(DestroyStep, String)>,
}

/// Takes every planned step. Only the database's refusal ends it early.
pub(crate) async fn destroy(
    outside: &Outside,
    term: Term,
    destruction: &Destruction,
) -> Result<Destroyed, Error> {
    let belongings = &destruction.belongings;
    let id = &belongings.id;
    provisions::begin_destruction(&outside.db, term, belongings).await?;
    for step in &destruction.already_gone {
        provisions::mark_destroyed(&outside.db, term, id, *step).await?;
    }
    let mut destroyed = Destroyed::default();
    for step in &destruction.steps {
        if *step == DestroyStep::Service && leaves_a_volume(belongings, &destroyed) {
            let why = "a volume that is attached to it comes first".to_owned();
            destroyed.failures.push((*step, why));
            continue;
        }
        match take(outside, belongings, *step).await {
            Ok(Gone::NotFound) if destruction.may_still_show => {}
            Ok(_) => {
                provisions::mark_destroyed(&outside.db, term, id, *step).await?;
                destroyed.service |= *step == DestroyStep::Service;
            }
            Err(why) => destroyed.failures.push((*step, why)),
        }
    }
    if let Some((step, why)) = destroyed.failures.first() {
        let error = format!("deleting the {}: {why}", step.as_str());
        let wait = Policy::retry_after(destruction.attempts + 1);
        provisions::failed(&outside.db, term, id, &error, wait).await?;
    }
    Ok(destroyed)
}

/// One volume is recorded. A second one is known by the service alone that it is attached to.
fn leaves_a_volume(belongings: &Belongings, destroyed: &Destroyed) -> bool {
    let failed = |(step, _): &(DestroyStep, String)| *step == DestroyStep::Volumes;
    belongings.volume_ids.len() > 1 && destroyed.failures.iter().any(failed)
}

/// What a step that did not fail found.
enum Gone {
    /// It was deleted, and Railway's listings show whether that is so.
    Deleted,
    /// The account lists no such key or inbox.
    NotFound,
}

async fn take(
    outside: &Outside,
    belongings: &Belongings,
    step: DestroyStep,
) -> Result<Gone, String> {
    match step {
        DestroyStep::Key => {
            fail_point!("destroy.key.before");
            let gone = delete_keys(outside, belongings).await;
            let gone = gone.map_err(|error| error.to_string())??;
            fail_point!("destroy.key.after");
            Ok(gone)
        }
        DestroyStep::Inbox => {
            fail_point!("destroy.inbox.before");
            let gone = delete_inbox(outside, belongings).await;
            let gone = gone.map_err(|error| error.to_string())??;
            fail_point!("destroy.inbox.after");
            Ok(gone)
        }
        DestroyStep::Volumes => {
            fail_point!("destroy.volumes.before");
            delete_volumes(outside, belongings).await?;
            fail_point!("destroy.volumes.after");
            Ok(Gone::Deleted)
        }
        DestroyStep::Service => {
            fail_point!("destroy.service.before");
            if let Some(service) = &belongings.service_id {
                accepted(outside.railway.delete_service(service).await)?;
            }
            fail_point!("destroy.service.after");
            Ok(Gone::Deleted)
        }
    }
}

/// Each is tried, whatever became of the others.
async fn delete_volumes(outside: &Outside, belongings: &Belongings) -> Result<(), String> {
    let mut ended = Ok(());
    for volume in &belongings.volume_ids {
        let deleted = accepted(outside.railway.delete_volume(volume).await);
        ended = ended.and(deleted);
    }
    ended
}

/// "Not Authorized" is also what Railway says of what is already gone. The row goes only when a
/// complete listing agrees, so taking it for done loses nothing: what still shows is deleted again.
pub(crate) fn accepted(deleted: Result<(), pool_railway::Error>) -> Result<(), String> {
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
async fn delete_keys(outside: &Outside, belongings: &Belongings) -> Answered<Gone> {
    let credentials = &outside.credentials;
    let recorded = belongings.openrouter_key_hash.as_ref();
    if let Some(hash) = recorded
        && credentials.delete_key(hash).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    let mut gone = Gone::NotFound;
    for hash in credentials.find_keys(&belongings.name).await? {
        if Some(&hash) == recorded {
            return Ok(Err(CONTRADICTION.to_owned()));
        }
        credentials.delete_key(&hash).await?;
        gone = Gone::Deleted;
    }
    Ok(Ok(gone))
}

/// The recorded inbox; and where there is none, or it is not found, the one of the instance's name.
async fn delete_inbox(outside: &Outside, belongings: &Belongings) -> Answered<Gone> {
    let credentials = &outside.credentials;
    let recorded = belongings.agentmail_inbox_id.as_ref();
    if let Some(inbox) = recorded
        && credentials.delete_inbox(inbox).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    match credentials.find_inbox(&belongings.name).await? {
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
