//! What must hold, checked from outside: by the event log of the database, by the rows, by what the
//! world shows, and by what callers were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::body::Bytes;
use http::{Method, Request};
use pool_domain::ServiceId;
use pool_simulator::Simulator;
use pool_simulator::invariants::{self, Row};
use pool_simulator::world::{AgentBody, AgentCall};
use tokio::time::Instant;
use tokio_postgres::Row as Record;

use crate::pool::{API_KEY, PREFIX};
use crate::postgres::Database;
use crate::scenario::{PROMOTED_WITHIN, Scenario};
use crate::time::SimulatedClock;
use crate::trace::Trace;

/// Knows what was promised, and looks whether it is kept.
pub(crate) struct Oracle {
    pub(crate) database: Arc<Database>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) scenario: Scenario,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) known: Mutex<Known>,
}

/// What was told and asked so far.
#[derive(Default)]
pub(crate) struct Known {
    /// What callers were told with a 200, by instance.
    promises: BTreeMap<String, Promise>,
    /// Which instance a key was answered with.
    keys: BTreeMap<String, String>,
    /// What a person wants to be gone.
    asked: BTreeSet<String>,
    /// Up to where the event log was read.
    read_until: i64,
    /// Since when a starting instance's agent has been seen ready.
    ready_since: BTreeMap<String, Instant>,
}

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) agent_name: String,
    pub(crate) conversation_id: Option<String>,
}

/// A row, as far as anybody outside cares.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) service_id: String,
    pub(crate) status: String,
    pub(crate) agent_name: Option<String>,
    pub(crate) conversation_id: Option<String>,
    pub(crate) delete_requested: bool,
}

/// As many may be lost within ten minutes: `Policy::FUSE_LIMIT_MIN` and `Policy::FUSE_LIMIT_PERCENT`.
const FUSE_LIMIT_MIN: i64 = 5;
const FUSE_LIMIT_PERCENT: i64 = 20;

/// The statuses of what is somebody's.
const SOMEBODYS: [&str; 2] = ["claimed", "crashed"];

impl Oracle {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they are now.
    pub(crate) fn instances(&self) -> Result<Vec<Instance>> {
        let rows = self.database.query(
            "SELECT id, service_id, status, agent_name, conversation_id, \
             delete_requested_at IS NOT NULL FROM public.instances ORDER BY id",
            &[],
        )?;
        Ok(rows.iter().map(instance).collect())
    }

    /// A person asked for its end.
    pub(crate) fn asked_for(&self, id: &str) {
        self.known().asked.insert(id.to_owned());
    }

    /// A caller is answered 200: nobody else may have been told the same.
    pub(crate) fn promise(&self, id: &str, promise: &Promise) {
        let before = self.known().promises.insert(id.to_owned(), promise.clone());
        if before.is_some_and(|before| before != *promise) {
            self.trace
                .violated("one-claimer", format!("{id} was given to two callers"));
        }
    }

    /// The same for a claim under a key: whoever repeats it is given the same agent.
    pub(crate) fn promise_by_key(&self, key: &str, id: &str) {
        let before = self.known().keys.insert(key.to_owned(), id.to_owned());
        if let Some(before) = before.filter(|before| before != id) {
            let sentence = format!("{key} was answered with {before} and with {id}");
            self.trace.violated("one-key-one-agent", sentence);
        }
    }

    /// Looks at everything that must hold at every moment.
    pub(crate) fn look(&self) -> Result<()> {
        self.read_events()?;
        let instances = self.instances()?;
        self.check_promises(&instances);
        self.check_limits(&instances)?;
        let rows: Vec<_> = instances.iter().map(row).collect();
        let found = self.simulator.world(|world| {
            let mut found = invariants::consistent(world);
            found.extend(invariants::sound(world, &rows));
            found
        });
        for violation in found {
            // A service that vanished under a claimed row is noticed only by the next listings.
            if violation.rule != "claimed-lives" {
                self.trace.violated(violation.rule, violation.sentence);
            }
        }
        Ok(())
    }

    /// Every change of status since the last look, as the trigger wrote it down.
    fn read_events(&self) -> Result<()> {
        let after = self.known().read_until;
        let events = self.database.query(
            "SELECT id, instance_id, from_status, to_status, coalesce(actor, ''), coalesce(reason, '') \
             FROM public.instance_events WHERE id > $1 ORDER BY id",
            &[&after],
        )?;
        for event in &events {
            self.check_event(event);
            self.known().read_until = event.get(0);
        }
        Ok(())
    }

    fn check_event(&self, event: &Record) {
        let (id, actor, reason): (String, String, String) =
            (event.get(1), event.get(4), event.get(5));
        let (from, to): (Option<String>, Option<String>) = (event.get(2), event.get(3));
        let from = from.as_deref().unwrap_or_default();
        let is_asked = self.known().asked.contains(&id);
        if SOMEBODYS.contains(&from) && to.is_none() && !is_asked {
            let sentence = format!("the row of {id}, which was {from}, was removed: {reason}");
            self.trace.violated("claimed-kept", sentence);
        }
        let is_given_up = from == "claiming" && to.as_deref() == Some("dead");
        if is_given_up && !matches!(actor.as_str(), "claim" | "lease expiry") {
            let sentence = format!("{id} was ended by {actor} while it was claimed: {reason}");
            self.trace.violated("claiming-kept", sentence);
        }
    }

    /// The cap, the fuse, and in calm weather the target.
    fn check_limits(&self, instances: &[Instance]) -> Result<()> {
        let scenario = &self.scenario;
        let standing = instances
            .iter()
            .filter(|it| it.status != "dead" && !it.delete_requested)
            .count();
        if standing > scenario.cap {
            let sentence = format!("{standing} instances, and the cap is {}", scenario.cap);
            self.trace.violated("cap-holds", sentence);
        }
        let lost = self.database.query(
            "SELECT count(*), (SELECT coalesce(max(rows), 0) FROM public.fuse_row_counts) \
             FROM public.fuse_losses WHERE at > to_timestamp($1::bigint / 1000.0) - interval '10 minutes'",
            &[&self.clock.now_utc().timestamp_millis()],
        )?;
        if let Some(row) = lost.first() {
            let (lost, rows): (i64, i64) = (row.get(0), row.get(1));
            let limit = FUSE_LIMIT_MIN.max(rows * FUSE_LIMIT_PERCENT / 100);
            if lost > limit {
                let sentence = format!("{lost} of {rows} were lost within ten minutes");
                self.trace.violated("fuse-holds", sentence);
            }
        }
        let free = instances
            .iter()
            .filter(|it| matches!(it.status.as_str(), "idle" | "starting"))
            .count();
        let most = scenario.target + scenario.adoptees;
        if scenario.rates.is_calm() && scenario.rates.people == 0.0 && free > most {
            let sentence = format!(
                "{free} idle or starting, and the target is {}",
                scenario.target
            );
            self.trace.violated("no-more-than-wanted", sentence);
        }
        Ok(())
    }

    /// In calm weather an instance whose agent is ready is idle soon, and no other is idle.
    pub(crate) fn look_for_laggards(&self) -> Result<()> {
        if !self.scenario.rates.is_calm() {
            return Ok(());
        }
        let (ready, others): (Vec<_>, Vec<_>) = self
            .instances()?
            .into_iter()
            .filter(|it| matches!(it.status.as_str(), "starting" | "idle"))
            .partition(|it| is_ready(&self.simulator, it));
        for instance in others.iter().filter(|it| it.status == "idle") {
            let sentence = format!("{} is idle, and its agent is not ready", instance.id);
            self.trace.violated("idle-is-ready", sentence);
        }
        let ready: Vec<_> = ready
            .into_iter()
            .filter(|it| it.status == "starting")
            .collect();
        let mut known = self.known();
        known
            .ready_since
            .retain(|id, _| ready.iter().any(|it| it.id == *id));
        for instance in ready {
            let since = *known
                .ready_since
                .entry(instance.id.clone())
                .or_insert_with(Instant::now);
            if since.elapsed() > PROMOTED_WITHIN {
                let sentence = format!(
                    "the agent of {} has been ready for {} s, and it is not idle",
                    instance.id,
                    since.elapsed().as_secs()
                );
                self.trace.violated("idle-soon", sentence);
            }
        }
        Ok(())
    }

    fn check_promises(&self, instances: &[Instance]) {
        let known = self.known();
        for (id, promise) in &known.promises {
            if known.asked.contains(id) {
                continue;
            }
            let sentence = match instances.iter().find(|it| it.id == *id) {
                None => "has no row any more".to_owned(),
                Some(row) if !SOMEBODYS.contains(&row.status.as_str()) => {
                    format!("is {}", row.status)
                }
                Some(row) if row.agent_name.as_deref() != Some(&promise.agent_name) => {
                    format!("is claimed for {:?}", row.agent_name)
                }
                Some(row) if row.conversation_id != promise.conversation_id => {
                    format!("has the conversation {:?}", row.conversation_id)
                }
                Some(_) => continue,
            };
            let sentence = format!("{id} was given to {}, and {sentence}", promise.agent_name);
            self.trace.violated("promise-kept", sentence);
        }
    }

    /// A request of a server: what it deletes must not be anybody's.
    pub(crate) fn sees_request(&self, request: &Request<Bytes>) {
        let Some((what, column, value)) = deletes(request) else {
            if creates_service(request) {
                self.trace.count(|counts| counts.created += 1);
            }
            return;
        };
        if what == "service" {
            self.trace.count(|counts| counts.destroyed += 1);
        }
        let sql = format!(
            "SELECT id, service_id, status, agent_name, conversation_id, \
             delete_requested_at IS NOT NULL FROM public.instances WHERE {column} = $1"
        );
        let Ok(rows) = self.database.query(&sql, &[&value]) else {
            return;
        };
        for row in rows.iter().map(instance) {
            let id = &row.id;
            let is_needed = match what {
                // An instance in the making may be given another key.
                "service" => row.status != "dead" && !row.delete_requested,
                _ => !matches!(row.status.as_str(), "dead" | "starting") && !row.delete_requested,
            };
            if is_needed {
                let sentence = format!("the {what} of {id} is deleted, which is {}", row.status);
                self.trace.violated("destroyed-alive", sentence);
            } else if row.delete_requested && !self.known().asked.contains(id) {
                let sentence = format!("the {what} of {id} is deleted, and nobody asked");
                self.trace.violated("destroyed-unasked", sentence);
            }
        }
    }

    /// What keeps the pool from being exact: empty when nothing is left over and nothing is missing.
    pub(crate) fn exact(&self) -> Result<Vec<String>> {
        let instances = self.instances()?;
        let count = |status: &str| instances.iter().filter(|it| it.status == status).count();
        let kept = count("claimed") + count("crashed");
        let idle = count("idle");
        let scenario = &self.scenario;
        let target = scenario.target.min(scenario.cap.saturating_sub(kept));
        let mut wrong = Vec::new();
        if idle != target {
            wrong.push(format!("{idle} are idle, and the target is {target}"));
        }
        if instances.len() != idle + kept || instances.iter().any(|it| it.delete_requested) {
            let all = instances.len();
            wrong.push(format!(
                "{all} rows, of which {idle} are idle, {kept} claimed or crashed"
            ));
        }
        wrong.extend(self.outside(&instances)?);
        Ok(wrong)
    }

    /// How many have this status.
    pub(crate) fn count(&self, statuses: &[&str]) -> Result<usize> {
        let instances = self.instances()?;
        Ok(instances
            .iter()
            .filter(|it| statuses.contains(&it.status.as_str()))
            .count())
    }

    /// Services, volumes, keys, inboxes and provisions are those of the rows, and no others.
    fn outside(&self, instances: &[Instance]) -> Result<Vec<String>> {
        let rows: Vec<_> = instances.iter().map(row).collect();
        let provisions = self.database.query(
            "SELECT p.id, p.name, p.step, p.openrouter_key_hash, i.id IS NOT NULL \
             FROM public.provisions p LEFT JOIN public.instances i USING (id) ORDER BY p.id",
            &[],
        )?;
        let mut wrong = Vec::new();
        let (mut made, mut recorded) = (BTreeSet::new(), BTreeSet::new());
        for provision in &provisions {
            let (id, name, step): (String, String, String) =
                (provision.get(0), provision.get(1), provision.get(2));
            if step != "created" || !provision.get::<_, bool>(4) {
                wrong.push(format!("the provision of {id} is {step}"));
            }
            made.insert(name);
            recorded.extend(provision.get::<_, Option<String>>(3));
        }
        let may_leave_keys = self.trace.counts().freezes > 0;
        let scenario = &self.scenario;
        self.simulator.world(|world| {
            if may_leave_keys {
                // A server that stood still between its last check and the call may have made a second
                // key under a name that is used. The sweep reports it, and a person deletes it.
                let now = world.now();
                let extra = world.openrouter().keys();
                let extra =
                    extra.filter(|key| made.contains(&key.name) && !recorded.contains(&key.hash));
                let extra: Vec<_> = extra.map(|key| key.hash.clone()).collect();
                for hash in extra {
                    let _ = world.accounts_mut().openrouter.delete(now, &hash);
                }
            }
            wrong.extend(
                invariants::tidy(world, &rows, PREFIX)
                    .iter()
                    .map(ToString::to_string),
            );
            let live = world.live_services();
            let live: BTreeSet<_> = live
                .iter()
                .filter(|service| made.contains(&service.name))
                .map(|service| service.id.clone())
                .collect();
            let home = &world.home().environment;
            let volumes = world.volumes().values().filter(|volume| {
                let instance = volume.instances.get(home);
                let service = instance.and_then(|instance| instance.service.as_ref());
                !volume.is_pending_deletion() && service.is_some_and(|it| live.contains(it))
            });
            let keys = world
                .openrouter()
                .keys()
                .filter(|key| made.contains(&key.name));
            let inboxes = world.agentmail().inboxes();
            let inboxes =
                inboxes.filter(|it| it.client_id.as_ref().is_some_and(|id| made.contains(id)));
            for (what, found, is_made) in [
                ("volumes", volumes.count(), scenario.has_volume),
                ("keys", keys.count(), scenario.has_openrouter),
                ("inboxes", inboxes.count(), scenario.has_agentmail),
            ] {
                let wanted = if is_made { live.len() } else { 0 };
                if found != wanted {
                    wrong.push(format!("{found} {what} of {wanted}"));
                }
            }
        });
        Ok(wrong)
    }
}

fn instance(row: &Record) -> Instance {
    Instance {
        id: row.get(0),
        service_id: row.get(1),
        status: row.get(2),
        agent_name: row.get(3),
        conversation_id: row.get(4),
        delete_requested: row.get(5),
    }
}

/// Whether its agent says that it is ready.
fn is_ready(simulator: &Simulator, instance: &Instance) -> bool {
    simulator.world(|world| {
        let key = (
            ServiceId::new(&instance.service_id),
            world.home().environment.clone(),
        );
        let Some(domain) = world
            .instance(&key)
            .and_then(|it| it.domains.first())
            .map(|it| it.domain.clone())
        else {
            return false;
        };
        let call = AgentCall {
            method: "GET",
            path: "/pool/health",
            bearer: Some(API_KEY),
            body: b"",
        };
        let reply = world.agent_call(&domain, call);
        matches!(reply.body, AgentBody::Json(body) if reply.status == 200 && body["ready"] == true)
    })
}

/// The row as the simulator's invariants take it.
fn row(instance: &Instance) -> Row {
    Row {
        id: instance.id.clone(),
        service_id: instance.service_id.as_str().into(),
        status: instance.status.clone(),
        claimed_by: instance.agent_name.clone(),
        delete_requested: instance.delete_requested,
    }
}

/// What a request deletes, and the column that says whose it is.
fn deletes(request: &Request<Bytes>) -> Option<(&'static str, &'static str, String)> {
    let path = request.uri().path();
    if request.method() == Method::DELETE {
        let (account, thing) = path.rsplit_once('/')?;
        return match account {
            "/api/v1/keys" => Some(("key", "openrouter_key_hash", thing.to_owned())),
            _ => Some(("inbox", "agentmail_inbox_id", thing.replace("%40", "@"))),
        };
    }
    let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
    let id = body["variables"]["id"].as_str()?;
    body["query"]
        .as_str()?
        .contains("serviceDelete")
        .then(|| ("service", "service_id", id.to_owned()))
}

fn creates_service(request: &Request<Bytes>) -> bool {
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
    body["query"]
        .as_str()
        .is_some_and(|query| query.contains("serviceCreate"))
}
