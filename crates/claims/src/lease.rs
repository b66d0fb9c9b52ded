//! Takes a lease: the oldest idle instance that this claim has not tried.

use std::time::Duration;

use pool_db::claims::{self, Leased};
use pool_domain::ClaimToken;
use tokio::time::{Instant, sleep};

use crate::claim::{Claim, Held};
use crate::settle::{Decision, Settlement};
use crate::{ClaimError, ClaimSettings};

/// The pauses before a lease whose answer was lost is asked for again, with the same token, so that
/// what the first ask took is found and not left to run out. A connection that was cut is replaced
/// within milliseconds; a database that is away longer than this is away.
const ASK_AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// A database that took that long to fail is not asked again: the caller is better told.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(1);

impl Claim {
    /// A lease, or none when the stock is empty. The caller's key, where he gave one, goes on to it.
    pub(crate) async fn lease(&mut self) -> Result<Option<Held>, ClaimError> {
        let mut repeats = ClaimSettings::LEASE_REPEATS.into_iter();
        loop {
            if let Some(held) = self.ask_of_verified().await? {
                if let Some(keyed) = &mut self.keyed {
                    keyed.leased_before = Some(held.token);
                }
                return Ok(Some(held));
            }
            let Some(pause) = repeats.next() else {
                return Ok(None);
            };
            let idle_exists = claims::idle_exists(&self.shared.db, &self.tried).await;
            if !idle_exists.map_err(ClaimError::Lease)? {
                return Ok(None);
            }
            sleep(pause).await;
        }
    }

    /// Asks for one lease; once more where the records had to be verified first.
    async fn ask_of_verified(&self) -> Result<Option<Held>, ClaimError> {
        match self.ask().await {
            Err(ClaimError::Unverified) => {
                self.shared.verify().await.map_err(ClaimError::Lease)?;
                self.ask().await
            }
            asked => asked,
        }
    }

    /// Asks for one lease under a new token, and again where the answer was lost.
    async fn ask(&self) -> Result<Option<Held>, ClaimError> {
        let token = ClaimToken::generate(self.shared.entropy.as_ref());
        let mut pauses = ASK_AGAIN_AFTER.into_iter();
        let began = Instant::now();
        let until = began + self.shared.settings.lease;
        let mut may_be_ours = false;
        let (db, settings) = (&self.shared.db, &self.shared.settings);
        loop {
            let keyed = self.keyed.as_ref();
            match claims::lease_idle(db, token, settings.lease, &self.tried, keyed).await {
                Ok(leased) => {
                    self.shared.changed();
                    return match leased {
                        Leased::Yes(lease) => {
                            self.shared.took();
                            Ok(Some(Held {
                                lease,
                                token,
                                until,
                            }))
                        }
                        Leased::NoneIdle => Ok(None),
                        Leased::Unverified => Err(ClaimError::Unverified),
                        // Somebody repeated this claim at the very same moment, and was first.
                        Leased::KeyTaken => Err(ClaimError::KeyInProgress {
                            decided_in: settings.lease,
                        }),
                    };
                }
                Err(error) => {
                    may_be_ours |= error.is_indeterminate();
                    match pauses.next() {
                        Some(pause)
                            if error.is_unavailable() && began.elapsed() < ASK_AGAIN_WITHIN =>
                        {
                            sleep(pause).await;
                        }
                        _ => {
                            if may_be_ours {
                                self.give_back(token, until).await;
                            }
                            return Err(ClaimError::Lease(error));
                        }
                    }
                }
            }
        }
    }

    /// Of a lease that nobody heard of no agent was called: it is found by its token and released, or
    /// it would cost the instance and the caller's key.
    async fn give_back(&self, token: ClaimToken, until: Instant) {
        let decision = Decision::Release {
            reason: "nobody heard of the lease".to_owned(),
            counts: false,
        };
        let settlement = Settlement {
            token,
            instance: None,
            decision,
            until,
        };
        settlement.settle_aside(&self.shared).await;
    }
}
