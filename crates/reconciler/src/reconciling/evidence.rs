//! Whose the services are that may be ours: what our records and their variables say.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::{
    InstanceId, LastEvent, Managers, ObservedService, Policy, ServiceId, ServiceVariables,
};
use pool_planner::{Evidence, adoption};
use tokio::time::timeout;

use crate::{Context, Error, limits};

/// Services that bear our prefix and are another's by their variables, and when that was read: reading it again
/// every round would cost a request each time.
pub(crate) type Foreign = HashMap<ServiceId, (Evidence, DateTime<Utc>)>;

/// What is known of the candidates: one request for all of them, and none where all are known to
/// be another's, or where nothing is to be asked now.
pub(super) async fn evidence(
    context: &Context,
    candidates: Vec<ObservedService>,
    managers: &Managers,
    foreign: &mut Foreign,
    now: DateTime<Utc>,
    may_ask: bool,
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
    let made_at: HashMap<_, _> = unknown
        .iter()
        .map(|service| (service.service_id.clone(), service.created_at))
        .collect();
    let recorded = recorded(context, unknown).await?;
    // What was removed is known by that alone, and its variables may be gone with it.
    let (removed, unknown): (Vec<_>, Vec<_>) = recorded
        .into_iter()
        .partition(|(_, evidence)| evidence.last_event == Some(LastEvent::Removed));
    known.extend(removed);
    if unknown.is_empty() || !may_ask {
        return Ok(known);
    }
    let variables = match timeout(limits::READ_VARIABLES, context.railway.variables()).await {
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
        let variables = ServiceVariables::read(found, &context.pool_api_key);
        let evidence = Evidence {
            variables,
            ..evidence
        };
        let maker = evidence.variables.manager_id.as_ref();
        let is_refused = made_at
            .get(&service)
            .is_some_and(|made_at| managers.refuses(maker, *made_at).is_some());
        if !evidence.variables.has_our_key || is_refused {
            foreign.insert(service.clone(), (evidence.clone(), now));
        }
        known.insert(service, evidence);
    }
    Ok(known)
}

/// What our own records say of the candidates.
async fn recorded(
    context: &Context,
    candidates: Vec<ObservedService>,
) -> Result<Vec<(ServiceId, Evidence)>, Error> {
    let prefix = &context.identity.prefix;
    let services: Vec<_> = candidates
        .iter()
        .map(|service| service.service_id.clone())
        .collect();
    let ids: Vec<_> = candidates
        .iter()
        .filter_map(|service| InstanceId::from_service_name(prefix, &service.name))
        .collect();
    let events = pool_db::events::last_by_service(&context.db, &services).await?;
    let aside = pool_db::set_aside::reasons(&context.db, &ids, &services).await?;
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
            manager_id: None,
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
