//! Keys and inboxes: each is used by one agent, for as long as that agent is in use, and none is left
//! when nobody uses it. Used is what stands in the variables of a row's service, whatever the names.

use std::collections::{BTreeMap, BTreeSet};

use super::found::{Found, Row};
use crate::world::{Service, World};

/// The variable that holds an agent's key of OpenRouter.
const KEY_VARIABLE: &str = "OPENROUTER_API_KEY";

/// The variable that holds the address of an agent's inbox.
const INBOX_VARIABLE: &str = "AGENTMAIL_INBOX_ID";

pub(super) fn sound(world: &World, rows: &[Row], found: &mut Found) {
    let mut users = BTreeMap::new();
    for service in world.live_services() {
        for credential in credentials_of(world, service) {
            let before = users.insert(credential.clone(), &service.name);
            found.unless(before.is_none(), "credential-of-one", || {
                format!("{credential} is in the variables of two services")
            });
        }
    }
    let in_use = |row: &&Row| row.status == "claimed" && !row.delete_requested;
    missing(world, rows.iter().filter(in_use), found);
}

pub(super) fn tidy(world: &World, rows: &[Row], prefix: &str, found: &mut Found) {
    let services = rows
        .iter()
        .filter_map(|row| world.services().get(&row.service_id));
    let used: BTreeSet<_> = services.flat_map(|s| credentials_of(world, s)).collect();
    for key in world.openrouter().keys() {
        let credential = Credential::Key(key.hash.clone());
        let ours = key.name.starts_with(prefix);
        found.unless(!ours || used.contains(&credential), "key-leak", || {
            format!(
                "{credential} of {} is left, and no row's service uses it",
                key.name
            )
        });
    }
    for inbox in world.agentmail().inboxes() {
        let credential = Credential::Inbox(inbox.inbox_id.clone());
        let client_id = inbox.client_id.as_deref().unwrap_or(&inbox.inbox_id);
        let ours = client_id.starts_with(prefix);
        found.unless(!ours || used.contains(&credential), "inbox-leak", || {
            format!("{credential} is left, and no row's service uses it")
        });
    }
    let kept = |row: &&Row| row.status != "dead" && !row.delete_requested;
    missing(world, rows.iter().filter(kept), found);
}

/// Rows whose service was given something that was deleted since.
fn missing<'a>(world: &World, rows: impl Iterator<Item = &'a Row>, found: &mut Found) {
    for row in rows {
        let Some(service) = world.services().get(&row.service_id) else {
            continue;
        };
        for credential in credentials_of(world, service) {
            let is_there = match &credential {
                Credential::Key(hash) => world.openrouter().keys().any(|key| key.hash == *hash),
                Credential::Inbox(id) => world.agentmail().inboxes().any(|i| i.inbox_id == *id),
            };
            found.unless(is_there, "credential-gone", || {
                format!("{} is {}, and {credential} was deleted", row.id, row.status)
            });
        }
    }
}

/// Something that one of the accounts made, by what it is deleted with: no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Credential {
    Key(String),
    Inbox(String),
}

impl std::fmt::Display for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(hash) => write!(f, "key {hash}"),
            Self::Inbox(id) => write!(f, "inbox {id}"),
        }
    }
}

/// The credentials in a service's variables that the modelled accounts made. Others, as a key that
/// all agents share, are nobody's business here.
fn credentials_of(world: &World, service: &Service) -> Vec<Credential> {
    let home = &world.home().environment;
    let variables = service.instances.get(home).map(|i| i.config.variables());
    let variables = variables.unwrap_or_default();
    let key = variables.get(KEY_VARIABLE);
    let key = key.and_then(|secret| world.openrouter().key_with_secret(secret));
    let inbox = variables.get(INBOX_VARIABLE);
    let inbox = inbox.and_then(|id| world.agentmail().inbox(id));
    let key = key.map(|key| Credential::Key(key.hash.clone()));
    let inbox = inbox.map(|inbox| Credential::Inbox(inbox.inbox_id.clone()));
    key.into_iter().chain(inbox).collect()
}
