//! Takes a lease: the oldest idle instance that this claim has not tried.

use std::time::Duration;

use pool_db::claims::keyed::{self, Leased};
use pool_db::claims::{self, Lease};
use pool_domain::ClaimToken;
use tokio::time::{Instant, sleep};

use crate::attempts::{Attempts, Held};
use crate::{ClaimError, ClaimSettings};

/// The pauses before a lease whose answer was lost is asked for again, with the same token, so that
/// what the first ask took is found and not left to run out. A connection that was cut is replaced
/// within milliseconds; a database that is away longer than this is away.
const ASK_AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// A database that took that long to fail is not asked again: the caller is better told.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(1);

impl Attempts<'_> {
    /// A lease, or none when the stock is empty. `before` is the one that this claim still holds.
    pub(crate) async fn lease(
        &self,
        before: Option<ClaimToken>,
    ) -> Result<Option<Held>, ClaimError> {
        let mut repeats = ClaimSettings::LEASE_REPEATS.into_iter();
        loop {
            if let Some(held) = self.ask(before).await? {
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

    /// Asks for one lease under a new token, and again where the answer was lost.
    async fn ask(&self, before: Option<ClaimToken>) -> Result<Option<Held>, ClaimError> {
        let token = ClaimToken::generate(self.shared.entropy.as_ref());
        let mut pauses = ASK_AGAIN_AFTER.into_iter();
        let began = Instant::now();
        loop {
            match self.ask_once(before, token).await {
                Ok(found) => {
                    self.shared.changed();
                    return Ok(found?.map(|lease| Held { lease, token }));
                }
                Err(error) => match pauses.next() {
                    Some(pause) if error.is_unavailable() && began.elapsed() < ASK_AGAIN_WITHIN => {
                        sleep(pause).await;
                    }
                    _ => return Err(ClaimError::Lease(error)),
                },
            }
        }
    }

    async fn ask_once(
        &self,
        before: Option<ClaimToken>,
        token: ClaimToken,
    ) -> Result<Result<Option<Lease>, ClaimError>, pool_db::Error> {
        let (db, lease) = (&self.shared.db, self.shared.settings.lease);
        let Some(keyed) = &self.keyed else {
            return claims::lease_idle(db, token, lease, &self.tried)
                .await
                .map(Ok);
        };
        let leased = keyed::lease_idle(db, keyed, before, token, lease, &self.tried).await?;
        Ok(match leased {
            Leased::Yes(lease) => Ok(Some(lease)),
            Leased::NoneIdle => Ok(None),
            // Somebody repeated this claim at the very same moment, and was first.
            Leased::KeyTaken => Err(ClaimError::KeyInProgress { decided_in: lease }),
        })
    }
}
