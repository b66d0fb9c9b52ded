//! What a sweep found becomes records of resources that are to be destroyed: from then on they are ended
//! as those of any instance are, step by step, and again until they are gone. Pure.

use pool_domain::sweep::{Found, Thing};
use pool_domain::write::OwnedResources;
use pool_domain::{InstanceId, ServicePrefix};

/// The records of these, as few as will do: what was made for one instance stands in one record, under
/// its id. That has to be free (`is_in_hand`), and a record holds one thing of each kind, so that the
/// others stand under ids that nobody had.
pub fn leftovers(
    found: &[Found],
    prefix: &ServicePrefix,
    is_in_hand: impl Fn(&InstanceId) -> bool,
    mut new_id: impl FnMut() -> InstanceId,
) -> Vec<OwnedResources> {
    let mut records: Vec<OwnedResources> = Vec::new();
    for it in found {
        let owner = it.instance_id.as_ref().filter(|owner| !is_in_hand(owner));
        let known = records
            .iter_mut()
            .find(|record| Some(&record.id) == owner && has_room(record, &it.thing));
        if let Some(record) = known {
            take(record, &it.thing);
            continue;
        }
        let is_taken = |id: &&InstanceId| records.iter().any(|record| record.id == **id);
        let id = owner
            .filter(|id| !is_taken(id))
            .cloned()
            .unwrap_or_else(&mut new_id);
        let mut record = OwnedResources {
            // By which the account is searched for a key or an inbox of which no id is known.
            name: prefix.name_of(&id),
            id,
            service_id: None,
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            volume_ids: Vec::new(),
        };
        take(&mut record, &it.thing);
        records.push(record);
    }
    records
}

fn has_room(record: &OwnedResources, thing: &Thing) -> bool {
    match thing {
        Thing::Volume(_) => record.volume_ids.is_empty(),
        Thing::Service(_) => record.service_id.is_none(),
        Thing::Key(_) => record.openrouter_key_hash.is_none(),
        Thing::Inbox(_) => record.agentmail_inbox_id.is_none(),
    }
}

fn take(record: &mut OwnedResources, thing: &Thing) {
    match thing {
        Thing::Volume(id) => record.volume_ids.push(id.clone()),
        Thing::Service(id) => record.service_id = Some(id.clone()),
        Thing::Key(hash) => record.openrouter_key_hash = Some(hash.clone()),
        Thing::Inbox(id) => record.agentmail_inbox_id = Some(id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use pool_domain::{InboxId, KeyHash, ServiceId, VolumeId};

    use super::*;

    fn found(thing: Thing, owner: Option<&str>) -> Found {
        Found {
            thing,
            name: None,
            instance_id: owner.map(Into::into),
            why: "left over".to_owned(),
        }
    }

    #[test]
    fn what_was_made_for_one_instance_is_one_record_and_takes_no_living_ones_id() {
        let all = [
            found(Thing::Volume("v1".into()), Some("gone")),
            found(Thing::Volume("v2".into()), Some("gone")),
            found(Thing::Volume("v3".into()), None),
            found(Thing::Service("s".into()), Some("gone")),
            found(Thing::Key("replaced".into()), Some("lives")),
            found(Thing::Inbox("i".into()), Some("gone")),
        ];
        let mut new_ids = ["n1", "n2", "n3"].into_iter().map(InstanceId::from);
        let records = leftovers(
            &all,
            &ServicePrefix::new("p-"),
            |id| id.as_str() == "lives",
            || new_ids.next().unwrap(),
        );
        let told: Vec<_> = records
            .iter()
            .map(|it| {
                let OwnedResources {
                    name,
                    service_id,
                    openrouter_key_hash,
                    agentmail_inbox_id,
                    volume_ids,
                    ..
                } = it;
                let volumes = volume_ids.iter().map(VolumeId::as_str);
                let service = service_id.iter().map(ServiceId::as_str);
                let key = openrouter_key_hash.iter().map(KeyHash::as_str);
                let inbox = agentmail_inbox_id.iter().map(InboxId::as_str);
                let all: Vec<_> = volumes.chain(service).chain(key).chain(inbox).collect();
                format!("{name}: {}", all.join(" "))
            })
            .collect();
        assert_eq!(
            told,
            ["p-gone: v1 s i", "p-n1: v2", "p-n2: v3", "p-n3: replaced"]
        );
    }
}
