//! pool-claims' `Attempts`: lease, provision, confirm or release or abandon.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::InstanceId;

use crate::database::{Confirmation, DbError, Lease, Token};
use crate::outside::{ProvisionFailure, Provisioned};
use crate::place::Place;

const INSTANCES_MAX: usize = 3;
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
const BESIDE_PROVISION: Duration = Duration::from_secs(15);
const ATTEMPT_NEEDS: Duration = Duration::from_secs(10);
const ASK_AGAIN_AFTER: [u64; 2] = [50, 250];
const FAILURES_UNTIL_OPEN: usize = 5;
const TRIAL_AFTER: Duration = Duration::from_secs(1);

/// What one server remembers of the agents that failed.
#[derive(Clone, Default)]
pub(crate) struct Breaker(Rc<RefCell<BreakerState>>);

#[derive(Default)]
struct BreakerState {
    failed: Vec<InstanceId>,
    last_failure: Option<DateTime<Utc>>,
    trial: bool,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.0.borrow().failed.len() >= FAILURES_UNTIL_OPEN
    }

    /// Whether this claim is the one trial; none when it may not try at all.
    fn admit(&self, now: DateTime<Utc>) -> Option<bool> {
        if !self.is_open() {
            return Some(false);
        }
        let mut state = self.0.borrow_mut();
        let is_due = state.last_failure.is_none_or(|at| at + TRIAL_AFTER <= now);
        if state.trial || !is_due {
            return None;
        }
        state.trial = true;
        Some(true)
    }

    fn failed(&self, id: &InstanceId, now: DateTime<Utc>) {
        let mut state = self.0.borrow_mut();
        state.last_failure = Some(now);
        if state.failed.len() < FAILURES_UNTIL_OPEN && !state.failed.contains(id) {
            state.failed.push(id.clone());
        }
    }

    fn succeeded(&self) {
        let mut state = self.0.borrow_mut();
        state.failed.clear();
        state.last_failure = None;
    }
}

struct Held {
    lease: Lease,
    token: Token,
}

struct Attempts<'a> {
    place: &'a Place,
    breaker: &'a Breaker,
    agent_name: &'a str,
    tried: Vec<InstanceId>,
    is_trial: bool,
    began: DateTime<Utc>,
}

/// Claims one agent for a caller. The instance and what the caller is told, or the refusal.
pub(crate) async fn claim(
    place: &Place,
    breaker: &Breaker,
    agent_name: &str,
) -> Result<(InstanceId, Confirmation), String> {
    let began = place.sim.now();
    let Some(is_trial) = breaker.admit(began) else {
        return Err("503, the last agents all failed".to_owned());
    };
    let attempts = Attempts {
        place,
        breaker,
        agent_name,
        tried: Vec::new(),
        is_trial,
        began,
    };
    let outcome = attempts.run().await;
    if is_trial {
        breaker.0.borrow_mut().trial = false;
    }
    outcome
}

enum Outcome {
    Provisioned(Provisioned),
    Refused { reason: String },
    Failed { reason: String },
    Unknown { reason: String },
}

impl Attempts<'_> {
    async fn run(mut self) -> Result<(InstanceId, Confirmation), String> {
        let mut refused: Option<(Held, String)> = None;
        let mut last_reason = String::new();
        while self.may_try_another(refused.is_some()) {
            let held = match self.lease().await {
                Ok(Some(held)) => held,
                Ok(None) => break,
                Err(error) => {
                    self.put_back(refused).await;
                    return Err(format!("503, {error}"));
                }
            };
            self.tried.push(held.lease.id.clone());
            match self.provision(&held.lease).await {
                Outcome::Provisioned(provisioned) => {
                    let result = self.confirm(held, provisioned).await;
                    self.blame_first(&mut refused).await;
                    self.breaker.succeeded();
                    return result;
                }
                Outcome::Refused { reason } => {
                    if refused.is_some() {
                        self.put_back(refused).await;
                        self.put_back(Some((held, reason))).await;
                        return Err("502, the request is at fault".to_owned());
                    }
                    last_reason.clone_from(&reason);
                    refused = Some((held, reason));
                }
                Outcome::Failed { reason } => {
                    self.blame_first(&mut refused).await;
                    self.blame(&held, &reason).await;
                    last_reason = reason;
                }
                Outcome::Unknown { reason } => {
                    self.blame_first(&mut refused).await;
                    let token = held.token;
                    let given_up = self
                        .place
                        .statement("abandon the lease", |db| Ok(db.abandon(token, &reason)));
                    let _ = given_up.await;
                    return Err(format!("502, nobody knows: {reason}"));
                }
            }
        }
        self.put_back(refused).await;
        Err(match self.tried.len() {
            0 => "503, no idle instances".to_owned(),
            tried => format!("502, {tried} failed: {last_reason}"),
        })
    }

    fn may_try_another(&self, second_opinion_due: bool) -> bool {
        if self.tried.is_empty() {
            return true;
        }
        let needs = self.provision_timeout().min(ATTEMPT_NEEDS);
        let one_only = self.is_trial || self.breaker.is_open();
        self.tried.len() < INSTANCES_MAX
            && self.time_left() >= needs
            && (second_opinion_due || !one_only)
    }

    /// Under a new token, and again under the same where the answer was lost.
    async fn lease(&self) -> Result<Option<Held>, DbError> {
        let token = self.place.sim.random(|rng| rng.u64(..));
        let lease = self.place.sim.character.policy.claim_lease;
        let mut pauses = ASK_AGAIN_AFTER.into_iter();
        loop {
            let asked = self
                .place
                .statement("lease", |db| Ok(db.lease_idle(token, lease, &self.tried)));
            match asked.await {
                Ok(found) => return Ok(found.map(|lease| Held { lease, token })),
                Err(error) => match pauses.next() {
                    Some(pause) => self.sleep(pause).await,
                    None => return Err(error),
                },
            }
        }
    }

    async fn provision(&self, lease: &Lease) -> Outcome {
        let Some(url) = lease.url.as_deref() else {
            let reason = "its address is not known".to_owned();
            return Outcome::Failed { reason };
        };
        // That an agent was seen ready a moment ago spares the check.
        let is_vouched_for = self.place.sim.random(fastrand::Rng::bool);
        if !is_vouched_for && let Err(reason) = self.place.health(url, HEALTH_TIMEOUT).await {
            return Outcome::Failed { reason };
        }
        let limit = self.provision_timeout().min(self.time_left());
        match self.place.provision(url, self.agent_name, limit).await {
            Ok(provisioned) => Outcome::Provisioned(provisioned),
            Err(ProvisionFailure::Sure { reason, status }) => match status {
                Some(400 | 413) => Outcome::Refused { reason },
                _ => Outcome::Failed { reason },
            },
            Err(ProvisionFailure::Unknown { reason }) => Outcome::Unknown { reason },
        }
    }

    /// Repeated until the database answers.
    async fn confirm(
        &self,
        held: Held,
        provisioned: Provisioned,
    ) -> Result<(InstanceId, Confirmation), String> {
        let confirmation = Confirmation {
            agent_name: self.agent_name.to_owned(),
            conversation_id: provisioned.conversation_id,
            invite_url: provisioned.invite_url,
        };
        let mut pause = 50;
        loop {
            let token = held.token;
            let asked = self.place.statement("confirm the lease", |db| {
                Ok(db.confirm(token, &confirmation))
            });
            match asked.await {
                Ok(true) => return Ok((held.lease.id, confirmation)),
                Ok(false) => return Err("502, the lease was decided otherwise".to_owned()),
                Err(_) => self.sleep(pause).await,
            }
            pause = (pause * 2).min(1_000);
        }
    }

    async fn blame_first(&self, refused: &mut Option<(Held, String)>) {
        if let Some((first, reason)) = refused.take() {
            self.blame(&first, &reason).await;
        }
    }

    async fn blame(&self, held: &Held, reason: &str) {
        self.breaker.failed(&held.lease.id, self.place.sim.now());
        self.release(held, reason, true).await;
    }

    async fn put_back(&self, refused: Option<(Held, String)>) {
        if let Some((held, reason)) = refused {
            self.release(&held, &reason, false).await;
        }
    }

    /// If this fails, the lease runs out.
    async fn release(&self, held: &Held, reason: &str, counts: bool) {
        let released = self.place.statement("release the lease", |db| {
            Ok(db.release(held.token, reason, counts))
        });
        let _ = released.await;
    }

    fn provision_timeout(&self) -> Duration {
        self.place.sim.character.policy.provision_timeout
    }

    fn time_left(&self) -> Duration {
        let spent = self.place.sim.now() - self.began;
        let all = self.provision_timeout() + BESIDE_PROVISION;
        all.saturating_sub(spent.to_std().unwrap_or_default())
    }

    async fn sleep(&self, millis: u64) {
        let time = Duration::from_millis(millis);
        self.place.sim.scheduler.sleep(time).await;
    }
}
