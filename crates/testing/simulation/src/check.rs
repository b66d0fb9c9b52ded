//! What must hold, checked from outside: of the pool at every moment, of a plan, and of what is
//! left once the trouble is over.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use pool_domain::{KeyHash, Policy, Stage, Status};
use pool_planner::{Plan, Snapshot};
use pool_simulator::invariants::{self, Row};

use crate::database::Database;
use crate::sim::{PREFIX, Sim};

/// The rows as the simulator's invariants take them.
pub(crate) fn rows(db: &Database) -> Vec<Row> {
    let rows = db.rows().map(|row| &row.instance);
    rows.map(|row| Row {
        id: row.id.to_string(),
        service_id: row.service_id.clone(),
        status: row.status.as_str().to_owned(),
        claimed_by: row.agent_name.clone(),
        delete_requested: row.delete_requested_at.is_some(),
    })
    .collect()
}

/// Checks what must hold at every moment.
pub(crate) fn moment(sim: &Sim) {
    let rows = sim.database(|db| rows(db));
    let found: Vec<_> = sim.world(|world| {
        let mut found = invariants::consistent(world);
        found.extend(invariants::sound(world, &rows));
        found
    });
    for violation in found {
        // A service that vanished under a claimed row is noticed only by the next listings.
        if violation.rule != "claimed-lives" {
            sim.violated(violation.rule, violation.sentence);
        }
    }
}

/// What counts towards the target once this plan's changes are written.
pub(crate) fn stock_after(snapshot: &Snapshot, plan: &Plan) -> usize {
    let becomes: BTreeMap<_, _> = plan.changes.iter().map(|it| (&it.id, it.to)).collect();
    let young = TimeDelta::from_std(Policy::STARTING_COUNTS_FOR).unwrap_or(TimeDelta::MAX);
    let rows = snapshot.rows.iter().filter(|row| {
        let status = becomes.get(&row.id).copied().unwrap_or(row.status);
        let changed_now = becomes.contains_key(&row.id);
        match status {
            Status::Idle => true,
            Status::Starting => changed_now || snapshot.now - row.status_changed_at <= young,
            _ => false,
        }
    });
    let is_new = |id: &pool_domain::InstanceId| snapshot.rows.iter().all(|row| row.id != *id);
    let intents = snapshot
        .provisions
        .iter()
        .filter(|it| matches!(it.stage, Stage::Creating(_)) && is_new(&it.id));
    let adopted = plan
        .adoptions
        .iter()
        .filter(|it| it.status == Status::Starting);
    rows.count() + intents.count() + adopted.count()
}

/// What keeps the pool from being exact: empty when nothing is left over and nothing is missing.
pub(crate) fn exact(sim: &Sim) -> Vec<String> {
    let policy = &sim.character.policy;
    let mut wrong = Vec::new();
    sim.database(|db| {
        let (idle, all) = (db.count(Status::Idle), db.rows().count());
        let kept = db.count(Status::Claimed) + db.count(Status::Crashed);
        let target = policy.min_idle.min(policy.max_total.saturating_sub(kept));
        if idle != target {
            wrong.push(format!("{idle} are idle, and the target is {target}"));
        }
        if all != idle + kept {
            wrong.push(format!(
                "{all} rows, of which {idle} are idle, {kept} claimed or crashed"
            ));
        }
        wrong.extend(provisions(db));
    });
    wrong.extend(outside(sim));
    wrong
}

/// Every provision is that of a row, and whole.
fn provisions(db: &Database) -> Vec<String> {
    let open = db
        .provisions()
        .filter(|it| it.stage != Stage::Created || db.row(&it.id).is_none());
    open.map(|it| format!("the provision of {} is {:?}", it.id, it.stage))
        .collect()
}

/// Services, volumes, keys and inboxes are those of the rows, and no others.
fn outside(sim: &Sim) -> Vec<String> {
    let (rows, made) = sim.database(|db| {
        let made: BTreeSet<_> = db.provisions().map(|it| it.name.clone()).collect();
        (rows(db), made)
    });
    let stale_keys = sim.database(|db| {
        let recorded = db
            .provisions()
            .filter_map(|it| it.openrouter_key_hash.as_ref());
        let recorded: BTreeSet<_> = recorded.map(KeyHash::as_str).collect();
        let stale = db.ledger.stale_keys.iter();
        stale
            .filter(|hash| !recorded.contains(hash.as_str()))
            .cloned()
            .collect::<Vec<_>>()
    });
    let character = &sim.character;
    sim.world(|world| {
        let now = world.now();
        for hash in &stale_keys {
            // As a person does who reads the sweep's report; one that is gone already is fine.
            let _ = world.accounts_mut().openrouter.delete(now, hash);
        }
        let left = invariants::tidy(world, &rows, PREFIX);
        let mut wrong: Vec<_> = left.iter().map(ToString::to_string).collect();
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
        let mut count = |what: &str, found: usize, is_made: bool| {
            let wanted = if is_made { live.len() } else { 0 };
            if found != wanted {
                wrong.push(format!("{found} {what} of {wanted}"));
            }
        };
        count("volumes", volumes.count(), character.policy.has_volume);
        let keys = world.openrouter().keys();
        let keys = keys.filter(|key| made.contains(&key.name));
        count("keys", keys.count(), character.has_openrouter);
        let inboxes = world.agentmail().inboxes();
        let inboxes =
            inboxes.filter(|it| it.client_id.as_ref().is_some_and(|id| made.contains(id)));
        count("inboxes", inboxes.count(), character.has_agentmail);
        wrong
    })
}
