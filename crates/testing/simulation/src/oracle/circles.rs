//! What servers make outside: nothing is made again that is there, unless a fault explains why.

use axum::body::Bytes;
use http::{Method, Request};

use super::known::Making;
use super::watched::Oracle;
use crate::troubles::Trouble;

impl Oracle {
    /// A request of this server, which may make something.
    pub(crate) fn sees_making(&self, request: &Request<Bytes>, server: usize) -> Option<Making> {
        let making = makes(request)?;
        if making.what == "service" && self.has_service(&making.name) {
            // Railway answers that the name is taken, and makes nothing.
            return None;
        }
        if making.what == "service" {
            self.trace.count(|counts| counts.created += 1);
        }
        self.note_troubles();
        let (terms, leads) = self.leads(server).unwrap_or((0, true));
        let counts = self.trace.counts();
        let blows = counts.kills + counts.freezes + counts.cuts + terms;
        let mut known = self.known();
        known.asked_of_accounts += u32::from(making.what != "service");
        if making.what == "key" && !leads {
            known.made_late.insert(making.name.clone());
        }
        let is_late = known.made_late.contains(&making.name);
        let made = known.made.entry(making.clone()).or_default();
        if made.times == 0 {
            made.blows_at_first = blows;
        }
        // What a server that was struck left unrecorded is the sweep's.
        if making.what == "key" && !is_late && blows == made.blows_at_first {
            self.check_older_keys(&making.name);
        }
        made.times += 1;
        let explained = made.failed + blows - made.blows_at_first;
        if made.times > 1 + explained {
            let (times, Making { what, name }) = (made.times, &making);
            let sentence = format!(
                "the {what} {name} was made {times} times, which faults explain {explained} times"
            );
            self.trace.violated("no-circles", sentence);
        }
        let trouble = match making.what {
            "key" => Trouble::OpenRouter,
            "inbox" => Trouble::AgentMail,
            _ => Trouble::Making,
        };
        made.failed += u32::from(self.troubles.is_on(trouble));
        Some(making)
    }

    fn has_service(&self, name: &str) -> bool {
        self.simulator
            .world(|world| world.services().values().any(|it| it.name == name))
    }

    /// One that was made before, and whose secret nobody knows any more, goes first.
    fn check_older_keys(&self, name: &str) {
        let is_there = self
            .simulator
            .world(|world| world.openrouter().keys().any(|key| key.name == name));
        if is_there {
            let sentence = format!("a key {name} is made beside another one");
            self.trace.violated("one-key-at-a-time", sentence);
        }
    }

    /// It was not made, or nobody heard of it.
    pub(crate) fn sees_failure(&self, making: &Making) {
        if let Some(made) = self.known().made.get_mut(making) {
            made.failed += 1;
        }
    }

    /// How many terms there were, and whether the last one is this server's.
    fn leads(&self, server: usize) -> Option<(u32, bool)> {
        let sql = "SELECT term, holder FROM public.leader_terms ORDER BY term DESC LIMIT 1";
        let rows = self.database.query(sql, &[]).ok()?;
        let row = rows.first()?;
        let (term, holder): (i64, String) = (row.get(0), row.get(1));
        let is_its = holder == format!("server {}", server + 1);
        Some((u32::try_from(term).unwrap_or(u32::MAX), is_its))
    }
}

/// What a request makes.
fn makes(request: &Request<Bytes>) -> Option<Making> {
    if request.method() != Method::POST {
        return None;
    }
    let (what, field) = match request.uri().path() {
        "/api/v1/keys" => ("key", "/name"),
        "/v0/inboxes" => ("inbox", "/client_id"),
        path if path.starts_with("/graphql") => ("service", "/variables/input/name"),
        _ => return None,
    };
    let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
    let is_it = what != "service" || body["query"].as_str()?.contains("serviceCreate");
    let name = body.pointer(field)?.as_str()?.to_owned();
    is_it.then_some(Making { what, name })
}
