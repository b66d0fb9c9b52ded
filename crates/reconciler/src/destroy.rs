//! Destroys one instance outside: key, inbox, volumes, service. Each step is recorded when it is
//! done and may be repeated; one that fails holds back no other, only the row waits.

use fail::fail_point;
use pool_db::provisions;
use pool_domain::write::Belongings;
use pool_domain::{DestroyStep, KeyHash, Policy, Term};
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
    let Destruction {
        belongings,
        steps,
        already_gone,
        attempts,
    } = destruction;
    let id = &belongings.id;
    provisions::begin_destruction(&outside.db, term, belongings).await?;
    for step in already_gone {
        provisions::mark_destroyed(&outside.db, term, id, *step).await?;
    }
    let mut destroyed = Destroyed::default();
    for step in steps {
        match take(outside, belongings, *step).await {
            Ok(()) => {
                provisions::mark_destroyed(&outside.db, term, id, *step).await?;
                destroyed.service |= *step == DestroyStep::Service;
            }
            Err(why) => destroyed.failures.push((*step, why)),
        }
    }
    if let Some((step, why)) = destroyed.failures.first() {
        let error = format!("deleting the {}: {why}", step.as_str());
        let wait = Policy::retry_after(attempts + 1);
        provisions::failed(&outside.db, term, id, &error, wait).await?;
    }
    Ok(destroyed)
}

async fn take(outside: &Outside, belongings: &Belongings, step: DestroyStep) -> Result<(), String> {
    match step {
        DestroyStep::Key => delete_keys(outside, belongings).await,
        DestroyStep::Inbox => delete_inbox(outside, belongings).await,
        DestroyStep::Volumes => delete_volumes(outside, belongings).await,
        DestroyStep::Service => delete_service(outside, belongings).await,
    }
}

/// Each is tried, whatever became of the others.
async fn delete_volumes(outside: &Outside, belongings: &Belongings) -> Result<(), String> {
    fail_point!("destroy.volumes.before");
    let mut ended = Ok(());
    for volume in &belongings.volume_ids {
        let deleted = accepted(outside.railway.delete_volume(volume).await);
        ended = ended.and(deleted);
    }
    fail_point!("destroy.volumes.after");
    ended
}

async fn delete_service(outside: &Outside, belongings: &Belongings) -> Result<(), String> {
    let Some(service) = &belongings.service_id else {
        return Ok(());
    };
    fail_point!("destroy.service.before");
    accepted(outside.railway.delete_service(service).await)?;
    fail_point!("destroy.service.after");
    Ok(())
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

/// The recorded key, or, where its answer was lost, every key of the instance's name.
async fn delete_keys(outside: &Outside, belongings: &Belongings) -> Result<(), String> {
    let keys: Vec<KeyHash> = if let Some(hash) = &belongings.openrouter_key_hash {
        vec![hash.clone()]
    } else {
        let found = outside.credentials.find_keys(&belongings.name).await;
        found.map_err(|error| error.to_string())?
    };
    fail_point!("destroy.key.before");
    for hash in keys {
        outside
            .credentials
            .delete_key(&hash)
            .await
            .map_err(|error| error.to_string())?;
    }
    fail_point!("destroy.key.after");
    Ok(())
}

async fn delete_inbox(outside: &Outside, belongings: &Belongings) -> Result<(), String> {
    let inbox = if let Some(inbox) = &belongings.agentmail_inbox_id {
        Some(inbox.clone())
    } else {
        let found = outside.credentials.find_inbox(&belongings.name).await;
        found.map_err(|error| error.to_string())?
    };
    fail_point!("destroy.inbox.before");
    if let Some(inbox) = inbox {
        let deleted = outside.credentials.delete_inbox(&inbox).await;
        deleted.map_err(|error| error.to_string())?;
    }
    fail_point!("destroy.inbox.after");
    Ok(())
}
