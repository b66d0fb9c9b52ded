//! People at the controls: they drain, destroy, dismiss, replenish, ask for ticks, and look.

use fastrand::Rng;
use serde_json::{Value, json};

use super::check::Harm;
use super::http::{Http, NoReply, Reply};
use super::stage::{Stage, lock};

/// Of so many claimed agents some are always given up, so that the cap is never reached.
const CLAIMED_MAX: usize = 20;

/// Works until the run is over.
pub(super) fn work(stage: &Stage, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let http = Http::new(&stage.key);
    while stage.pause(rng.u64(100..700)) {
        let server = rng.usize(..stage.ports.len());
        let count = rng.u8(1..3);
        match rng.u8(..12) {
            0 => post(stage, &http, server, "drain", &json!({ "count": count })),
            1 => post(
                stage,
                &http,
                server,
                "replenish",
                &json!({ "count": count }),
            ),
            2 => post(stage, &http, server, "replenish", &json!({})),
            3 | 4 => post(stage, &http, server, "reconcile", &json!({})),
            5 if rng.u8(..4) == 0 => confirm(stage, &http, server),
            5 => look(stage, &http, server, &mut rng),
            _ => give_up(stage, &http, server, &mut rng),
        }
    }
}

fn post(stage: &Stage, http: &Http, server: usize, verb: &str, body: &Value) {
    let path = format!("/api/pool/{verb}");
    let reply = http.post(&stage.url(server, &path), body);
    heard(stage, &format!("POST {path}"), reply);
    stage.tally.add("people", verb);
}

/// Lets go what the fuse holds back, if it has tripped.
pub(super) fn confirm(stage: &Stage, http: &Http, server: usize) {
    let ready = http.get(&stage.url(server, "/readyz"));
    if ready.is_ok_and(|reply| !reply.body["fuse"].is_null()) {
        // It may be whole again by now, which is a 409.
        let _ = http.post(&stage.url(server, "/api/pool/fuse/confirm"), &json!({}));
        stage.tally.add("people", "confirm the fuse");
    }
}

/// Asks for a sweep of what is left over outside.
pub(super) fn sweep(stage: &Stage, http: &Http, server: usize) {
    post(stage, http, server, "sweep", &json!({}));
}

fn look(stage: &Stage, http: &Http, server: usize, rng: &mut Rng) {
    let paths = [
        "/",
        "/healthz",
        "/version",
        "/api/pool/counts",
        "/api/pool/status",
    ];
    let path = paths[rng.usize(..paths.len())];
    let reply = http.get(&stage.url(server, path));
    heard(stage, &format!("GET {path}"), reply);
    stage.tally.add("people", "look");
}

/// Destroys claimed agents and dismisses crashed ones, now and then, and always when there are many.
fn give_up(stage: &Stage, http: &Http, server: usize, rng: &mut Rng) {
    let reply = http.get(&stage.url(server, "/api/pool/agents"));
    let Some(reply) = heard(stage, "GET /api/pool/agents", reply) else {
        return;
    };
    let ids = |status: &str| -> Vec<String> {
        let list = reply.body[status].as_array().into_iter().flatten();
        let ids = list.filter_map(|it| it["id"].as_str().map(str::to_owned));
        ids.collect()
    };
    let (claimed, crashed) = (ids("claimed"), ids("crashed"));
    let wanted = CLAIMED_MAX.saturating_sub(rng.usize(..CLAIMED_MAX));
    let too_many = claimed.len().saturating_sub(wanted).min(4);
    for _ in 0..too_many {
        let id = &claimed[rng.usize(..claimed.len())];
        destroy(
            stage,
            http,
            &stage.url(server, &format!("/api/pool/instances/{id}")),
            id,
        );
        stage.tally.add("people", "destroy");
    }
    if let Some(id) = rng.choice(&crashed)
        && rng.bool()
    {
        destroy(
            stage,
            http,
            &stage.url(server, &format!("/api/pool/crashed/{id}")),
            id,
        );
        stage.tally.add("people", "dismiss");
    }
}

/// Noted before it is asked: the answer may be lost.
fn destroy(stage: &Stage, http: &Http, url: &str, id: &str) {
    lock(&stage.unwanted).insert(id.to_owned());
    heard(stage, "DELETE of an instance", http.delete(url));
}

/// The answer, if one came that can be used; one that must not be is noted.
fn heard(stage: &Stage, call: &str, reply: Result<Reply, NoReply>) -> Option<Reply> {
    match reply {
        Ok(reply) => {
            stage.judge(call, &reply);
            (reply.status == 200).then_some(reply)
        }
        // A command waits for its tick for a minute, which is as long as we wait.
        Err(NoReply::Silent) if !call.starts_with("POST") => {
            stage.found(Harm::Answer, format!("{call} was never answered"));
            None
        }
        Err(_) => None,
    }
}
