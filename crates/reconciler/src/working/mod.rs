//! Building and destroying: works on what the rounds handed over, each instance by itself and each
//! step within a limit of its own. A round plans nothing for an instance that is worked on.

mod blueprint;
mod committing;
mod draft;
mod ending;
mod lanes;
mod making;
mod tools;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pool_domain::chain;
use pool_planner::{Destruction, is_commit_due};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::blueprint::Blueprint;
pub(crate) use self::blueprint::new_gateway_token;
pub(crate) use self::draft::Draft;
use self::making::Made;
use self::tools::Tools;
use crate::leading::{Leading, Place};
use crate::{Error, limits};

/// What a round hands over. Its instances are in flight already.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) endings: Vec<(Destruction, Place)>,
    pub(crate) drafts: Vec<Draft>,
}

impl Order {
    pub(crate) fn is_empty(&self) -> bool {
        self.endings.is_empty() && self.drafts.is_empty()
    }
}

/// Works until `shutdown`, and then ends what is begun. Only another leader ends it early.
pub(crate) async fn run(
    leading: Arc<Leading>,
    mut orders: UnboundedReceiver<Order>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut site = Site::new(leading);
    let mut turns = interval(limits::BUILDING_TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        site.commit_if_due();
        site.note_turn();
        let is_ending = shutdown.is_cancelled();
        if is_ending && site.is_idle() {
            return Ok(());
        }
        tokio::select! {
            biased;
            Some(ended) = site.workers.next(), if !site.workers.is_empty() => site.take(ended)?,
            Some(order) = orders.recv(), if !is_ending => site.begin(order),
            _ = turns.tick() => {}
            () = shutdown.cancelled(), if !is_ending => {}
        }
    }
}

/// How a worker ended.
enum Ended {
    Ending(Result<(), Error>),
    Making(Result<Option<Box<Made>>, Error>),
    Committing(Result<(), Error>),
}

struct Site {
    tools: Tools,
    workers: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// How many are in the making and not whole yet.
    making: usize,
    ending: usize,
    /// Whole but for the commit, and since when the first of them is.
    whole: Vec<Made>,
    whole_since: Option<Instant>,
    is_committing: bool,
}

impl Site {
    fn new(leading: Arc<Leading>) -> Self {
        Self {
            tools: Tools::new(leading),
            workers: FuturesUnordered::new(),
            making: 0,
            ending: 0,
            whole: Vec::new(),
            whole_since: None,
            is_committing: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.workers.is_empty() && self.whole.is_empty()
    }

    fn begin(&mut self, order: Order) {
        if !order.drafts.is_empty() {
            self.tools.begin_anew();
        }
        for (destruction, place) in order.endings {
            let tools = self.tools.clone();
            self.ending += 1;
            let worker = async move { Ended::Ending(ending::end(tools, destruction, place).await) };
            self.workers.push(Box::pin(worker));
        }
        for draft in order.drafts {
            let tools = self.tools.clone();
            self.making += 1;
            let worker = async move { Ended::Making(making::make(tools, draft).await) };
            self.workers.push(Box::pin(worker));
        }
    }

    /// What is wrong with one is no reason to stop: a round plans it anew. Another leader is.
    fn take(&mut self, ended: Ended) -> Result<(), Error> {
        let failed = match ended {
            Ended::Ending(ended) => {
                self.ending -= 1;
                ended.err()
            }
            Ended::Making(Ok(made)) => {
                self.making -= 1;
                if let Some(made) = made {
                    self.whole_since.get_or_insert_with(Instant::now);
                    self.whole.push(*made);
                }
                None
            }
            Ended::Making(Err(error)) => {
                self.making -= 1;
                Some(error)
            }
            Ended::Committing(ended) => {
                self.is_committing = false;
                ended.err()
            }
        };
        match failed {
            None => Ok(()),
            Some(error) if error.is_stale_term() => Err(error),
            Some(error) => {
                let why = chain(&error);
                warn!(error = %why, "a step could not be recorded; the next round goes on from there");
                self.tools
                    .leading
                    .tally()
                    .done
                    .fail(None, "recording a step", &why);
                self.tools.leading.loops.building.went(Some(why));
                Ok(())
            }
        }
    }

    fn commit_if_due(&mut self) {
        let waited = self
            .whole_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        if self.is_committing || !is_commit_due(self.whole.len(), self.making, waited) {
            return;
        }
        let whole = std::mem::take(&mut self.whole);
        self.whole_since = None;
        self.is_committing = true;
        let tools = self.tools.clone();
        let worker = async move { Ended::Committing(committing::commit(tools, whole).await) };
        self.workers.push(Box::pin(worker));
    }

    fn note_turn(&self) {
        let rounds = &self.tools.leading.loops.building;
        rounds.turned();
        let mut at = Vec::new();
        let mut add = |count: usize, what: &str| {
            if count > 0 {
                at.push(format!("{count} {what}"));
            }
        };
        add(self.making, "being made");
        add(self.whole.len(), "whole and not deployed yet");
        add(usize::from(self.is_committing), "commit under way");
        add(self.ending, "being destroyed");
        if !at.is_empty() {
            rounds.at(at.join(", "));
        }
    }
}
