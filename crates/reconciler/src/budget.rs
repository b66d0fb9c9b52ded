//! Keeps what this server knows of Railway's budget and what all of them know the same. What may be
//! spent on what is decided in pool-railway.

use pool_db::{Db, budget};
use pool_railway::EnvironmentClient;
use tracing::debug;

use crate::Error;
use crate::leading::Leading;

/// Learns what other servers heard, before the first call to Railway.
pub(crate) async fn learn(db: &Db, railway: &EnvironmentClient) -> Result<(), Error> {
    if let Some(stored) = budget::load(db).await? {
        railway.load(&stored, db.now().await?);
    }
    Ok(())
}

/// Stores what this leader knows, and learns what others heard later.
pub(crate) async fn share(leading: &Leading) -> Result<(), Error> {
    let context = &leading.context;
    let now = context.db.now().await?;
    let Some(heard) = context.railway.heard(now) else {
        return Ok(());
    };
    if let Some(known) = budget::save(&context.db, leading.term, &heard).await? {
        context.railway.load(&known, now);
    }
    Ok(())
}

/// Stores a block as soon as it is known: a leader that is killed before its round ends would let
/// the next one run into it.
pub(crate) async fn share_block(leading: &Leading) -> Result<(), Error> {
    if leading.context.railway.is_blocked() {
        share(leading).await?;
    }
    Ok(())
}

/// After a round that failed. What cannot be stored now is stored with the next one's.
pub(crate) async fn share_after_failure(leading: &Leading) {
    if let Err(error) = share(leading).await {
        debug!(%error, "the budget was not stored; the next round stores it");
    }
}
