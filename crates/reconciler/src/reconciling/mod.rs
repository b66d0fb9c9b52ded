//! Reconciling: lists, plans, writes rows, and hands over what is to be made and destroyed. A round
//! takes no input and is idempotent: the next one is the retry.

mod commands;
mod evidence;
mod log;
mod observe;
mod round;
mod write;

use std::sync::Arc;

use pool_domain::chain;
use pool_planner::Occasion;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

pub(crate) use self::round::Reconciler;
pub(crate) use self::write::ACTOR;
use crate::Error;
use crate::leading::Leading;

/// After a failed round, not the whole interval is waited.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Wait, go round, record; until `shutdown`, after which the present round is the last. Only another
/// leader ends it early.
pub(crate) async fn run(
    leading: Arc<Leading>,
    mut reconciler: Reconciler,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut occasion = Occasion::Due;
    let mut regular = Instant::now();
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        // The retry looks at the last listing again where there is one: what failed is ours, and Railway's
        // budget must not pay for it.
        let mut due = Occasion::Due;
        let next = match reconciler.go_round(occasion).await {
            Ok(went) => {
                leading.loops.reconciling.went(None);
                // Also where it looked at the last listing again: the next one is an interval away.
                if went.is_listed_anew || occasion == Occasion::Due {
                    regular = began + interval(&leading);
                }
                went.again_in
                    .map_or(regular, |soon| regular.min(Instant::now() + soon))
            }
            Err(error) if error.is_stale_term() => return Err(error),
            Err(error) => {
                let why = chain(&error);
                error!(error = %why, "the round failed; the next one is the retry");
                leading.loops.reconciling.went(Some(why));
                due = Occasion::Woken;
                Instant::now() + RETRY_AFTER
            }
        };
        occasion = tokio::select! {
            // In this order: after a round that took longer than the interval, the next one is due.
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = sleep_until(next) => due,
            () = leading.wake.notified() => Occasion::Woken,
        };
    }
    Ok(())
}

/// The interval, up to a tenth shorter or longer, so that servers of many pools do not call Railway
/// in step.
fn interval(leading: &Leading) -> Duration {
    let mut byte = [0];
    leading.context.entropy.fill(&mut byte);
    let factor = 0.9 + f64::from(byte[0]) / 255.0 * 0.2;
    leading.context.policy.tick_interval.mul_f64(factor)
}
