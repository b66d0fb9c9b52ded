//! What this server has seen of the records: older ones than these were restored.

use std::sync::{Arc, Mutex, PoisonError};

/// The newest state of the records that this server has seen: an older one was restored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(i64, i64)>>);

impl Seen {
    /// How often the records were doubted, and the newest tick.
    pub(crate) fn newest(&self) -> (i64, i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, generation: i64, tick: i64) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max((generation, tick));
    }
}
