//! Takes a lease: the oldest idle instance that this claim has not tried.

use std::time::Duration;

use pool_db::claims;
use pool_domain::ClaimToken;
use tokio::time::{Instant, sleep};

use crate::ClaimSettings;
use crate::attempts::{Attempts, Held};

/// The pauses before a lease whose answer was lost is asked for again, with the same token, so that
/// what the first ask took is found and not left to run out. A connection that was cut is replaced
/// within milliseconds; a database that is away longer than this is away.
const ASK_AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// A database that took that long to fail is not asked again: the caller is better told.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(1);

impl Attempts<'_> {
    /// A lease, or none when the stock is empty.
    pub(crate) async fn lease(&self) -> Result<Option<Held>, pool_db::Error> {
        let mut repeats = ClaimSettings::LEASE_REPEATS.into_iter();
        loop {
            if let Some(held) = self.ask().await? {
                return Ok(Some(held));
            }
            let Some(pause) = repeats.next() else {
                return Ok(None);
            };
            if !claims::idle_exists(&self.shared.db, &self.tried).await? {
                return Ok(None);
            }
            sleep(pause).await;
        }
    }

    /// Asks for one lease under a new token, and again where the answer was lost.
    async fn ask(&self) -> Result<Option<Held>, pool_db::Error> {
        let token = ClaimToken::generate(self.shared.entropy.as_ref());
        let mut pauses = ASK_AGAIN_AFTER.into_iter();
        let began = Instant::now();
        loop {
            let lease = self.shared.settings.lease;
            match claims::lease_idle(&self.shared.db, token, lease, &self.tried).await {
                Ok(found) => {
                    self.shared.changed();
                    return Ok(found.map(|lease| Held { lease, token }));
                }
                Err(error) => match pauses.next() {
                    Some(pause) if error.is_unavailable() && began.elapsed() < ASK_AGAIN_WITHIN => {
                        sleep(pause).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}
