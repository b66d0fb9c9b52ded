//! pool-reconciler's `observe`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use pool_domain::{
    Conversation, InstanceId, Listing, ObservedService, Policy, Probe, Secret, ServiceId,
    ServiceVariables,
};
use pool_planner::{
    Evidence, Index, ProbeTarget, Snapshot, adoption, conversations_to_ask, probes,
};

use crate::database::DbError;
use crate::outside::ProbePolicy;
use crate::place::Place;
use crate::sim::POOL_API_KEY;

const LIST: Duration = Duration::from_secs(120);
const READ_VARIABLES: Duration = Duration::from_secs(90);
const PROBE: Duration = Duration::from_secs(60);

/// Services with another's key, and when that was read.
pub(crate) type Foreign = BTreeMap<ServiceId, (Evidence, DateTime<Utc>)>;

/// Observes. Only the database's refusal ends it.
pub(crate) async fn observe(
    place: &Place,
    foreign: &mut Foreign,
    requested_creates: usize,
) -> Result<Snapshot, DbError> {
    let started_at = place.statement("now", |db| Ok(db.now)).await?;
    let listing = place
        .sim
        .scheduler
        .within(LIST, place.list(started_at))
        .await;
    let listing = listing.unwrap_or_else(|| Listing::failed(started_at, "not listed in time"));
    let (now, rows) = place
        .statement("load rows", |db| Ok((db.now, db.load_rows())))
        .await?;
    let provisions = place
        .statement("load provisions", |db| Ok(db.load_provisions()))
        .await?;
    let fuse = place
        .statement("load the fuse", |db| Ok(db.load_fuse()))
        .await?;
    let mut snapshot = Snapshot {
        fuse,
        now,
        rows,
        provisions,
        listing,
        probes: HashMap::new(),
        conversations: HashMap::new(),
        evidence: HashMap::new(),
        requested_creates,
    };
    let identity = &place.sim.identity;
    let index = Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing);
    let candidates: Vec<_> = adoption::candidates(&index, &snapshot.listing, identity)
        .into_iter()
        .cloned()
        .collect();
    let probed = probes(&snapshot.rows, &index, &snapshot.listing, identity);
    let asked = conversations_to_ask(&snapshot.rows, &index, &snapshot.listing, identity);
    snapshot.evidence = evidence(place, candidates, foreign, now).await?;
    let (answers, said) =
        futures_util::future::join(probe_all(place, probed), ask_all(place, asked)).await;
    snapshot.probes = answers;
    snapshot.conversations = said;
    Ok(snapshot)
}

async fn evidence(
    place: &Place,
    candidates: Vec<ObservedService>,
    foreign: &mut Foreign,
    now: DateTime<Utc>,
) -> Result<HashMap<ServiceId, Evidence>, DbError> {
    let reread = TimeDelta::from_std(Policy::FOREIGN_REREAD_AFTER).unwrap_or(TimeDelta::MAX);
    foreign.retain(|id, (_, read_at)| {
        now - *read_at < reread && candidates.iter().any(|service| service.service_id == *id)
    });
    let mut known: HashMap<_, _> = foreign
        .iter()
        .map(|(id, (evidence, _))| (id.clone(), evidence.clone()))
        .collect();
    let unknown: Vec<_> = candidates
        .into_iter()
        .filter(|service| !known.contains_key(&service.service_id))
        .collect();
    if unknown.is_empty() {
        return Ok(known);
    }
    let read = place
        .sim
        .scheduler
        .within(READ_VARIABLES, place.variables());
    let Some(Ok(variables)) = read.await else {
        return Ok(known);
    };
    let last_events = place
        .statement("last events", |db| {
            let services = unknown.iter().map(|service| &service.service_id);
            Ok(services.map(|id| db.last_event(id)).collect::<Vec<_>>())
        })
        .await?;
    for (service, last_event) in unknown.into_iter().zip(last_events) {
        let Some(found) = variables.get(&service.service_id) else {
            continue;
        };
        let evidence = Evidence {
            variables: ServiceVariables::read(found, &Secret::new(POOL_API_KEY)),
            last_event,
            set_aside: None,
        };
        if !evidence.variables.has_our_key {
            foreign.insert(service.service_id.clone(), (evidence.clone(), now));
        }
        known.insert(service.service_id, evidence);
    }
    Ok(known)
}

async fn probe_all(place: &Place, targets: Vec<ProbeTarget>) -> HashMap<InstanceId, Probe> {
    let policy = ProbePolicy {
        timeout: Policy::PROBE_TIMEOUT,
        repeat_after: Policy::PROBE_REPEAT_AFTER,
    };
    let probing = stream::iter(targets)
        .map(|target| async move {
            let repeats = if target.repeat {
                Policy::PROBE_REPEATS
            } else {
                0
            };
            let probe = place.probe(&target.url, repeats, policy);
            let probe = place.sim.scheduler.within(PROBE, probe).await?;
            Some((target.id, probe))
        })
        .buffer_unordered(Policy::PROBES_IN_FLIGHT_MAX)
        .filter_map(|answer| async move { answer });
    probing.collect().await
}

async fn ask_all(place: &Place, targets: Vec<ProbeTarget>) -> HashMap<InstanceId, Conversation> {
    let asking = stream::iter(targets)
        .map(|target| async move {
            let said = place.conversation(&target.url, Policy::PROBE_TIMEOUT).await;
            (target.id, said)
        })
        .buffer_unordered(Policy::PROBES_IN_FLIGHT_MAX);
    asking.collect().await
}
