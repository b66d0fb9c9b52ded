//! pool-reconciler's `destroy`: key, inbox, volumes, service.

use pool_domain::write::Belongings;
use pool_domain::{DestroyStep, Policy, Term};
use pool_planner::Destruction;

use crate::database::DbError;
use crate::outside::{CallError, Class, Deleted};
use crate::place::Place;

/// Takes every planned step. Says whether the deletion of the service was accepted.
pub(crate) async fn destroy(
    place: &Place,
    term: Term,
    destruction: &Destruction,
) -> Result<bool, DbError> {
    let Destruction {
        belongings,
        steps,
        already_gone,
        attempts,
        ..
    } = destruction;
    let id = &belongings.id;
    place
        .statement("begin destruction", |db| {
            db.begin_destruction(term, belongings)
        })
        .await?;
    for step in already_gone {
        mark(place, term, belongings, *step).await?;
    }
    let mut service = false;
    let mut failures: Vec<(DestroyStep, String)> = Vec::new();
    for step in steps {
        if *step == DestroyStep::Service && leaves_a_volume(belongings, &failures) {
            failures.push((*step, "a volume of it comes first".to_owned()));
            continue;
        }
        match take(place, belongings, *step).await {
            Ok(Gone::NotFound) if destruction.may_still_show => {}
            Ok(_) => {
                mark(place, term, belongings, *step).await?;
                service |= *step == DestroyStep::Service;
            }
            Err(why) => failures.push((*step, why)),
        }
    }
    if let Some((step, why)) = failures.first() {
        let why = format!("deleting the {}: {why}", step.as_str());
        let wait = Policy::retry_after(attempts + 1);
        place
            .statement("note a failure", |db| db.failed(term, id, &why, wait))
            .await?;
    }
    Ok(service)
}

async fn mark(
    place: &Place,
    term: Term,
    belongings: &Belongings,
    step: DestroyStep,
) -> Result<bool, DbError> {
    place
        .statement("mark destroyed", |db| {
            db.mark_destroyed(term, &belongings.id, step)
        })
        .await
}

fn leaves_a_volume(belongings: &Belongings, failures: &[(DestroyStep, String)]) -> bool {
    let failed = |(step, _): &(DestroyStep, String)| *step == DestroyStep::Volumes;
    belongings.volume_ids.len() > 1 && failures.iter().any(failed)
}

/// What a step that did not fail found.
enum Gone {
    Deleted,
    NotFound,
}

async fn take(place: &Place, belongings: &Belongings, step: DestroyStep) -> Result<Gone, String> {
    match step {
        DestroyStep::Key => delete_keys(place, belongings)
            .await
            .map_err(|error| error.to_string())?,
        DestroyStep::Inbox => delete_inbox(place, belongings)
            .await
            .map_err(|error| error.to_string())?,
        DestroyStep::Volumes => {
            let mut ended = Ok(Gone::Deleted);
            for volume in &belongings.volume_ids {
                let deleted = accepted(place.delete_volume(volume).await);
                ended = ended.and(deleted);
            }
            ended
        }
        DestroyStep::Service => match &belongings.service_id {
            Some(service) => accepted(place.delete_service(service).await),
            None => Ok(Gone::Deleted),
        },
    }
}

fn accepted(deleted: Result<(), CallError>) -> Result<Gone, String> {
    match deleted {
        Err(error) if matches!(error.class, Class::NotAuthorized | Class::NotFound) => {
            Ok(Gone::Deleted)
        }
        deleted => deleted
            .map(|()| Gone::Deleted)
            .map_err(|error| error.to_string()),
    }
}

const CONTRADICTION: &str = "the account does not find it, and lists it";

type Answered = Result<Result<Gone, String>, CallError>;

/// The recorded key; and where there is none, or it is not found, every key of the name.
async fn delete_keys(place: &Place, belongings: &Belongings) -> Answered {
    let recorded = belongings.openrouter_key_hash.as_ref();
    if let Some(hash) = recorded
        && place.delete_key(hash).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    let mut gone = Gone::NotFound;
    for hash in place.find_keys(&belongings.name).await? {
        if Some(&hash) == recorded {
            return Ok(Err(CONTRADICTION.to_owned()));
        }
        place.delete_key(&hash).await?;
        gone = Gone::Deleted;
    }
    Ok(Ok(gone))
}

/// The recorded inbox; and where there is none, or it is not found, the one of the name.
async fn delete_inbox(place: &Place, belongings: &Belongings) -> Answered {
    let recorded = belongings.agentmail_inbox_id.as_ref();
    if let Some(inbox) = recorded
        && place.delete_inbox(inbox).await? == Deleted::Now
    {
        return Ok(Ok(Gone::Deleted));
    }
    match place.find_inbox(&belongings.name).await? {
        None => Ok(Ok(Gone::NotFound)),
        found if found.as_ref() == recorded => Ok(Err(CONTRADICTION.to_owned())),
        Some(other) => {
            place.delete_inbox(&other).await?;
            Ok(Ok(Gone::Deleted))
        }
    }
}
