//! What must be so once every fault is off and the servers had time: no lease open, the stock
//! exactly at the target, and outside nothing but what the rows know.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::history::Row;
use super::stage::PREFIX;

/// A row of `provisions`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Provision {
    pub(super) id: String,
    pub(super) step: String,
    pub(super) last_error: Option<String>,
}

/// The simulator's world, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct World {
    pub(super) services: Vec<Service>,
    pub(super) volumes: Vec<Volume>,
    pub(super) keys: Vec<Key>,
    pub(super) inboxes: Vec<Inbox>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) deleted_at: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) service_id: Option<String>,
    pub(super) pending_deletion: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inbox {
    pub(super) client_id: Option<String>,
}

/// How many rows are in this status.
pub(super) fn count(rows: &[Row], status: &str) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

/// Everything that is not settled, each a sentence.
pub(super) fn unsettled(
    target: usize,
    rows: &[Row],
    provisions: &[Provision],
    world: &World,
) -> Vec<String> {
    let mut found = Vec::new();
    let idle = count(rows, "idle");
    if idle != target {
        found.push(format!("{idle} are idle, and the target is {target}"));
    }
    for row in rows {
        let (id, status) = (&row.id, &row.status);
        if matches!(status.as_str(), "starting" | "claiming" | "dead") {
            found.push(format!("{id} is {status} still"));
        } else if row.delete_requested {
            found.push(format!("{id} is {status} still, and its end was requested"));
        }
    }
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for provision in provisions {
        let Provision {
            id,
            step,
            last_error,
        } = provision;
        if step != "created" {
            let why = last_error.as_deref().unwrap_or("no error");
            found.push(format!("the record of {id} is at step {step}: {why}"));
        } else if !ids.contains(id.as_str()) {
            found.push(format!("there is a record of {id}, and no row"));
        }
    }
    found.extend(leftovers(rows, world));
    found
}

/// What is outside and no row knows; and what a row needs and is not there.
fn leftovers(rows: &[Row], world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let known: BTreeSet<&str> = rows.iter().map(|row| row.service_id.as_str()).collect();
    let mut alive = BTreeSet::new();
    for service in world.services.iter().filter(|it| it.deleted_at.is_none()) {
        alive.insert(service.id.as_str());
        if !known.contains(service.id.as_str()) {
            found.push(format!("service {} is left over", service.name));
        }
    }
    for row in rows.iter().filter(|row| row.status != "crashed") {
        if !alive.contains(row.service_id.as_str()) {
            let Row { id, status, .. } = row;
            found.push(format!("{id} is {status}, and its service is gone"));
        }
    }
    let mut volumes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for volume in world.volumes.iter().filter(|it| !it.pending_deletion) {
        *volumes.entry(volume.service_id.as_deref()).or_default() += 1;
    }
    for (service, number) in volumes {
        let is_known = service.is_some_and(|it| known.contains(it));
        if !is_known || number > 1 {
            let service = service.unwrap_or("no service");
            found.push(format!("{number} volumes are left over of {service}"));
        }
    }
    let names: BTreeSet<String> = rows.iter().map(|it| format!("{PREFIX}{}", it.id)).collect();
    let keys = world.keys.iter().map(|key| ("key", key.name.as_str()));
    let inboxes = world
        .inboxes
        .iter()
        .filter_map(|inbox| inbox.client_id.as_deref());
    let mut seen = BTreeSet::new();
    for (kind, name) in keys.chain(inboxes.map(|name| ("inbox", name))) {
        if name.starts_with(PREFIX) && (!names.contains(name) || !seen.insert((kind, name))) {
            found.push(format!("{kind} {name} is left over"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, status: &str) -> Row {
        Row {
            id: id.to_owned(),
            service_id: format!("s-{id}"),
            status: status.to_owned(),
            epoch: 1,
            agent_name: None,
            conversation_id: None,
            delete_requested: false,
        }
    }

    fn provision(id: &str, step: &str) -> Provision {
        Provision {
            id: id.to_owned(),
            step: step.to_owned(),
            last_error: None,
        }
    }

    fn service(id: &str) -> Service {
        Service {
            id: format!("s-{id}"),
            name: format!("{PREFIX}{id}"),
            deleted_at: None,
        }
    }

    fn volume(id: &str) -> Volume {
        Volume {
            service_id: Some(format!("s-{id}")),
            pending_deletion: false,
        }
    }

    fn key(id: &str) -> Key {
        Key {
            name: format!("{PREFIX}{id}"),
        }
    }

    fn inbox(id: &str) -> Inbox {
        Inbox {
            client_id: Some(format!("{PREFIX}{id}")),
        }
    }

    type State = (Vec<Row>, Vec<Provision>, World);

    /// One idle and one claimed, each with all that it needs.
    fn calm() -> State {
        let both = ["a", "b"];
        let world = World {
            services: both.map(service).into(),
            volumes: both.map(volume).into(),
            keys: both.map(key).into(),
            inboxes: both.map(inbox).into(),
        };
        let rows = vec![row("a", "idle"), row("b", "claimed")];
        (rows, both.map(|id| provision(id, "created")).into(), world)
    }

    fn found(disturb: impl FnOnce(&mut State)) -> Vec<String> {
        let mut state = calm();
        disturb(&mut state);
        unsettled(1, &state.0, &state.1, &state.2)
    }

    #[test]
    fn calm_is_calm() {
        assert_eq!(found(|_| {}), [""; 0]);
    }

    #[test]
    fn a_stock_above_or_below_the_target_is_found() {
        let (rows, provisions, world) = calm();
        for target in [0, 2] {
            let found = unsettled(target, &rows, &provisions, &world);
            assert_eq!(found, [format!("1 are idle, and the target is {target}")]);
        }
    }

    #[test]
    fn an_open_lease_and_what_waits_for_its_end_are_found() {
        let open = found(|(rows, ..)| rows[1].status = "claiming".to_owned());
        assert_eq!(open, ["b is claiming still"]);
        let unwanted = found(|(rows, ..)| rows[1].delete_requested = true);
        assert_eq!(unwanted, ["b is claimed still, and its end was requested"]);
    }

    #[test]
    fn records_that_are_open_or_of_nothing_are_found() {
        let open = found(|(_, provisions, _)| provisions[0].step = "volume".to_owned());
        assert_eq!(open, ["the record of a is at step volume: no error"]);
        let of_nothing = found(|(_, it, _)| it.push(provision("c", "created")));
        assert_eq!(of_nothing, ["there is a record of c, and no row"]);
    }

    #[test]
    fn what_is_left_over_outside_is_found() {
        let leftovers = found(|(.., world)| {
            world.services.push(service("c"));
            world.volumes.push(volume("c"));
            world.keys.push(key("c"));
            world.inboxes.push(inbox("a"));
        });
        let expected = [
            "service convos-agent-c is left over",
            "1 volumes are left over of s-c",
            "key convos-agent-c is left over",
            "inbox convos-agent-a is left over",
        ];
        assert_eq!(leftovers, expected);
    }

    #[test]
    fn a_row_whose_service_is_gone_is_found_unless_it_crashed() {
        let gone = |state: &mut State| state.2.services[1].deleted_at = Some("now".to_owned());
        assert_eq!(found(gone), ["b is claimed, and its service is gone"]);
        let crashed = found(|state| {
            gone(state);
            state.0[1].status = "crashed".to_owned();
        });
        assert_eq!(crashed, [""; 0]);
    }
}
