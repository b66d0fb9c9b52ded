//! Bad days of Railway's, of the accounts' and of the agents', by the simulator's control API.

use fastrand::Rng;
use serde_json::{Value, json};

use super::http::Http;
use super::stage::Stage;

/// The servers' grace for what a listing lacks is longer than a listing is ever behind: so it is
/// with Railway, as far as anybody measured.
pub(super) const BEHIND_MAX_MS: u64 = 1_500;

const AGENT_FAULTS: &[&str] = &[
    "unready",
    "hang",
    "mute",
    "stall",
    "slow",
    "error",
    "garbage",
    "redirect",
    "huge",
    "close",
    "close-mid-answer",
    "refuse-provision",
    "error-after-provision",
    "lose-provision",
    "hang-after-provision",
];

const BEFALLS: &[&str] = &["crash", "stop", "sleep", "redeploy", "fail", "delete"];

/// Makes trouble until the run is over.
pub(super) fn make(stage: &Stage, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let http = Http::new("");
    while stage.pause(rng.u64(500..3_000)) {
        match rng.u8(..12) {
            0 => {
                // Not the edge's block: after that nothing is sent for five minutes, as it should.
                let probability = f64::from(rng.u8(2..15)) / 100.0;
                let (fault, for_ms) = (refusal(&mut rng), rng.u64(1_000..8_000));
                let rule = json!({ "fault": fault, "probability": probability, "forMs": for_ms });
                post(stage, &http, "/faults", &rule);
                stage.tally.add("faults", "some requests fail");
            }
            1..=3 => inject(stage, &http, &listing(&mut rng), &[], rng.u8(1..3)),
            4 => inject(stage, &http, &refusal(&mut rng), &[], 1),
            5 => {
                let operations = ["keyCreate", "inboxCreate", "keyDelete", "inboxDelete"];
                let operation = operations[rng.usize(..operations.len())];
                inject(stage, &http, &refusal(&mut rng), &[operation], 1);
            }
            6 => {
                let fault = if rng.bool() {
                    "deploy_fails"
                } else {
                    "deploy_sticks"
                };
                inject(stage, &http, &json!({ "kind": fault }), &[], 1);
            }
            7 => befall(stage, &http, &mut rng),
            8 => heal(stage, &http, &mut rng),
            _ => ail(stage, &http, &mut rng),
        }
    }
}

/// Ends all of it.
pub(super) fn end(stage: &Stage) {
    let http = Http::new("");
    let _ = http.delete(&format!("{}/faults", stage.simulated.control_url));
    for service in services(stage, &http) {
        post(stage, &http, &format!("/agents/{service}/heal"), &json!({}));
    }
}

/// A listing that lies or is late.
fn listing(rng: &mut Rng) -> Value {
    match rng.u8(..7) {
        0 => json!({ "kind": "empty_listing" }),
        1 => json!({ "kind": "partial_listing", "every": rng.u8(2..5) }),
        2 => json!({ "kind": "stale_listing", "by_ms": rng.u64(100..BEHIND_MAX_MS) }),
        3 => json!({ "kind": "back_again", "by_ms": rng.u64(100..BEHIND_MAX_MS) }),
        4 => json!({ "kind": "null_deployment", "every": rng.u8(1..4) }),
        5 => json!({ "kind": "null_answer", "every": rng.u8(1..4) }),
        _ => json!({ "kind": "unknown_status" }),
    }
}

/// A request that fails, or is done and its answer lost.
fn refusal(rng: &mut Rng) -> Value {
    match rng.u8(..7) {
        0 => json!({ "kind": "answer_lost", "how": "dropped" }),
        1 => json!({ "kind": "answer_lost", "how": "gateway504" }),
        2 => json!({ "kind": "truncated" }),
        3 => json!({ "kind": "gateway", "status": 502 }),
        4 => json!({ "kind": "html_ok" }),
        5 => json!({ "kind": "latency", "ms": rng.u64(200..2_500) }),
        _ => json!({ "kind": "dropped" }),
    }
}

fn inject(stage: &Stage, http: &Http, fault: &Value, operations: &[&str], count: u8) {
    let kind = fault["kind"].as_str().unwrap_or_default().to_owned();
    let mut rule = json!({ "fault": fault, "count": count });
    if !operations.is_empty() {
        rule["operations"] = json!(operations);
    }
    if post(stage, http, "/faults", &rule) {
        stage.tally.add("faults", kind);
    }
}

fn befall(stage: &Stage, http: &Http, rng: &mut Rng) {
    let verb = BEFALLS[rng.usize(..BEFALLS.len())];
    if let Some(service) = rng.choice(services(stage, http))
        && post(
            stage,
            http,
            &format!("/services/{service}/{verb}"),
            &json!({}),
        )
    {
        stage.tally.add("faults", format!("service: {verb}"));
    }
}

fn ail(stage: &Stage, http: &Http, rng: &mut Rng) {
    let fault = AGENT_FAULTS[rng.usize(..AGENT_FAULTS.len())];
    let body = match fault {
        "slow" => json!({ "ms": rng.u64(100..3_000) }),
        _ => json!({}),
    };
    if let Some(service) = rng.choice(services(stage, http))
        && post(stage, http, &format!("/agents/{service}/{fault}"), &body)
    {
        stage.tally.add("faults", format!("agent: {fault}"));
    }
}

/// Half of the agents are well again.
fn heal(stage: &Stage, http: &Http, rng: &mut Rng) {
    for service in services(stage, http) {
        if rng.bool() {
            post(stage, http, &format!("/agents/{service}/heal"), &json!({}));
        }
    }
}

/// The services that are alive and have an agent.
fn services(stage: &Stage, http: &Http) -> Vec<String> {
    let world = http.get(&format!("{}/world", stage.simulated.control_url));
    let world = world.map_or(Value::Null, |reply| reply.body);
    let agents = world["agents"].as_array().into_iter().flatten();
    let ids = agents.filter_map(|agent| agent["serviceId"].as_str().map(str::to_owned));
    ids.collect()
}

/// Whether it was done: what it was meant for may be gone by now.
fn post(stage: &Stage, http: &Http, path: &str, body: &Value) -> bool {
    let reply = http.post(&format!("{}{path}", stage.simulated.control_url), body);
    reply.is_ok_and(|reply| reply.status == 200)
}
