//! People who want an agent, several at once, at any of the servers.

use fastrand::Rng;
use serde_json::json;

use super::check::Harm;
use super::history::{Answer, Ask};
use super::http::{Http, NoReply, Reply};
use super::stage::{Stage, lock};

/// More than the stock holds, so that they meet at its end.
pub(super) const CALLERS: u64 = 8;

/// Claims until the run is over.
pub(super) fn call(stage: &Stage, caller: u64, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let http = Http::new(&stage.key);
    let mut number = 0;
    while stage.pause(rng.u64(50..1_200)) {
        number += 1;
        claim(
            stage,
            &http,
            &mut rng,
            &format!("caller {caller}, claim {number}"),
        );
    }
}

/// One claim at a random server.
pub(super) fn claim(stage: &Stage, http: &Http, rng: &mut Rng, agent_name: &str) {
    let url = stage.url(rng.usize(..stage.ports.len()), "/api/pool/claim");
    let mut body = json!({ "agentName": agent_name, "instructions": "Answer in one sentence." });
    if rng.u8(..3) == 0 {
        body["joinUrl"] = json!(format!("https://dev.convos.org/v2?i={}", rng.u64(..)));
    }
    let sent_ms = stage.now_ms();
    let reply = http.post(&url, &body);
    let answered_ms = stage.now_ms();
    match &reply {
        Ok(reply) => stage.tally.add("claims", kind(reply)),
        Err(NoReply::Refused) => stage.tally.add("claims", "refused"),
        Err(NoReply::Broken) => stage.tally.add("claims", "broken off"),
        Err(NoReply::Silent) => {
            let sentence = format!("the claim of {agent_name} at {url} was never answered");
            stage.found(Harm::Answer, sentence);
        }
    }
    lock(&stage.asks).push(Ask {
        agent_name: agent_name.to_owned(),
        sent_ms,
        answered_ms,
        answer: reply.ok().map(answer),
    });
}

fn kind(reply: &Reply) -> String {
    let sentence = reply.body["error"].as_str().unwrap_or_default();
    match reply.status {
        503 if sentence.starts_with("No idle") => "503 (none idle)".to_owned(),
        503 if sentence.starts_with("The database") => "503 (no database)".to_owned(),
        status => status.to_string(),
    }
}

fn answer(reply: Reply) -> Answer {
    let text = |name: &str| reply.body[name].as_str().map(str::to_owned);
    Answer {
        status: reply.status,
        has_retry_after: reply.has_retry_after,
        instance_id: text("instanceId"),
        conversation_id: text("conversationId"),
        error: text("error").unwrap_or_default(),
    }
}
