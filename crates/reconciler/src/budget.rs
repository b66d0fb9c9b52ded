//! Keeps what this server knows of Railway's budget and what all of them know the same. What may be
//! spent on what is decided in pool-railway.

use pool_db::{Db, budget};
use pool_domain::{Report, Term};
use pool_planner::Plan;
use pool_railway::EnvironmentClient;
use tracing::debug;

use crate::{Error, Outside};

/// Learns what other servers heard, before the first call to Railway.
pub(crate) async fn learn(db: &Db, railway: &EnvironmentClient) -> Result<(), Error> {
    if let Some(stored) = budget::load(db).await? {
        railway.load(&stored, db.now().await?);
    }
    Ok(())
}

/// Stores what this leader knows, and learns what others heard later.
pub(crate) async fn share(outside: &Outside, term: Term) -> Result<(), Error> {
    let now = outside.db.now().await?;
    let Some(heard) = outside.railway.heard(now) else {
        return Ok(());
    };
    if let Some(known) = budget::save(&outside.db, term, &heard).await? {
        outside.railway.load(&known, now);
    }
    Ok(())
}

/// Stores a block as soon as it is known: a leader that is killed before its tick ends would let
/// the next one run into it.
pub(crate) async fn share_block(outside: &Outside, term: Term) -> Result<(), Error> {
    if outside.railway.is_blocked() {
        share(outside, term).await?;
    }
    Ok(())
}

/// After a tick that failed. What cannot be stored now is stored with the next tick's.
pub(crate) async fn share_after_failure(outside: &Outside, term: Term) {
    if let Err(error) = share(outside, term).await {
        debug!(%error, "the budget was not stored; the next tick stores it");
    }
}

/// Takes out of the plan what Railway's budget would refuse, but not what a person asked for: its
/// intents are made when there is a budget again.
pub(crate) fn hold_back_creates(
    outside: &Outside,
    requested: usize,
    plan: &mut Plan,
    report: &mut Report,
) {
    let left = usize::try_from(outside.railway.creates_left()).unwrap_or(usize::MAX);
    let create = plan.create.min(left.max(requested));
    report.hold_back(
        "creating instances",
        "the rest of Railway's budget is kept for listing and destroying",
        plan.create - create,
    );
    plan.create = create;
}
