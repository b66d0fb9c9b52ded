//! When claims are made.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::caller::Caller;
use crate::figures::TURN;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// Each caller waits for his answer and calls again.
    Closed { callers: usize },
    /// Calls come one by one, at random, and whether others were answered or not.
    Poisson { per_second: f64 },
    /// So many at once.
    Bursts { of: u32, per_second: u32 },
}

/// What each call took, of those that were to be made in one turn, from the moment at which it was.
pub(crate) async fn turn(load: Load, port: u16, key: &str) -> Result<Vec<Duration>, Failure> {
    match load {
        Load::Closed { callers } => closed(callers, port, key).await,
        Load::Poisson { per_second } => {
            // The same moments in each turn, and on each machine.
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut at = Duration::ZERO;
            let moments = std::iter::from_fn(move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let share = (f64::from((state >> 40) as u32) + 1.0) / f64::from(1_u32 << 24);
                at += Duration::from_secs_f64(-share.min(1.0).ln() / per_second);
                (at < TURN).then_some(at)
            });
            open(moments.collect(), port, key).await
        }
        Load::Bursts { of, per_second } => {
            let bursts = 0..per_second * u32::try_from(TURN.as_secs())?;
            let at = bursts.map(|burst| Duration::from_secs(1) * burst / per_second);
            let moments = at.flat_map(|at| (0..of).map(move |_| at));
            open(moments.collect(), port, key).await
        }
    }
}

async fn closed(callers: usize, port: u16, key: &str) -> Result<Vec<Duration>, Failure> {
    let mut connected = Vec::new();
    for _ in 0..callers {
        connected.push(Caller::connect(port, key).await?);
    }
    let until = Instant::now() + TURN;
    let mut calling = JoinSet::new();
    for mut caller in connected {
        calling.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let began = Instant::now();
                caller.claim().await?;
                took.push(began.elapsed());
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(done) = calling.join_next().await {
        took.extend(done??);
    }
    Ok(took)
}

/// Each on a connection that is free, or on one of its own.
async fn open(moments: Vec<Duration>, port: u16, key: &str) -> Result<Vec<Duration>, Failure> {
    let free = Arc::new(Mutex::new(Vec::new()));
    let began = Instant::now();
    let mut calling = JoinSet::new();
    for moment in moments {
        let due = began + moment;
        sleep_until(due).await;
        let (free, key) = (Arc::clone(&free), key.to_owned());
        calling.spawn(async move {
            let known = free.lock().await.pop();
            let mut caller = match known {
                Some(caller) => caller,
                None => Caller::connect(port, &key).await?,
            };
            caller.claim().await?;
            free.lock().await.push(caller);
            Ok::<_, Failure>(due.elapsed())
        });
    }
    let mut took = Vec::new();
    while let Some(done) = calling.join_next().await {
        took.push(done??);
    }
    Ok(took)
}
