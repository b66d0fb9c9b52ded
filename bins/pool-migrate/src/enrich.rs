//! Fills from Railway what rows lack, and inserts rows for services of ours without one: one listing,
//! one read of variables, and decisions that are the tick's.

use std::collections::HashMap;

use pool_db::{Db, budget, events, instances, managers, provisions, set_aside};
use pool_domain::write::{Adoption, Refresh};
use pool_domain::{
    Instance, InstanceId, ObservedService, Report, Secret, ServiceId, ServiceVariables,
};
use pool_planner::enrich::{Difference, differences, enriched, has_gap};
use pool_planner::{Evidence, Identity, Index, adoption};
use pool_railway::{EnvironmentClient, Railway};

use crate::cli::Enrich;
use crate::database;
use crate::failure::Failure;
use crate::settings::RailwaySettings;

type Variables = HashMap<ServiceId, HashMap<String, Secret>>;

/// What changed, or would.
#[derive(Debug, Default)]
pub(crate) struct Enriched {
    pub(crate) dry_run: bool,
    /// Rows that were looked at.
    pub(crate) looked_at: usize,
    /// Of these, rows whose service Railway does not know: left alone.
    pub(crate) unknown: usize,
    pub(crate) changes: Vec<(InstanceId, Vec<Difference>)>,
    pub(crate) adoptions: Vec<Adoption>,
    /// Services with our prefix that are not provably ours, and why.
    pub(crate) foreign: Vec<(String, String)>,
    /// What was held back, and why.
    pub(crate) held_back: Vec<String>,
    /// Rows written and inserted; fewer than decided where the database moved on meanwhile.
    pub(crate) written: usize,
    pub(crate) inserted: usize,
}

pub(crate) async fn enrich(url: &str, how: &Enrich) -> Result<Enriched, Failure> {
    let settings = RailwaySettings::resolve(&how.railway)?;
    let db = database::contracted(url).await?;
    let railway = Railway::new(settings.client)?;
    let environment = railway.resolve_environment(&settings.environment).await?;
    let railway = railway.in_environment(environment.id);
    // The budget is one for all that call Railway with this token.
    if let Some(stored) = budget::load(&db).await? {
        railway.load(&stored, db.now().await?);
    }
    let decided = decide(
        &db,
        &railway,
        &settings.identity,
        &settings.pool_api_key,
        how,
    )
    .await;
    if let Some(heard) = railway.heard(db.now().await?) {
        budget::add(&db, &heard).await?;
    }
    let (mut done, refreshes) = decided?;
    if !how.dry_run {
        done.written = instances::refresh_unled(&db, &refreshes).await?;
        done.inserted = instances::insert_adopted_unled(&db, &done.adoptions)
            .await?
            .len();
    }
    Ok(done)
}

/// What is to be changed. Writes nothing.
async fn decide(
    db: &Db,
    railway: &EnvironmentClient,
    identity: &Identity,
    pool_api_key: &Secret,
    how: &Enrich,
) -> Result<(Enriched, Vec<Refresh>), Failure> {
    let listing = railway.list(db.now().await?).await;
    if let Some(why) = listing.lacks() {
        let sentence = format!("Railway's listing is incomplete, so nothing was changed: {why}");
        return Err(Failure::try_again(&sentence));
    }
    // After the listing: a service in it whose row was made meanwhile is known.
    let rows = instances::load(db).await?.rows;
    let provisions = provisions::load(db).await?;
    let index = Index::new(&rows, &provisions, &listing);
    let candidates = adoption::candidates(&index, &listing, identity);
    let services: HashMap<_, _> = listing
        .services
        .iter()
        .map(|service| (&service.service_id, service))
        .collect();
    let looked_at: Vec<_> = rows
        .iter()
        .map(|row| (row, services.get(&row.service_id).copied()))
        .filter(|(row, seen)| how.all || has_gap(row, *seen))
        .collect();

    let mut done = Enriched {
        dry_run: how.dry_run,
        looked_at: looked_at.len(),
        ..Enriched::default()
    };
    let mut variables = Variables::new();
    if !candidates.is_empty() || !looked_at.is_empty() {
        variables = railway.variables().await?;
    }
    let read = |service: &ServiceId| {
        let found = variables.get(service);
        found.map(|found| ServiceVariables::read(found, pool_api_key))
    };
    let refreshes = refreshes(&looked_at, read, identity, &mut done);
    let evidence = evidence(db, candidates, read, identity).await?;
    let mut report = Report::default();
    let managers = managers::load(db).await?;
    let adopted = adoption::decide(
        &index,
        &listing,
        &evidence,
        &managers,
        identity,
        &mut report,
    );
    done.adoptions = adopted.adoptions;
    let foreign = report.foreign.into_iter();
    done.foreign = foreign.map(|it| (it.name, it.why)).collect();
    let held_back = report.held_back.into_iter();
    done.held_back = held_back
        .map(|it| format!("{}: {} ({})", it.what, it.why, it.count))
        .collect();
    Ok((done, refreshes))
}

fn refreshes(
    looked_at: &[(&Instance, Option<&ObservedService>)],
    read: impl Fn(&ServiceId) -> Option<ServiceVariables>,
    identity: &Identity,
    done: &mut Enriched,
) -> Vec<Refresh> {
    let mut refreshes = Vec::new();
    for (row, seen) in looked_at {
        if seen.is_none() {
            done.unknown += 1;
            continue;
        }
        let refresh = enriched(row, *seen, read(&row.service_id).as_ref(), identity);
        let differences = differences(row, &refresh);
        if !differences.is_empty() {
            done.changes.push((row.id.clone(), differences));
            refreshes.push(refresh);
        }
    }
    refreshes
}

/// What the variables and our own records say of the candidates.
async fn evidence(
    db: &Db,
    candidates: Vec<&ObservedService>,
    read: impl Fn(&ServiceId) -> Option<ServiceVariables>,
    identity: &Identity,
) -> Result<HashMap<ServiceId, Evidence>, Failure> {
    let id_of =
        |service: &ObservedService| InstanceId::from_service_name(&identity.prefix, &service.name);
    let services: Vec<_> = candidates.iter().map(|it| it.service_id.clone()).collect();
    let ids: Vec<_> = candidates.iter().filter_map(|it| id_of(it)).collect();
    let last_events = events::last_by_service(db, &services).await?;
    let aside = set_aside::reasons(db, &ids, &services).await?;
    let evidence = candidates.into_iter().filter_map(|service| {
        let id = id_of(service);
        let set_aside = aside
            .iter()
            .filter(|it| {
                Some(&it.id) == id.as_ref() || it.service_id.as_ref() == Some(&service.service_id)
            })
            // Any other reason weighs more than never having been claimed.
            .max_by_key(|it| it.reason != adoption::NEVER_CLAIMED)
            .map(|it| it.reason.clone());
        let evidence = Evidence {
            variables: read(&service.service_id)?,
            last_event: last_events.get(&service.service_id).copied(),
            set_aside,
        };
        Some((service.service_id.clone(), evidence))
    });
    Ok(evidence.collect())
}
