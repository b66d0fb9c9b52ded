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

/// Whoever makes it, by the control API.
pub(super) struct Trouble<'a> {
    stage: &'a Stage,
    http: Http,
}

impl<'a> Trouble<'a> {
    pub(super) fn of(stage: &'a Stage) -> Self {
        let http = Http::new("");
        Self { stage, http }
    }

    /// Makes trouble until the run is over.
    pub(super) fn make(&self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        while self.stage.pause(rng.u64(500..3_000)) {
            self.strike(&mut rng);
        }
    }

    fn strike(&self, rng: &mut Rng) {
        match rng.u8(..12) {
            0 => {
                // Not the edge's block: after that nothing is sent for five minutes, as it should.
                let probability = f64::from(rng.u8(2..15)) / 100.0;
                let (fault, for_ms) = (refusal(rng), rng.u64(1_000..8_000));
                let rule = json!({ "fault": fault, "probability": probability, "forMs": for_ms });
                self.post("/faults", &rule);
                self.stage.tally.add("faults", "some requests fail");
            }
            1..=3 => self.inject(&listing(rng), &[], rng.u8(1..3)),
            4 => self.inject(&refusal(rng), &[], 1),
            5 => {
                let operations = ["keyCreate", "inboxCreate", "keyDelete", "inboxDelete"];
                let operation = operations[rng.usize(..operations.len())];
                self.inject(&refusal(rng), &[operation], 1);
            }
            6 => {
                let kinds = ["deploy_sticks", "deploy_fails"];
                let kind = kinds[usize::from(rng.bool())];
                self.inject(&json!({ "kind": kind }), &[], 1);
            }
            7 => self.befall(rng),
            8 => self.heal(|| rng.bool()),
            _ => self.ail(rng),
        }
    }

    /// Ends all of it.
    pub(super) fn end(&self) {
        let url = format!("{}/faults", self.stage.simulated.control_url);
        let _ = self.http.delete(&url);
        self.heal(|| true);
    }

    fn inject(&self, fault: &Value, operations: &[&str], count: u8) {
        let kind = fault["kind"].as_str().unwrap_or_default();
        let rule = json!({ "fault": fault, "count": count, "operations": operations });
        if self.post("/faults", &rule) {
            self.stage.tally.add("faults", kind);
        }
    }

    fn befall(&self, rng: &mut Rng) {
        let verb = BEFALLS[rng.usize(..BEFALLS.len())];
        if let Some(service) = rng.choice(self.services())
            && self.post(&format!("/services/{service}/{verb}"), &json!({}))
        {
            self.stage.tally.add("faults", format!("service: {verb}"));
        }
    }

    fn ail(&self, rng: &mut Rng) {
        let fault = AGENT_FAULTS[rng.usize(..AGENT_FAULTS.len())];
        let body = match fault {
            "slow" => json!({ "ms": rng.u64(100..3_000) }),
            _ => json!({}),
        };
        if let Some(service) = rng.choice(self.services())
            && self.post(&format!("/agents/{service}/{fault}"), &body)
        {
            self.stage.tally.add("faults", format!("agent: {fault}"));
        }
    }

    /// These agents are well again.
    fn heal(&self, mut is_healed: impl FnMut() -> bool) {
        for service in self.services() {
            if is_healed() {
                self.post(&format!("/agents/{service}/heal"), &json!({}));
            }
        }
    }

    /// The services that are alive and have an agent.
    fn services(&self) -> Vec<String> {
        let url = format!("{}/world", self.stage.simulated.control_url);
        let world = self.http.get(&url).map_or(Value::Null, |reply| reply.body);
        let agents = world["agents"].as_array().into_iter().flatten();
        let ids = agents.filter_map(|agent| agent["serviceId"].as_str().map(str::to_owned));
        ids.collect()
    }

    /// Whether it was done: what it was meant for may be gone by now.
    fn post(&self, path: &str, body: &Value) -> bool {
        let url = format!("{}{path}", self.stage.simulated.control_url);
        let reply = self.http.post(&url, body);
        reply.is_ok_and(|reply| reply.status == 200)
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
