//! People at the controls: they drain, destroy, dismiss, replenish, ask for ticks, and look.

use fastrand::Rng;
use serde_json::{Value, json};

use super::check::Harm;
use super::http::{Http, NoReply, Reply};
use super::stage::{Stage, lock};

/// Of so many claimed agents some are always given up, so that the cap is never reached.
const CLAIMED_MAX: usize = 20;

/// What they look at.
const PAGES: [&str; 5] = [
    "/",
    "/healthz",
    "/version",
    "/api/pool/counts",
    "/api/pool/status",
];

/// All of them, who may ask any server.
pub(super) struct People<'a> {
    stage: &'a Stage,
    http: Http,
}

impl<'a> People<'a> {
    pub(super) fn of(stage: &'a Stage) -> Self {
        let http = Http::new(&stage.key);
        Self { stage, http }
    }

    /// Work until the run is over.
    pub(super) fn work(&self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        while self.stage.pause(rng.u64(100..700)) {
            let server = rng.usize(..self.stage.ports.len());
            let count = json!({ "count": rng.u8(1..3) });
            match rng.u8(..12) {
                0 => self.post(server, "drain", &count),
                1 => self.post(server, "replenish", &count),
                2 => self.post(server, "replenish", &json!({})),
                3 | 4 => self.post(server, "reconcile", &json!({})),
                5 if rng.u8(..4) == 0 => self.confirm(server),
                5 => self.look(server, &mut rng),
                _ => self.give_up(server, &mut rng),
            }
        }
    }

    fn post(&self, server: usize, verb: &str, body: &Value) {
        let path = format!("/api/pool/{verb}");
        let reply = self.http.post(&self.stage.url(server, &path), body);
        self.heard(&format!("POST {path}"), reply);
        self.stage.tally.add("people", verb);
    }

    /// Lets go what the fuse holds back, if it has tripped.
    pub(super) fn confirm(&self, server: usize) {
        let ready = self.http.get(&self.stage.url(server, "/readyz"));
        if ready.is_ok_and(|reply| !reply.body["fuse"].is_null()) {
            // It may be whole again by now, which is a 409.
            let url = self.stage.url(server, "/api/pool/fuse/confirm");
            let _ = self.http.post(&url, &json!({}));
            self.stage.tally.add("people", "confirm the fuse");
        }
    }

    /// Asks for a sweep of what is left over outside.
    pub(super) fn sweep(&self, server: usize) {
        self.post(server, "sweep", &json!({}));
    }

    fn look(&self, server: usize, rng: &mut Rng) {
        let path = PAGES[rng.usize(..PAGES.len())];
        let reply = self.http.get(&self.stage.url(server, path));
        self.heard(&format!("GET {path}"), reply);
        self.stage.tally.add("people", "look");
    }

    /// Destroys claimed agents and dismisses crashed ones, now and then, and always when there are many.
    fn give_up(&self, server: usize, rng: &mut Rng) {
        let reply = self.http.get(&self.stage.url(server, "/api/pool/agents"));
        let Some(reply) = self.heard("GET /api/pool/agents", reply) else {
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
            self.destroy(server, "instances", id);
            self.stage.tally.add("people", "destroy");
        }
        if let Some(id) = rng.choice(&crashed)
            && rng.bool()
        {
            self.destroy(server, "crashed", id);
            self.stage.tally.add("people", "dismiss");
        }
    }

    /// Noted before it is asked: the answer may be lost.
    fn destroy(&self, server: usize, list: &str, id: &str) {
        lock(&self.stage.unwanted).insert(id.to_owned());
        let url = self.stage.url(server, &format!("/api/pool/{list}/{id}"));
        self.heard("DELETE of an instance", self.http.delete(&url));
    }

    /// The answer, if one came that can be used; one that must not be is noted.
    fn heard(&self, call: &str, reply: Result<Reply, NoReply>) -> Option<Reply> {
        match reply {
            Ok(reply) => {
                self.stage.judge(call, &reply);
                (reply.status == 200).then_some(reply)
            }
            // A command waits for its tick for a minute, which is as long as we wait.
            Err(NoReply::Silent) if !call.starts_with("POST") => {
                let sentence = format!("{call} was never answered");
                self.stage.found(Harm::Answer, sentence);
                None
            }
            Err(_) => None,
        }
    }
}
