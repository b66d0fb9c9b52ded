//! Reads what the database and the simulator have to tell.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use super::history::{History, Row};
use super::http::Http;
use super::settled::{Provision, World};
use super::stage::{Stage, lock};
use pool_harness::database;

const ROWS: &str = "SELECT id, service_id, status, epoch, agent_name, conversation_id, \
                    delete_requested_at IS NOT NULL AS delete_requested FROM instances";
const PROVISIONS: &str = "SELECT id, step, last_error FROM provisions";
const EVENTS: &str = "SELECT instance_id, service_id, from_status, to_status, epoch, reason \
                      FROM instance_events ORDER BY id";

/// What the tables say at this moment, and what there is outside.
pub(super) struct State {
    pub(super) rows: Vec<Row>,
    pub(super) provisions: Vec<Provision>,
    pub(super) world: World,
}

pub(super) fn state(stage: &Stage) -> Result<State> {
    Ok(State {
        rows: table(stage, ROWS)?,
        provisions: table(stage, PROVISIONS)?,
        world: outside(stage, "/world")?,
    })
}

/// Everything for the check. Nothing may happen meanwhile.
pub(super) fn history(stage: &Stage) -> Result<History> {
    Ok(History {
        asks: lock(&stage.asks).clone(),
        unwanted: lock(&stage.unwanted).iter().cloned().collect(),
        events: table(stage, EVENTS)?,
        rows: table(stage, ROWS)?,
        calls: outside(stage, "/provisions")?,
    })
}

/// How often somebody began to lead.
pub(super) fn terms(stage: &Stage) -> Result<usize> {
    let terms: Vec<serde_json::Value> = table(stage, "SELECT term FROM leader_terms")?;
    Ok(terms.len())
}

fn outside<T: DeserializeOwned>(stage: &Stage, path: &str) -> Result<T> {
    let reply = Http::new("").get(&format!("{}{path}", stage.simulated.control_url));
    let reply = reply.ok().context("the simulator did not answer")?;
    serde_json::from_value(reply.body).with_context(|| format!("what the simulator says at {path}"))
}

fn table<T: DeserializeOwned>(stage: &Stage, query: &str) -> Result<Vec<T>> {
    let whole = format!("SELECT coalesce(json_agg(t), '[]')::text FROM ({query}) AS t");
    let text = database::first(&stage.database_url, &whole)?;
    let text: String = text.with_context(|| format!("`{query}` gave nothing"))?;
    serde_json::from_str(&text).with_context(|| format!("what `{query}` gave"))
}
