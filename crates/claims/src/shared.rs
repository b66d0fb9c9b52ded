//! What every claim of a server works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_agent::AgentClient;
use pool_db::{Db, record};
use pool_domain::Entropy;
use tokio::sync::Notify;

use crate::ClaimSettings;
use crate::breaker::Breaker;
use crate::tasks::Tasks;

/// What every claim works with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) agent: AgentClient,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: ClaimSettings,
    pub(crate) breaker: Breaker,
    pub(crate) tasks: Tasks,
    changes: AtomicU64,
    /// Told of every instance that is taken from the stock.
    pub(crate) taken: Arc<Notify>,
}

impl Shared {
    pub(crate) fn new(
        db: Db,
        agent: AgentClient,
        entropy: Arc<dyn Entropy>,
        settings: ClaimSettings,
    ) -> Self {
        Self {
            db,
            agent,
            entropy,
            settings,
            breaker: Breaker::default(),
            tasks: Tasks::default(),
            changes: AtomicU64::new(0),
            taken: Arc::default(),
        }
    }

    /// Makes sure that the records are not older than the world, or that nothing is taken on their word.
    pub(crate) async fn verify(&self) -> Result<(), pool_db::Error> {
        if let Some(doubted) = record::verify(&self.db).await? {
            self.changed();
            tracing::error!("{doubted}");
        }
        Ok(())
    }

    /// Notes that a claim may have changed a row.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that a claim has taken an instance from the stock.
    pub(crate) fn took(&self) {
        self.taken.notify_one();
    }

    /// How many times that was noted.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }
}
