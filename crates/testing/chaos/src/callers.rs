//! People who want an agent, several at once, at any of the servers.

use fastrand::Rng;
use serde_json::{Value, json};

use super::check::Harm;
use super::history::{Answer, Ask};
use super::http::{Http, NoReply, Reply};
use super::stage::{Stage, lock};

/// More than the stock holds, so that they meet at its end.
pub(super) const CALLERS: u64 = 8;

/// How often one claim is repeated: over all the time that a killed server's lease may take.
const REPETITIONS_MAX: u32 = 12;

/// Claims until the run is over. Every second claim has a key and is repeated, elsewhere, until its
/// outcome is known, and sometimes once more.
pub(super) fn call(stage: &Stage, caller: u64, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let http = Http::new(&stage.key);
    let mut number = 0;
    while stage.pause(rng.u64(50..1_200)) {
        number += 1;
        let name = format!("caller {caller}, claim {number}");
        let body = body(&mut rng, &name);
        if rng.bool() {
            ask(stage, &http, &mut rng, &name, None, &body);
            continue;
        }
        let key = format!("\"{name}\"");
        for _ in 0..REPETITIONS_MAX {
            let status = ask(stage, &http, &mut rng, &name, Some(&key), &body);
            let is_known = matches!(status, Some(200 | 410 | 502 | 504));
            if (is_known && rng.u8(..4) > 0) || !stage.pause(rng.u64(300..1_500)) {
                break;
            }
            stage.tally.add(
                "repeated",
                status.map_or("no answer".to_owned(), |it| it.to_string()),
            );
        }
    }
}

/// One claim without a key, at a random server.
pub(super) fn claim(stage: &Stage, http: &Http, rng: &mut Rng, name: &str) {
    let body = body(rng, name);
    ask(stage, http, rng, name, None, &body);
}

fn body(rng: &mut Rng, name: &str) -> Value {
    let mut body = json!({ "agentName": name, "instructions": "Answer in one sentence." });
    if rng.u8(..3) == 0 {
        body["joinUrl"] = json!(format!("https://dev.convos.org/v2?i={}", rng.u64(..)));
    }
    body
}

/// The status of the answer, if there was one.
fn ask(
    stage: &Stage,
    http: &Http,
    rng: &mut Rng,
    name: &str,
    key: Option<&str>,
    body: &Value,
) -> Option<u16> {
    let url = stage.url(rng.usize(..stage.ports.len()), "/api/pool/claim");
    let sent_ms = stage.now_ms();
    let reply = match key {
        Some(key) => http.post_keyed(&url, key, body),
        None => http.post(&url, body),
    };
    let answered_ms = stage.now_ms();
    match &reply {
        Ok(reply) => stage.tally.add("claims", kind(reply)),
        Err(NoReply::Refused) => stage.tally.add("claims", "refused"),
        Err(NoReply::Broken) => stage.tally.add("claims", "broken off"),
        Err(NoReply::Silent) => {
            let sentence = format!("the claim of {name} at {url} was never answered");
            stage.found(Harm::Answer, sentence);
        }
    }
    let status = reply.as_ref().ok().map(|reply| reply.status);
    lock(&stage.asks).push(Ask {
        agent_name: name.to_owned(),
        is_keyed: key.is_some(),
        sent_ms,
        answered_ms,
        answer: reply.as_ref().ok().map(answer),
    });
    status
}

fn kind(reply: &Reply) -> String {
    let sentence = reply.body["error"].as_str().unwrap_or_default();
    match reply.status {
        503 if sentence.starts_with("No idle") => "503 (none idle)".to_owned(),
        503 if sentence.starts_with("The database") => "503 (no database)".to_owned(),
        status => status.to_string(),
    }
}

fn answer(reply: &Reply) -> Answer {
    let text = |name: &str| reply.body[name].as_str().map(str::to_owned);
    Answer {
        status: reply.status,
        has_retry_after: reply.has_retry_after,
        instance_id: text("instanceId"),
        conversation_id: text("conversationId"),
        error: text("error").unwrap_or_default(),
    }
}
