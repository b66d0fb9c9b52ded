//! One claim: tries instances until one is provisioned, and settles each of their leases.

use pool_agent::{ProvisionFailure, Provisioned};
use pool_db::claims::Lease;
use pool_domain::Conversation;
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
    Failed {
        reason: String,
    },
    /// It is somebody's already.
    Bound(Option<FoundConversation>),
    Indeterminate {
        reason: String,
        timed_out: bool,
    },
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
                    self.blame_first(&mut refused).await;
                    self.shared.breaker.succeeded();
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
                Outcome::Failed { reason } => {
                    self.blame_first(&mut refused).await;
                    self.blame(&held, &reason).await;
                    last_reason = reason;
                }
                Outcome::Bound(conversation) => {
                    self.bound += 1;
                    self.bind(&held, conversation).await;
                }
                Outcome::Indeterminate { reason, timed_out } => {
                    self.blame_first(&mut refused).await;
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
        Err(match self.failures() {
            0 => ClaimError::NoIdle,
            tried => ClaimError::AllFailed {
                tried,
                reason: last_reason,
            },
        })
    }

    /// Three at most, within the time; while the breaker is open only one, unless that one blames
    /// the request and a second opinion is due. Those that are somebody's already do not count.
    fn may_try_another(&self, second_opinion_due: bool) -> bool {
        if self.tried.is_empty() {
            return true;
        }
        let needs = self
            .shared
            .settings
            .provision_timeout
            .min(ClaimSettings::ATTEMPT_NEEDS);
        let one_only = self.pass.is_trial() || self.shared.breaker.is_open();
        self.failures() < ClaimSettings::INSTANCES_MAX
            && self.bound < ClaimSettings::BOUND_MAX
            && self.time_left() >= needs
            && (second_opinion_due || !one_only || self.failures() == 0)
    }

    async fn provision(&self, held: &Held) -> Outcome {
        let lease = &held.lease;
        let failed = |reason: String| Outcome::Failed { reason };
        let Some(url) = lease.url.as_deref() else {
            return failed("its address is not known".to_owned());
        };
        let agent = &self.shared.agent;
        if !agent.last_ready_within(url, ClaimSettings::READY_VOUCHES_FOR)
            && let Err(not_ready) = agent
                .health(url, self.time_for(held).min(ClaimSettings::HEALTH_TIMEOUT))
                .await
        {
            return failed(format!("health: {not_ready}"));
        }
        fail_point!("claim.before_provision");
        match agent
            .provision(url, &self.request, self.time_for(held))
            .await
        {
            Ok(provisioned) => Outcome::Provisioned(provisioned),
            Err(ProvisionFailure::Definite { reason, status }) => match status {
                Some(status) if REQUEST_AT_FAULT.contains(&status) => {
                    Outcome::Refused { status, reason }
                }
                _ => failed(reason),
            },
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
        match asked {
            Conversation::In {
                conversation_id,
                invite_url,
            } => Some(FoundConversation {
                conversation_id,
                invite_url,
            }),
            _ => None,
        }
    }

    /// The instance whose refusal no other one shared is at fault itself.
    async fn blame_first(&self, refused: &mut Option<(Held, String)>) {
        if let Some((first, reason)) = refused.take() {
            self.blame(&first, &reason).await;
        }
    }

    async fn blame(&self, held: &Held, reason: &str) {
        self.shared.breaker.failed(&held.lease.id);
        self.release(held, reason, true).await;
    }

    /// Back into the stock, with nobody blamed.
    async fn put_back(&self, refused: Option<(Held, String)>) {
        if let Some((held, reason)) = refused {
            self.release(&held, &reason, false).await;
        }
    }
}
