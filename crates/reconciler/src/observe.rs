//! The first phase: what is recorded, what Railway lists, what the agents answer.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use pool_domain::{
    Conversation, InstanceId, LastEvent, Listing, ObservedService, Policy, Probe, Secret,
    ServiceId, ServiceVariables,
};
use pool_planner::{
    Evidence, Identity, Index, ProbeTarget, Snapshot, adoption, conversations_to_ask, probes,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{Error, Outside, phase};

/// Services that bear our prefix and hold another's key, and when that was read: reading it again
/// every tick would cost a request each time.
pub(crate) type Foreign = HashMap<ServiceId, (Evidence, DateTime<Utc>)>;

/// What is recorded, and what Railway lists.
pub(crate) struct Listed {
    /// Without anything that would have to be asked for.
    pub(crate) snapshot: Snapshot,
    /// Rows that this build cannot read.
    pub(crate) unreadable: Vec<String>,
}

/// Lists, and reads what is recorded. Only the database's refusal ends it: Railway's silence is an
/// observation too.
pub(crate) async fn list_and_read(
    outside: &Outside,
    requested_creates: usize,
    by_a_person: bool,
) -> Result<Listed, Error> {
    // The listing begins at the database's time, so that its absence can be judged against rows.
    let started_at = outside.db.now().await?;
    let listing = list(outside, started_at, by_a_person).await;
    // The rows are read after it: a service in the listing whose row was made meanwhile is known.
    let loaded = bounded(phase::READ_ROWS, pool_db::instances::load(&outside.db)).await?;
    let provisions = bounded(phase::READ_ROWS, pool_db::provisions::load(&outside.db)).await?;

    let snapshot = Snapshot {
        now: loaded.now,
        rows: loaded.rows,
        provisions,
        listing,
        probes: HashMap::new(),
        conversations: HashMap::new(),
        evidence: HashMap::new(),
        requested_creates,
        fuse: pool_db::fuse::load(&outside.db).await?,
        in_flight: pool_planner::InFlight::default(),
    };
    Ok(Listed {
        snapshot,
        unreadable: loaded.unreadable,
    })
}

/// What was asked for because of what is recorded and listed.
pub(crate) struct Answers {
    pub(crate) evidence: HashMap<ServiceId, Evidence>,
    pub(crate) probes: HashMap<InstanceId, Probe>,
    pub(crate) conversations: HashMap<InstanceId, Conversation>,
    /// What failed on the way.
    pub(crate) failures: Vec<(String, String)>,
}

/// Asks for the variables of services that may be ours, and asks the agents.
pub(crate) async fn ask(
    outside: &Outside,
    snapshot: &Snapshot,
    index: &Index<'_>,
    foreign: &mut Foreign,
) -> Result<Answers, Error> {
    let mut failures = Vec::new();
    let wanted = Wanted::of(snapshot, index, &outside.identity);
    let candidates = wanted.candidates;
    let evidence = evidence(outside, candidates, foreign, snapshot.now, &mut failures).await?;
    let (probes, conversations) = tokio::join!(
        probe_all(outside, wanted.probes),
        ask_all(outside, wanted.conversations)
    );
    Ok(Answers {
        evidence,
        probes,
        conversations,
        failures,
    })
}

struct Wanted {
    probes: Vec<ProbeTarget>,
    conversations: Vec<(ProbeTarget, Option<Secret>)>,
    candidates: Vec<ObservedService>,
}

impl Wanted {
    fn of(snapshot: &Snapshot, index: &Index<'_>, identity: &Identity) -> Self {
        let Snapshot { rows, listing, .. } = snapshot;
        let candidates = adoption::candidates(index, listing, identity);
        let asked = conversations_to_ask(rows, index, listing, identity).into_iter();
        let with_token = |target: ProbeTarget| {
            let token = index.row(&target.id)?.gateway_token.clone();
            Some((target, token))
        };
        Self {
            probes: probes(rows, index, listing, identity),
            conversations: asked.filter_map(with_token).collect(),
            candidates: candidates.into_iter().cloned().collect(),
        }
    }
}

/// Lists, unless the budget wants it less often and no person asked for this tick.
async fn list(outside: &Outside, started_at: DateTime<Utc>, by_a_person: bool) -> Listing {
    let not_due = outside.railway.listing_not_due();
    if let Some(why) = not_due.filter(|_| !by_a_person) {
        return Listing::failed(started_at, why);
    }
    timeout(phase::LIST, outside.railway.list(started_at))
        .await
        .unwrap_or_else(|_elapsed| {
            Listing::failed(
                started_at,
                format!("not listed within {} s", phase::LIST.as_secs()),
            )
        })
}

async fn bounded<T>(
    limit: std::time::Duration,
    read: impl Future<Output = Result<T, pool_db::Error>>,
) -> Result<T, Error> {
    match timeout(limit, read).await {
        Ok(read) => Ok(read?),
        Err(_elapsed) => {
            Err(pool_db::Error::Wait(format!("rows not read within {} s", limit.as_secs())).into())
        }
    }
}

/// What is known of the candidates: one request for all of them, and none where all are known to
/// be another's.
async fn evidence(
    outside: &Outside,
    candidates: Vec<ObservedService>,
    foreign: &mut Foreign,
    now: DateTime<Utc>,
    failures: &mut Vec<(String, String)>,
) -> Result<HashMap<ServiceId, Evidence>, Error> {
    let reread = TimeDelta::from_std(Policy::FOREIGN_REREAD_AFTER).unwrap_or(TimeDelta::MAX);
    let ids: HashSet<_> = candidates.iter().map(|it| &it.service_id).collect();
    foreign.retain(|id, (_, read_at)| now - *read_at < reread && ids.contains(id));
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
    let recorded = recorded(outside, unknown).await?;
    // What was removed is known by that alone, and its variables may be gone with it.
    let (removed, unknown): (Vec<_>, Vec<_>) = recorded
        .into_iter()
        .partition(|(_, evidence)| evidence.last_event == Some(LastEvent::Removed));
    known.extend(removed);
    if unknown.is_empty() {
        return Ok(known);
    }
    let variables = match timeout(phase::READ_VARIABLES, outside.railway.variables()).await {
        Ok(Ok(variables)) => variables,
        Ok(Err(error)) => {
            failures.push(("reading variables".to_owned(), error.to_string()));
            return Ok(known);
        }
        Err(_elapsed) => {
            failures.push((
                "reading variables".to_owned(),
                "no answer in time".to_owned(),
            ));
            return Ok(known);
        }
    };
    for (service, evidence) in unknown {
        let Some(found) = variables.get(&service) else {
            continue;
        };
        let variables = ServiceVariables::read(found, &outside.pool_api_key);
        let evidence = Evidence {
            variables,
            ..evidence
        };
        if !evidence.variables.has_our_key {
            foreign.insert(service.clone(), (evidence.clone(), now));
        }
        known.insert(service, evidence);
    }
    Ok(known)
}

/// What our own records say of the candidates.
async fn recorded(
    outside: &Outside,
    candidates: Vec<ObservedService>,
) -> Result<Vec<(ServiceId, Evidence)>, Error> {
    let prefix = &outside.identity.prefix;
    let services: Vec<_> = candidates
        .iter()
        .map(|service| service.service_id.clone())
        .collect();
    let ids: Vec<_> = candidates
        .iter()
        .filter_map(|service| InstanceId::from_service_name(prefix, &service.name))
        .collect();
    let events = pool_db::events::last_by_service(&outside.db, &services).await?;
    let aside = pool_db::set_aside::reasons(&outside.db, &ids, &services).await?;
    let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
    let mut by_service: HashMap<_, Vec<_>> = HashMap::new();
    for it in &aside {
        by_id.entry(&it.id).or_default().push(&it.reason);
        if let Some(service) = &it.service_id {
            by_service.entry(service).or_default().push(&it.reason);
        }
    }
    let evidence = candidates.into_iter().map(|service| {
        let id = InstanceId::from_service_name(prefix, &service.name);
        let of_id = id.and_then(|id| by_id.get(&id));
        let of_service = by_service.get(&service.service_id);
        let reasons = [of_id, of_service].into_iter().flatten().flatten();
        // Any other reason weighs more than never having been claimed.
        let set_aside = reasons
            .max_by_key(|reason| **reason != adoption::NEVER_CLAIMED)
            .map(|reason| (*reason).clone());
        let none = ServiceVariables {
            has_our_key: false,
            gateway_token: None,
            inbox_id: None,
        };
        let last_event = events.get(&service.service_id).copied();
        (
            service.service_id,
            Evidence {
                variables: none,
                last_event,
                set_aside,
            },
        )
    });
    Ok(evidence.collect())
}

/// Probes them, so many at once. One whose turn did not come within the phase is not probed, which
/// is neither ready nor failed.
async fn probe_all(outside: &Outside, targets: Vec<ProbeTarget>) -> HashMap<InstanceId, Probe> {
    let until = Instant::now() + phase::PROBE;
    stream::iter(targets)
        .map(|target| async move {
            let probe = timeout_at(until, probe(outside, &target)).await.ok()?;
            Some((target.id, probe))
        })
        .buffer_unordered(64)
        .filter_map(|answer| async move { answer })
        .collect()
        .await
}

async fn probe(outside: &Outside, target: &ProbeTarget) -> Probe {
    let repeats = if target.repeat {
        Policy::PROBE_REPEATS
    } else {
        0
    };
    let mut times = 0;
    loop {
        match outside
            .agent
            .health(&target.url, Policy::PROBE_TIMEOUT)
            .await
        {
            Ok(_health) => return Probe::Ready,
            Err(not_ready) if times >= repeats => {
                return Probe::Failed {
                    times: times + 1,
                    reason: not_ready.reason,
                };
            }
            Err(_repeated) => times += 1,
        }
        sleep(Policy::PROBE_REPEAT_AFTER).await;
    }
}

/// Asks unasked ones for their conversation. Newer agents answer only to their gateway's token.
async fn ask_all(
    outside: &Outside,
    targets: Vec<(ProbeTarget, Option<Secret>)>,
) -> HashMap<InstanceId, Conversation> {
    let until = Instant::now() + phase::PROBE;
    stream::iter(targets)
        .map(|(target, token)| async move {
            let agent = &outside.agent;
            let asked = async {
                match &token {
                    Some(token) => {
                        let limit = Policy::PROBE_TIMEOUT;
                        agent
                            .conversation_with_gateway_token(&target.url, token, limit)
                            .await
                    }
                    None => agent.conversation(&target.url, Policy::PROBE_TIMEOUT).await,
                }
            };
            let said = timeout_at(until, asked).await.ok()?;
            Some((target.id, said))
        })
        .buffer_unordered(64)
        .filter_map(|answer| async move { answer })
        .collect()
        .await
}
