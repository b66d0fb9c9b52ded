//! One claim: tries instances until one is provisioned, and settles each of their leases.

use std::time::Duration;

use pool_agent::{Heard, NotReady, ProvisionFailure, Provisioned};
use pool_db::claims::Lease;
use pool_domain::write::FoundConversation;
use pool_failpoints::fail_point;

use crate::claim::{Claim, Held};
use crate::{ClaimError, ClaimSettings, Claimed};

/// The answers by which an agent says that the request itself is at fault. One agent may be wrong
/// about that, so another is asked.
const REQUEST_AT_FAULT: [u16; 2] = [400, 413];

/// How one instance took the request.
enum Outcome {
    Provisioned(Provisioned),
    /// Definitely not provisioned, and the agent says that the request is at fault.
    Refused {
        status: u16,
        reason: String,
    },
    /// Definitely not provisioned, for a reason of its own.
    Failed(Failure),
    /// It is somebody's already.
    Bound(Option<FoundConversation>),
    Indeterminate {
        reason: String,
        timed_out: bool,
    },
}

/// Why an agent was definitely not provisioned.
struct Failure {
    reason: String,
    heard: Heard,
    /// Whether it was asked to be provisioned at all.
    was_sent: bool,
}

impl Claim {
    /// Tries instances until one is provisioned, none is left, or enough failed.
    pub(crate) async fn run(mut self) -> Result<Claimed, ClaimError> {
        // The first instance that refused the request keeps its lease until another has answered.
        let mut refused: Option<(Held, String)> = None;
        let mut last_reason = String::new();
        while self.may_try_another(refused.is_some()) {
            fail_point!("claim.before_lease");
            let held = match self.lease().await {
                Ok(Some(held)) => held,
                Ok(None) => break,
                Err(error) => {
                    self.put_back(refused).await;
                    return Err(error);
                }
            };
            fail_point!("claim.after_lease");
            self.tried.push(held.lease.id.clone());
            match self.provision(&held).await {
                Outcome::Provisioned(provisioned) => {
                    fail_point!("claim.before_confirm");
                    let result = self.confirm(held, provisioned).await;
                    fail_point!("claim.after_confirm");
                    self.shared.breaker.succeeded();
                    if let Some((first, reason)) = refused {
                        // This success is the contrast.
                        self.release(&first, &reason, !self.pass.is_trial()).await;
                    }
                    return result;
                }
                Outcome::Refused { status, reason } => {
                    if refused.is_some() {
                        self.put_back(refused).await;
                        self.put_back(Some((held, reason))).await;
                        return Err(ClaimError::RequestRefused { status });
                    }
                    last_reason.clone_from(&reason);
                    refused = Some((held, reason));
                }
                Outcome::Failed(failure) => {
                    self.blame_first(&mut refused).await;
                    self.unsent += usize::from(!failure.was_sent);
                    self.blame(&held, &failure.reason, failure.heard).await;
                    last_reason = failure.reason;
                }
                Outcome::Bound(conversation) => {
                    self.bound += 1;
                    self.bind(&held, conversation).await;
                }
                Outcome::Indeterminate { reason, timed_out } => {
                    self.blame_first(&mut refused).await;
                    let breaker = &self.shared.breaker;
                    breaker.failed(&held.lease.id, &reason, Heard::Answer);
                    self.abandon(&held, &reason, timed_out).await;
                    return Err(ClaimError::Indeterminate {
                        timed_out,
                        reason,
                        is_replayed: false,
                    });
                }
            }
        }
        self.put_back(refused).await;
        let tried = self.failures();
        if tried == 0 {
            return Err(ClaimError::NoIdle);
        }
        self.shared.note_if_exhausted().await;
        Err(ClaimError::AllFailed {
            tried,
            reason: last_reason,
        })
    }

    /// Within the time three at most, and more where nothing was sent to those that failed; while claims
    /// are refused only one, or as many as take a moment, unless that one blames the request and a second
    /// opinion is due. Those that are somebody's already do not count.
    fn may_try_another(&self, second_opinion_due: bool) -> bool {
        if self.tried.is_empty() {
            return true;
        }
        if self.time_left() < self.needs() || self.bound >= ClaimSettings::BOUND_MAX {
            return false;
        }
        let failures = self.failures();
        if failures == 0 || second_opinion_due {
            return true;
        }
        let nothing_sent = self.unsent == failures && failures < ClaimSettings::UNSENT_MAX;
        if self.pass.is_trial() || self.shared.breaker.is_open() {
            nothing_sent && self.took() < ClaimSettings::TRIAL_WALKS_FOR
        } else {
            nothing_sent || failures < ClaimSettings::INSTANCES_MAX
        }
    }

    /// How much time an attempt must have.
    fn needs(&self) -> Duration {
        let provision = self.shared.settings.provision_timeout;
        provision.min(ClaimSettings::ATTEMPT_NEEDS)
    }

    async fn provision(&self, held: &Held) -> Outcome {
        let lease = &held.lease;
        let Some(url) = lease.url.as_deref() else {
            return Outcome::unsent("its address is not known".to_owned(), Heard::NoConnection);
        };
        let agent = &self.shared.agent;
        // Once one failed, what was heard before says nothing any more, and patience is due.
        let is_calm = self.shared.breaker.is_calm();
        let is_vouched_for =
            is_calm && agent.last_ready_within(url, ClaimSettings::READY_VOUCHES_FOR);
        if !is_vouched_for {
            let patience = if is_calm {
                ClaimSettings::HEALTH_TIMEOUT
            } else {
                ClaimSettings::PATIENCE
            };
            let limit = patience.min(self.time_for(held));
            if let Err(NotReady { reason, heard }) = agent.health(url, limit).await {
                return Outcome::unsent(format!("health: {reason}"), heard);
            }
        }
        let limit = self.time_for(held);
        if limit < self.needs() / 2 {
            let reason = "its lease leaves no time to provision it".to_owned();
            return Outcome::unsent(reason, Heard::Nothing);
        }
        fail_point!("claim.before_provision");
        match agent.provision(url, &self.request, limit).await {
            Ok(provisioned) => Outcome::Provisioned(provisioned),
            Err(ProvisionFailure::Definite { reason, status }) => match status {
                Some(status) if REQUEST_AT_FAULT.contains(&status) => {
                    Outcome::Refused { status, reason }
                }
                Some(_) => Outcome::Failed(Failure {
                    reason,
                    heard: Heard::Answer,
                    was_sent: true,
                }),
                None => Outcome::unsent(reason, Heard::NoConnection),
            },
            Err(ProvisionFailure::NotCalled { reason }) => {
                Outcome::unsent(reason, Heard::NotCalled)
            }
            Err(ProvisionFailure::Bound { conversation, .. }) => {
                Outcome::Bound(match conversation {
                    Some(named) => Some(named),
                    None => self.conversation_of(lease, url).await,
                })
            }
            Err(ProvisionFailure::Indeterminate { reason, timed_out }) => {
                Outcome::Indeterminate { reason, timed_out }
            }
        }
    }

    /// In which conversation an agent is that said so, and did not say in which.
    async fn conversation_of(&self, lease: &Lease, url: &str) -> Option<FoundConversation> {
        let (agent, limit) = (
            &self.shared.agent,
            ClaimSettings::CONVERSATION_TIMEOUT.min(self.time_left()),
        );
        let asked = match &lease.gateway_token {
            Some(token) => {
                agent
                    .conversation_with_gateway_token(url, token, limit)
                    .await
            }
            None => agent.conversation(url, limit).await,
        };
        asked.named()
    }

    /// The instance whose refusal no other one shared is at fault itself.
    async fn blame_first(&self, refused: &mut Option<(Held, String)>) {
        if let Some((first, reason)) = refused.take() {
            self.blame(&first, &reason, Heard::Answer).await;
        }
    }

    /// It failed; whether it is to blame depends on whether others do not. One that says nothing may
    /// only be slow, which its probes find out; one that was not called did nothing; and who is tried
    /// while all fail is to blame for nothing.
    async fn blame(&self, held: &Held, reason: &str, heard: Heard) {
        let stands_out = self.shared.breaker.failed(&held.lease.id, reason, heard);
        let says_something = matches!(heard, Heard::Answer | Heard::NoConnection);
        let is_to_blame = stands_out && says_something && !self.pass.is_trial();
        self.release(held, reason, is_to_blame).await;
    }

    /// Back into the stock, with nobody blamed.
    async fn put_back(&self, refused: Option<(Held, String)>) {
        if let Some((held, reason)) = refused {
            self.release(&held, &reason, false).await;
        }
    }
}

impl Outcome {
    /// Definitely not provisioned, since it was not even asked.
    fn unsent(reason: String, heard: Heard) -> Self {
        Self::Failed(Failure {
            reason,
            heard,
            was_sent: false,
        })
    }
}
