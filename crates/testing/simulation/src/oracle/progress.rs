//! What must be prompt, during the trouble too: each bound is suspended while a fault is on that
//! excuses a delay, and for a stated time after it. What does not stand among its excuses excuses
//! nothing: an account or a commit that hangs stops no promotion and no destruction of a service, and
//! no agent stops another.

use std::time::Duration;

use anyhow::Result;
use pool_domain::{DeploymentStatus, ServiceId};
use pool_simulator::Simulator;
use pool_simulator::world::{AgentBody, AgentCall, Ending};
use tokio::time::Instant;

use super::watched::{Instance, Oracle};
use crate::pool::API_KEY;
use crate::scenario::{PROMOTED_WITHIN, seconds};
use crate::troubles::Trouble;

/// How long a blow to a server may hold everything up: it stands still for up to a minute, the database
/// notices a silent leader after 8 s, and another one leads, lists and goes on.
const AFTER_BLOW: Duration = Duration::from_secs(100);
/// How long refused requests may have been put off: `Policy::RETRY_AFTER_MAX`.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// How long an edge that blocked us again and again is left alone, as its blocks here come to.
const AFTER_EDGE_BLOCK: Duration = Duration::from_secs(1_200);
/// How long one agent that was silent may wait for its next probe, with that probe's own time.
const AFTER_SILENCE: Duration = Duration::from_secs(45);
/// How much longer a new one waits for its turn behind 300 that are silent:
/// `Policy::STARTING_PROBE_TIMEOUT`.
const BEHIND_SILENT: Duration = Duration::from_secs(5);
/// How many destructions go on at once: `Policy::DESTROYS_PER_TICK_MAX`.
const DESTROYED_AT_ONCE: usize = 40;

impl Oracle {
    /// Looks at what is owed, and for how long. To be called every few seconds.
    pub(crate) fn look_at_progress(&self) -> Result<()> {
        self.note_troubles();
        if self.hour_is_used_up()? {
            for trouble in [Trouble::Listing, Trouble::Making, Trouble::Ending] {
                self.troubles.note(trouble);
            }
        }
        if let Some(day) = self.scenario.day {
            self.check_spell(day);
        }
        let instances = self.instances()?;
        if self.scenario.is_calm() {
            self.check_idle(&instances);
        }
        self.check_promoted(&instances);
        if self.scenario.has_budget() {
            // Who has to wait for the next hour is not late.
            return Ok(());
        }
        self.check_destroyed(&instances);
        self.check_refilled(&instances)
    }

    /// To be called whenever a fault was switched on, too, which may be over soon.
    pub(crate) fn note_troubles(&self) {
        let counts = self.trace.counts();
        let blows = counts.kills + counts.freezes + counts.cuts;
        self.troubles.note_blows(blows);
        let is_chaos = self.scenario.rates.chaos > 0.0;
        self.simulator
            .world(|world| self.troubles.note_faults(world.faults.rules(), is_chaos));
    }

    /// In calm weather nothing is idle whose agent is not ready.
    fn check_idle(&self, instances: &[Instance]) {
        for instance in instances.iter().filter(|it| it.status == "idle") {
            if !is_ready(&self.simulator, instance) {
                let sentence = format!("{} is idle, and its agent is not ready", instance.id);
                self.trace.violated("idle-is-ready", sentence);
            }
        }
    }

    /// An instance whose agent is ready is idle soon: one that was just made as soon as its agent is
    /// ready, since nobody has to list it for that; another once it is listed and has its turn.
    fn check_promoted(&self, instances: &[Instance]) {
        let scenario = &self.scenario;
        let ready = instances.iter().filter(|it| {
            it.status == "starting"
                && !it.delete_requested
                && !it.is_lacked
                && matches!(it.step.as_deref(), None | Some("created"))
                && is_ready(&self.simulator, it)
        });
        let is_calm = scenario.is_calm();
        let (soon, others): (Vec<_>, Vec<_>) = ready.partition(|it| {
            is_calm || (it.is_new && it.step.is_some() && it.has_url && !self.ails(it))
        });
        let listed = 2 * scenario.tick_interval + seconds(120);
        let excuses = [(Trouble::Servers, AFTER_BLOW), (Trouble::Listing, listed)];
        let said = "the agent is ready, and the instance is not idle";
        let within = PROMOTED_WITHIN + if is_calm { seconds(0) } else { BEHIND_SILENT };
        self.owed("idle-soon", &soon, within, &excuses, said);
        let within = AFTER_SILENCE + scenario.tick_interval + scenario.world.read_lag;
        self.owed("idle-in-time", &others, within, &excuses, said);
    }

    /// What is to be destroyed is destroyed soon, as far as Railway is concerned.
    fn check_destroyed(&self, instances: &[Instance]) {
        let scenario = &self.scenario;
        let doomed: Vec<_> = instances
            .iter()
            .filter(|it| it.status == "dead" || it.delete_requested)
            .filter(|it| matches!(it.step.as_deref(), None | Some("created" | "destroying")))
            .filter(|it| self.lives(&it.service_id))
            .collect();
        let listed = 2 * scenario.tick_interval + seconds(120);
        let again = AFTER_EDGE_BLOCK + 2 * scenario.tick_interval;
        // A destruction that could not be recorded is another try, too.
        let is_cut = scenario.rates.cuts > 0.0;
        let after_blow = AFTER_BLOW + if is_cut { AFTER_REFUSAL } else { seconds(0) };
        let excuses = [
            (Trouble::Servers, after_blow),
            (Trouble::Listing, listed),
            (Trouble::Ending, again),
        ];
        if doomed.len() > DESTROYED_AT_ONCE {
            self.troubles.note(Trouble::Ending);
        }
        let within = 2 * scenario.tick_interval + scenario.world.read_lag + seconds(45);
        let said = "it is to be destroyed, and its service lives";
        self.owed("destroyed-in-time", &doomed, within, &excuses, said);
    }

    /// What is missing is being made, whenever Railway and the accounts make anything.
    fn check_refilled(&self, instances: &[Instance]) -> Result<()> {
        let scenario = &self.scenario;
        let begun = "SELECT count(*) FROM public.provisions p WHERE step NOT IN ('created', 'destroying') \
                     AND NOT EXISTS (SELECT FROM public.instances i WHERE i.id = p.id)";
        let stock = instances
            .iter()
            .filter(|it| matches!(it.status.as_str(), "idle" | "starting"))
            .count();
        let mut missing = stock < scenario.target && instances.len() < scenario.cap;
        if missing {
            let begun: i64 = self.database.query(begun, &[])?[0].get(0);
            let begun = usize::try_from(begun).unwrap_or_default();
            missing = stock + begun < scenario.target && instances.len() + begun < scenario.cap;
        }
        if missing {
            missing = !self.waits_for_proof()?;
        }
        let refused = 2 * scenario.tick_interval + seconds(180);
        let excuses = [
            (Trouble::Servers, AFTER_BLOW),
            (Trouble::Listing, refused),
            (Trouble::Making, refused),
            (Trouble::OpenRouter, refused),
            (Trouble::AgentMail, refused),
            (Trouble::Services, seconds(600)),
        ];
        let rounds = u32::try_from(3 + scenario.target / 10).unwrap_or(u32::MAX);
        // Services that may be ours count for five minutes, before it is known whether they are.
        let adopted = seconds(if scenario.adoptees > 0 { 300 } else { 0 });
        let within = rounds * scenario.tick_interval + adopted + seconds(60);
        let said = "some of the stock are missing, and nothing is begun in their place";
        let whom = if missing {
            vec!["the pool".to_owned()]
        } else {
            Vec::new()
        };
        self.owed_to("refilled-in-time", whom, within, &excuses, said);
        Ok(())
    }

    /// Whether as many are under way as may be before one of them is proven ready, or none may be begun
    /// at all, by the record of the last round.
    fn waits_for_proof(&self) -> Result<bool> {
        let pace = "SELECT coalesce((SELECT pace->'stopped' <> 'null' \
                    OR jsonb_array_length(pace->'unproven') >= (pace->>'atOnce')::int \
                    FROM (SELECT report->'replenish'->'pace' AS pace FROM public.ticks \
                    ORDER BY id DESC LIMIT 1) AS last), false)";
        Ok(self.database.query(pace, &[])?[0].get(0))
    }

    /// Whether Railway said that nothing is left of its budget for this hour: it says so, too, when a
    /// fault refuses a request, whatever is left.
    fn hour_is_used_up(&self) -> Result<bool> {
        if self.scenario.world.limits.per_hour.is_none() {
            return Ok(false);
        }
        let budget = "SELECT coalesce((SELECT (report->'budget'->>'remaining')::int = 0 \
                      FROM public.ticks ORDER BY id DESC LIMIT 1), false)";
        Ok(self.database.query(budget, &[])?[0].get(0))
    }

    fn owed(
        &self,
        rule: &'static str,
        whom: &[&Instance],
        within: Duration,
        excuses: &[(Trouble, Duration)],
        said: &str,
    ) {
        let whom = whom.iter().map(|it| it.id.clone()).collect();
        self.owed_to(rule, whom, within, excuses, said);
    }

    /// These wait for what the rule is about, and must not have waited for longer.
    fn owed_to(
        &self,
        rule: &'static str,
        whom: Vec<String>,
        within: Duration,
        excuses: &[(Trouble, Duration)],
        said: &str,
    ) {
        let now = Instant::now();
        let until = self.troubles.excuse_until(excuses);
        let mut known = self.known();
        let owed = &mut known.owed;
        owed.retain(|(of, id), _| *of != rule || whom.contains(id));
        for id in whom {
            let since = *owed.entry((rule, id.clone())).or_insert(now);
            let since = until.map_or(since, |until| since.max(until));
            let waits = now.saturating_duration_since(since);
            if waits > within {
                let sentence = format!("{id}: for {} s {said}", waits.as_secs());
                self.trace.violated(rule, sentence);
            }
        }
    }

    /// Whether its agent has a fault.
    fn ails(&self, instance: &Instance) -> bool {
        self.simulator.world(|world| {
            let home = world.home().environment.clone();
            let key = (ServiceId::new(&instance.service_id), home);
            world
                .instance(&key)
                .is_none_or(|it| it.agent.fault.is_some())
        })
    }
}

/// How long an agent may take to say that it is ready, and be it.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Whether it is up and its agent says that it is ready.
fn is_ready(simulator: &Simulator, instance: &Instance) -> bool {
    simulator.world(|world| {
        let home = world.home().environment.clone();
        let key = (ServiceId::new(&instance.service_id), home);
        let Some(seen) = world.instance(&key) else {
            return false;
        };
        let is_up = seen
            .latest()
            .is_some_and(|it| it.status == DeploymentStatus::Success && !it.stopped);
        let Some(domain) = seen.domains.first().map(|it| it.domain.clone()) else {
            return false;
        };
        if !is_up {
            return false;
        }
        let call = AgentCall {
            method: "GET",
            path: "/pool/health",
            bearer: Some(API_KEY),
            body: b"",
        };
        let reply = world.agent_call(&domain, call);
        let is_heard = reply.delay <= AT_ONCE && reply.ending == Ending::Whole;
        matches!(reply.body, AgentBody::Json(body)
            if is_heard && reply.status == 200 && body["ready"] == true)
    })
}
