//! How whoever changes a table asks for it: a short wait, and again after everybody else had a turn.
//! While somebody waits for a whole table, all others wait behind him.

use std::time::Duration;

use tokio::time::sleep;

use crate::error::Error;

/// Then everybody who waited goes first,
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// and after most of a minute of that somebody has to look who holds it.
const TRIES: u32 = 30;

/// The tries of one transaction that needs whole tables. It begins with
/// `SET LOCAL lock_timeout` of [`LIMIT_MS`](Self::LIMIT_MS).
#[derive(Debug, Default)]
pub struct LockTries {
    made: u32,
}

impl LockTries {
    /// How long each try waits: less than half a second, so that with the work itself no claim waits
    /// for a whole one.
    pub const LIMIT_MS: u32 = 400;
    /// How many there are.
    pub const ALL: u32 = TRIES;

    /// How many have failed.
    #[must_use]
    pub const fn made(&self) -> u32 {
        self.made
    }

    /// Whether to try again after this error, having let the others go first.
    pub async fn again_after(&mut self, error: &Error) -> bool {
        // One that goes through rows may meet another that goes through them the other way.
        let is_for_lock = matches!(error, Error::Wait(why)
            if why.contains("lock timeout") || why.contains("deadlock detected"));
        self.made += 1;
        if !is_for_lock || self.made >= TRIES {
            return false;
        }
        if self.made == 1 {
            tracing::info!(%error, "waiting for a lock");
        }
        sleep(RETRY_AFTER).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn no_migration_waits_longer_for_a_lock_than_a_try_may() {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let may_wait = format!("SET LOCAL lock_timeout = '{}ms';", LockTries::LIMIT_MS);
        let mut looked_at = 0;
        for migration in fs::read_dir(migrations).unwrap() {
            for file in ["up.sql", "down.sql"] {
                let path = migration.as_ref().unwrap().path().join(file);
                let text = fs::read_to_string(&path).unwrap_or_default();
                for line in text
                    .lines()
                    .filter(|it| it.contains("SET LOCAL lock_timeout"))
                {
                    assert_eq!(line, may_wait, "{}", path.display());
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 30, "{looked_at}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_asked_for_again_and_again_and_nothing_else_is() {
        let busy = Error::Wait("canceling statement due to lock timeout".to_owned());
        let (mut tries, began) = (LockTries::default(), Instant::now());
        while tries.again_after(&busy).await {}
        assert_eq!(tries.made(), LockTries::ALL);
        assert_eq!(began.elapsed(), RETRY_AFTER * (TRIES - 1));
        let circle = Error::Wait("deadlock detected".to_owned());
        assert!(LockTries::default().again_after(&circle).await);
        let slow = Error::Wait("canceling statement due to statement timeout".to_owned());
        assert!(!LockTries::default().again_after(&slow).await);
    }
}
