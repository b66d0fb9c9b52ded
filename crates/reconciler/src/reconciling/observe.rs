//! The first part of a round: what Railway lists, what is recorded, and what the agents said since the
//! last one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use pool_domain::{Listing, Status};
use pool_planner::{History, Index, Occasion, Snapshot, adoption, may_look_again, probes};
use tokio::time::timeout;

use super::evidence::{Foreign, evidence};
use crate::leading::{Leading, Seen};
use crate::{Context, Error, limits};

/// What one observation saw.
pub(crate) struct Observed {
    pub(crate) snapshot: Snapshot,
    /// Whether Railway was asked for it, and not looked at again.
    pub(crate) is_listed_anew: bool,
    /// Rows that this build cannot read.
    pub(crate) unreadable: Vec<String>,
    /// What failed on the way.
    pub(crate) failures: Vec<(String, String)>,
}

/// Observes. Only the database's refusal ends it: Railway's silence is an observation too. Shows
/// promoting what was seen.
pub(crate) async fn observe(
    leading: &Leading,
    foreign: &mut Foreign,
    (occasion, history): (Occasion, &History),
    requested_creates: usize,
    somebody_asked: bool,
) -> Result<Observed, Error> {
    let context = &*leading.context;
    // The listing begins at the database's time, so that its absence can be judged against rows.
    let started_at = context.db.now().await?;
    leading.loops.reconciling.at("listing");
    // One that the budget wants later is no failed one: nothing went wrong, and the last one stands.
    let is_due = somebody_asked || context.railway.listing_not_due().is_none();
    let mut movement = history.movement(started_at);
    if leading.book().tells_of_trouble() {
        movement.last_at = None;
    }
    let policy = &context.policy;
    let last = leading.seen().filter(|seen| {
        let is_young = may_look_again(&seen.listing, occasion, movement, started_at, policy);
        !is_due || (is_young && !somebody_asked)
    });
    let is_listed_anew = last.is_none();
    let listing = match last {
        Some(seen) => seen.listing.clone(),
        None => list(context, started_at, somebody_asked).await,
    };
    leading.loops.reconciling.at("reading rows");
    // Before the rows: these tell how whatever is not in flight by now has ended.
    let in_flight = leading.in_flight();
    // The rows are read after the listing: a service in it whose row was made meanwhile is known.
    let loaded = bounded(pool_db::instances::load(&context.db)).await?;
    let provisions = bounded(pool_db::provisions::load(&context.db)).await?;
    let said = leading.book().take(&loaded.rows);

    let mut snapshot = Snapshot {
        now: loaded.now,
        rows: loaded.rows,
        unreadable: loaded.unreadable_services,
        provisions,
        listing,
        probes: said.probes,
        conversations: said.conversations,
        evidence: HashMap::new(),
        managers: pool_db::managers::load(&context.db).await?,
        requested_creates,
        fuse: pool_db::fuse::load(&context.db).await?,
        in_flight,
    };
    show(leading, &snapshot);
    let mut failures = Vec::new();
    let candidates = {
        let index = Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing)
            .with_unreadable(&snapshot.unreadable);
        let found = adoption::candidates(&index, &snapshot.listing, &context.identity);
        found.into_iter().cloned().collect()
    };
    leading.loops.reconciling.at("reading variables");
    let now = snapshot.now;
    let known = evidence(
        context,
        candidates,
        &snapshot.managers,
        foreign,
        now,
        is_listed_anew,
        &mut failures,
    );
    snapshot.evidence = known.await?;
    Ok(Observed {
        snapshot,
        is_listed_anew,
        unreadable: loaded.unreadable,
        failures,
    })
}

/// Promoting goes by this until the next round.
fn show(leading: &Leading, snapshot: &Snapshot) {
    let Snapshot {
        rows,
        provisions,
        listing,
        ..
    } = snapshot;
    let index = Index::new(rows, provisions, listing);
    let targets = probes(rows, &index, listing, &leading.context.identity).into_iter();
    let to_confirm = targets
        .filter(|target| matches!(target.status, Status::Claimed | Status::Crashed))
        .map(|target| target.id);
    leading.show(Seen {
        to_confirm: to_confirm.collect(),
        listing: listing.clone(),
        provisions: provisions.clone(),
    });
}

/// Lists, unless the budget wants it later and no person asked for this round: then there is none, and
/// there was none before either.
async fn list(context: &Context, started_at: DateTime<Utc>, by_a_person: bool) -> Listing {
    let not_due = context.railway.listing_not_due();
    if let Some(why) = not_due.filter(|_| !by_a_person) {
        return Listing::failed(started_at, why);
    }
    timeout(limits::LIST, context.railway.list(started_at))
        .await
        .unwrap_or_else(|_elapsed| {
            Listing::failed(
                started_at,
                format!("not listed within {} s", limits::LIST.as_secs()),
            )
        })
}

async fn bounded<T>(read: impl Future<Output = Result<T, pool_db::Error>>) -> Result<T, Error> {
    let limit = limits::READ_ROWS;
    match timeout(limit, read).await {
        Ok(read) => Ok(read?),
        Err(_elapsed) => {
            Err(pool_db::Error::Wait(format!("rows not read within {} s", limit.as_secs())).into())
        }
    }
}
