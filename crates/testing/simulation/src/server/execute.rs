//! pool-reconciler's `execute`: refreshes, changes, adoptions, intents, removals, destructions,
//! creations, in this order.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use pool_domain::{Creations, InstanceId, Stage, Term};
use pool_planner::{Destruction, Plan, Removal};

use super::create::build;
use super::destroy::destroy;
use crate::database::{DbError, NewProvision};
use crate::place::Place;

const DESTROY: Duration = Duration::from_secs(90);
const DESTROYS_IN_FLIGHT_MAX: usize = 8;

pub(crate) async fn write_rows(place: &Place, term: Term, plan: &Plan) -> Result<(), DbError> {
    place
        .statement("refresh rows", |db| db.refresh(term, &plan.refreshes))
        .await?;
    place
        .statement("change statuses", |db| {
            db.change_statuses(term, &plan.changes)
        })
        .await?;
    if !plan.adoptions.is_empty() {
        place
            .statement("insert adopted rows", |db| {
                db.insert_adopted(term, &plan.adoptions)
            })
            .await?;
    }
    Ok(())
}

pub(crate) async fn intend(
    place: &Place,
    term: Term,
    plan: &Plan,
    requested: usize,
) -> Result<Vec<NewProvision>, DbError> {
    let intents: Vec<_> = (0..plan.create).map(|_| new_intent(place)).collect();
    if intents.is_empty() {
        return Ok(intents);
    }
    place
        .statement("write intents", |db| {
            let written = db.intend(term, &intents)?;
            check_cap(place, db, requested);
            Ok(written)
        })
        .await?;
    Ok(intents)
}

fn new_intent(place: &Place) -> NewProvision {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let letters = (0..InstanceId::LENGTH).map(|_| {
        let index = place.sim.random(|rng| rng.usize(..ALPHABET.len()));
        char::from(ALPHABET[index])
    });
    let id = InstanceId::new(letters.collect::<String>());
    let name = place.sim.identity.prefix.name_of(&id);
    NewProvision {
        id,
        name,
        gateway_token: place.new_token(),
    }
}

/// Intents never raise what exists and is being made above the cap.
fn check_cap(place: &Place, db: &mut crate::database::Database, _requested: usize) {
    let rows = db.rows().filter(|row| !row.instance.is_to_be_destroyed());
    let rows = rows.count();
    let intents = db
        .provisions()
        .filter(|it| matches!(it.stage, Stage::Creating(_)) && db.row(&it.id).is_none());
    let all = rows + intents.count();
    let cap = place.sim.character.policy.max_total;
    if all > cap {
        let sentence = format!("{all} exist or are being made, and the cap is {cap}");
        db.ledger.violated("cap-kept", sentence);
    }
}

pub(crate) async fn remove(place: &Place, term: Term, removals: &[Removal]) -> Result<(), DbError> {
    let rows: Vec<_> = removals
        .iter()
        .filter_map(|removal| Some((removal.id.clone(), removal.row?)))
        .collect();
    let removed = place
        .statement("remove rows", |db| db.remove_rows(term, &rows))
        .await?;
    let done: Vec<_> = removals
        .iter()
        .filter(|it| it.provision && (it.row.is_none() || removed.contains(&it.id)))
        .map(|it| it.id.clone())
        .collect();
    place
        .statement("remove provisions", |db| db.remove_provisions(term, &done))
        .await
}

pub(crate) async fn destroy_all(
    place: &Place,
    term: Term,
    destructions: Vec<Destruction>,
) -> Result<(), DbError> {
    let until = place.sim.now() + DESTROY;
    let mut ended = stream::iter(destructions)
        .map(|destruction| async move {
            let left = (until - place.sim.now()).to_std().unwrap_or_default();
            let destroyed = destroy(place, term, &destruction);
            place.sim.scheduler.within(left, destroyed).await
        })
        .buffer_unordered(DESTROYS_IN_FLIGHT_MAX);
    while let Some(destroyed) = ended.next().await {
        if let Some(destroyed) = destroyed {
            let is_service = destroyed?;
            place
                .sim
                .count(|counts| counts.destroyed += u32::from(is_service));
        }
    }
    Ok(())
}

pub(crate) async fn create_all(
    place: &Place,
    term: Term,
    plan: &Plan,
    mut intents: Vec<NewProvision>,
) -> Result<Creations, DbError> {
    intents.truncate(plan.make_now);
    if plan.resumes.is_empty() && intents.is_empty() {
        return Ok(Creations::default());
    }
    let creations = build(place, term, plan.resumes.clone(), intents).await?;
    let whole = u32::try_from(creations.whole).unwrap_or(u32::MAX);
    place.sim.count(|counts| counts.created += whole);
    Ok(creations)
}
