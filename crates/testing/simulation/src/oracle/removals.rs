//! What servers delete outside: it must not be anybody's.

use axum::body::Bytes;
use http::{Method, Request};

use super::watched::Oracle;

impl Oracle {
    /// A request of a server, which may delete something.
    pub(crate) fn sees_removal(&self, request: &Request<Bytes>) {
        let Some((what, column, value)) = deletes(request) else {
            return;
        };
        if what == "service" {
            self.trace.count(|counts| counts.destroyed += 1);
        }
        let Ok(rows) = self.instances_with(column, &value) else {
            return;
        };
        for row in rows {
            let id = &row.id;
            let is_bound = self.known().bound_outside.contains(&row.service_id);
            if is_bound && what == "service" && !self.known().asked.contains(id) {
                let sentence = format!("the service of {id} is deleted, whose agent is somebody's");
                self.trace.violated("bound-is-kept", sentence);
            }
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
    if request.method() != Method::POST || !path.starts_with("/graphql") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
    let id = body["variables"]["id"].as_str()?;
    body["query"]
        .as_str()?
        .contains("serviceDelete")
        .then(|| ("service", "service_id", id.to_owned()))
}
