//! A modelled server: the driver that leads where it may, the expiry of leases, and claims. Each
//! function mirrors the one of its name in pool-reconciler or pool-claims, step by step.

mod claim;
mod create;
mod destroy;
mod execute;
mod observe;
mod tick;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use pool_domain::Term;
use pool_planner::History;

pub(crate) use claim::{Breaker, claim};

use crate::database::DbError;
use crate::place::Place;
use crate::sim::Sim;
use crate::story::Kind;
use tick::Leader;

/// The leader makes sure so often that it still holds the lock.
const PING_EVERY: Duration = Duration::from_secs(2);
/// After a failed tick, not the whole interval is waited.
const RETRY_TICK_AFTER: Duration = Duration::from_secs(2);
/// Every server ends run-out leases so often.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// Starts a life of a server.
pub(crate) fn start(sim: &Rc<Sim>, server: usize) {
    let owner = sim.new_owner();
    sim.lives.borrow_mut()[server] = Some(owner);
    sim.tell(Kind::Outside, || format!("server {} starts", server + 1));
    let place = Place {
        sim: Rc::clone(sim),
        owner,
        server,
    };
    sim.scheduler.spawn(owner, drive(place.clone()));
    sim.scheduler.spawn(owner, expire_leases(place));
}

async fn expire_leases(place: Place) {
    let lease = place.sim.character.policy.claim_lease;
    loop {
        let expired = place.statement("expire leases", |db| Ok(db.expire(lease)));
        for id in expired.await.unwrap_or_default() {
            place
                .sim
                .tell(Kind::People, || format!("the lease of {id} ran out"));
        }
        place.sim.scheduler.sleep(EXPIRE_EVERY).await;
    }
}

/// Leads again and again, until the server ends.
async fn drive(place: Place) {
    loop {
        let owner = place.owner;
        let led = place.statement("try to lead", |db| Ok(db.try_lead(owner)));
        let led = led.await;
        if led.is_err() {
            // A connection that failed is dropped, and the lock with it.
            place.sim.database(|db| db.lose_lock(owner, Duration::ZERO));
        }
        if let Ok(Some(term)) = led {
            place.sim.tell(Kind::Outside, || {
                format!("server {} leads, term {term}", place.server + 1)
            });
            let why = lead(&place, term).await;
            place.sim.tell(Kind::Outside, || {
                format!("server {} leads no more: {why}", place.server + 1)
            });
            let _ = place
                .statement("resign", |db| {
                    db.resign(owner, term);
                    Ok(())
                })
                .await;
        }
        place.sim.scheduler.sleep(PING_EVERY).await;
    }
}

/// Whichever ends first ends the other: without the lock nothing may be done.
async fn lead(place: &Place, term: Term) -> DbError {
    let history = place
        .sim
        .database(|db| History::new(db.last_complete_at).at_pace(db.pace.clone()));
    let mut leader = Leader::new(place.clone(), term, history);
    match select(pin!(hold(place)), pin!(tick_on(&mut leader))).await {
        Either::Left((why, _)) | Either::Right((why, _)) => why,
    }
}

async fn hold(place: &Place) -> DbError {
    loop {
        place.sim.scheduler.sleep(PING_EVERY).await;
        // That a connection is gone is not noticed at once.
        place.pause(1, 1_000).await;
        if place.sim.database(|db| db.lock_holder()) != Some(place.owner) {
            return DbError::Unavailable;
        }
    }
}

async fn tick_on(leader: &mut Leader) -> DbError {
    let sim = Rc::clone(&leader.place.sim);
    loop {
        let interval = sim.character.policy.tick_interval;
        let factor = sim.random(|rng| 0.9 + rng.f64() * 0.2);
        let regular = sim.now() + interval.mul_f64(factor);
        let next = match leader.tick().await {
            Ok(again_in) => again_in.map_or(regular, |soon| regular.min(sim.now() + soon)),
            Err(DbError::StaleTerm) => return DbError::StaleTerm,
            Err(error) => {
                sim.tell(Kind::Outside, || format!("the tick failed: {error}"));
                sim.now() + RETRY_TICK_AFTER
            }
        };
        // A person's command wakes the leader; so often it is looked at here.
        while sim.now() < next && !sim.database(|db| db.has_commands()) {
            let left = (next - sim.now()).to_std().unwrap_or_default();
            sim.scheduler.sleep(left.min(Duration::from_secs(1))).await;
        }
    }
}
