//! What was promised to whom, and what the event log says of it.

use anyhow::Result;
use pool_domain::ServiceId;
use tokio_postgres::Row as Record;

use super::known::Promise;
use super::watched::{Instance, Oracle};

/// The statuses of what is somebody's.
const SOMEBODYS: [&str; 2] = ["claimed", "crashed"];

impl Oracle {
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

    pub(super) fn check_promises(&self, instances: &[Instance]) {
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

    /// Every change of status since the last look, as the trigger wrote it down.
    pub(super) fn read_events(&self) -> Result<()> {
        let after = self.known().read_until;
        let events = self.database.query(
            "SELECT id, instance_id, from_status, to_status, coalesce(actor, ''), \
             coalesce(reason, ''), service_id FROM public.instance_events WHERE id > $1 ORDER BY id",
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
        let service: Option<String> = event.get(6);
        if let (None, Some(service)) = (to, service)
            && self.lives(&service)
        {
            let sentence = format!("the row of {id} is gone, and its service {service} lives");
            self.trace.violated("row-goes-last", sentence);
        }
    }

    /// Whether Railway has this service, whatever its listings show.
    pub(super) fn lives(&self, service: &str) -> bool {
        self.simulator.world(|world| {
            let key = (ServiceId::new(service), world.home().environment.clone());
            world.instance(&key).is_some()
        })
    }
}
