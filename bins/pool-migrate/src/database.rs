//! The database of a pool that is up to date, for what is done to its rows.

use pool_db::{Db, DbSettings};
use pool_domain::Secret;

use crate::failure::Failure;

/// Connects; refuses before contraction, since until then rows may be missing.
pub(crate) async fn contracted(url: &str) -> Result<Db, Failure> {
    let db = Db::connect(&DbSettings {
        pool_size: 2,
        claim_pool_size: 1,
        ..DbSettings::new(Secret::new(url))
    })
    .await?;
    if !db.is_contracted().await? {
        return Err(Failure::refused(
            "only after contraction: run `pool-migrate up --contract` first",
        ));
    }
    Ok(db)
}
