//! pool-reconciler's `tick`: observe, plan, execute, record.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::{Policy, Report, Term};
use pool_planner::{History, Index, Plan, Snapshot, plan};

use super::execute;
use super::observe::{Foreign, observe};
use crate::database::{Command, DbError};
use crate::place::Place;
use crate::story::Kind;

/// What a leader keeps from tick to tick.
pub(crate) struct Leader {
    pub(crate) place: Place,
    term: Term,
    history: History,
    foreign: Foreign,
}

impl Leader {
    pub(crate) fn new(place: Place, term: Term, history: History) -> Self {
        Self {
            place,
            term,
            history,
            foreign: Foreign::new(),
        }
    }

    /// One round. Says within which time to tick again, where that is sooner than the period.
    pub(crate) async fn tick(&mut self) -> Result<Option<Duration>, DbError> {
        let (place, term) = (self.place.clone(), self.term);
        let sim = &place.sim;
        sim.tell(Kind::Tick, || {
            format!("── tick of server {}, term {term} ──", place.server + 1)
        });
        let started_at = place.statement("now", |db| Ok(db.now)).await?;
        let asked = place
            .statement("pending commands", |db| db.pending(term))
            .await?;
        let requested = asked.iter().map(|(_, command)| requested_creates(command));
        let requested: usize = requested.sum();
        let mut snapshot = observe(&place, &mut self.foreign, requested).await?;
        let confirmed = asked.iter().filter_map(|(_, command)| match command {
            Command::ConfirmFuse(ids) => Some(ids.iter().cloned()),
            _ => None,
        });
        snapshot.fuse.confirmed = confirmed.flatten().collect();
        let index = Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing);
        let (policy, identity) = (&sim.character.policy, &sim.identity);
        self.history.record(&snapshot, &index, policy, identity);
        let mut plan = plan(&snapshot, &index, &self.history, policy, identity);
        check_plan(&place, &snapshot, &plan);
        let mut report = std::mem::take(&mut plan.report);
        tell_plan(&place, &plan, &report);

        execute::write_rows(&place, term, &plan).await?;
        let rows = pool_domain::fuse::counted_rows(&snapshot.rows);
        place
            .statement("save the fuse", |db| {
                db.save_fuse(term, report.fuse.as_ref(), rows)
            })
            .await?;
        let intents = execute::intend(&place, term, &plan, requested).await?;
        let answered: Vec<_> = asked
            .iter()
            .filter(|(_, command)| requested_creates(command) > 0)
            .map(|(number, _)| *number)
            .collect();
        place
            .statement("answer replenish", |db| db.finish(term, &answered))
            .await?;
        execute::remove(&place, term, &plan.removals).await?;
        let destructions = std::mem::take(&mut plan.destructions);
        execute::destroy_all(&place, term, destructions).await?;
        let creations = execute::create_all(&place, term, &plan, intents).await?;
        let now = place.statement("now", |db| Ok(db.now)).await?;
        self.history.record_creations(&creations, now);
        report.replenish.pace = self.history.pace().clone();

        let complete = snapshot.listing.is_complete().then_some(started_at);
        let replenish = &report.replenish;
        place
            .statement("record the tick", |db| {
                db.record_tick(term, complete, &replenish.pace)
            })
            .await?;
        let all: Vec<_> = asked.iter().map(|(number, _)| *number).collect();
        place
            .statement("finish commands", |db| db.finish(term, &all))
            .await?;
        sim.count(|counts| counts.ticks += 1);
        let waits = creations.failed > 0 || plan.pace_holds_back;
        Ok(waits.then(|| self.try_creating_in(now)))
    }

    fn try_creating_in(&self, now: DateTime<Utc>) -> Duration {
        let longest = Policy::TRY_CREATING_EVERY;
        let stopped = self.history.pace().stopped.as_ref();
        stopped
            .map_or(longest, |it| (it.try_at - now).to_std().unwrap_or_default())
            .clamp(Duration::from_secs(1), longest)
    }
}

fn requested_creates(command: &Command) -> usize {
    match command {
        Command::Replenish(count) => (*count).min(Policy::PERSON_COUNT_MAX),
        Command::Reconcile | Command::ConfirmFuse(_) => 0,
    }
}

/// What must hold of a plan, counted anew from its snapshot.
fn check_plan(place: &Place, snapshot: &Snapshot, plan: &Plan) {
    let policy = &place.sim.character.policy;
    let rows = crate::check::stock_after(snapshot, plan);
    let by_itself = plan.create.saturating_sub(snapshot.requested_creates);
    if by_itself > 0 && rows + by_itself > policy.min_idle {
        place.sim.violated(
            "target-kept",
            format!(
                "{by_itself} are made beside {rows}, and the target is {}",
                policy.min_idle
            ),
        );
    }
}

fn tell_plan(place: &Place, plan: &Plan, report: &Report) {
    let sim = &place.sim;
    for change in &plan.changes {
        sim.tell(Kind::Plan, || {
            format!(
                "{} {} → {}: {}",
                change.id, change.from, change.to, change.reason
            )
        });
    }
    for adoption in &plan.adoptions {
        sim.tell(Kind::Plan, || {
            format!(
                "adopt {} as {}: {}",
                adoption.name, adoption.status, adoption.reason
            )
        });
    }
    for it in &plan.destructions {
        sim.tell(Kind::Plan, || {
            format!(
                "destroy {}: {:?}, nothing to do: {:?}",
                it.belongings.id, it.steps, it.already_gone
            )
        });
    }
    for it in &plan.removals {
        sim.tell(Kind::Plan, || {
            format!("remove {}: nothing of it is left outside", it.id)
        });
    }
    for it in &plan.resumes {
        sim.tell(Kind::Plan, || {
            format!("go on making {} at {:?}", it.provision.id, it.step)
        });
    }
    if plan.create > 0 {
        sim.tell(Kind::Plan, || {
            let stock = &report.replenish;
            format!(
                "create {}: {} of {} towards the target, {} of {} towards the cap",
                plan.create,
                stock.towards_target,
                stock.min_idle,
                stock.towards_cap,
                stock.max_total
            )
        });
    }
    for it in &report.held_back {
        sim.tell(Kind::HeldBack, || {
            format!("{} ({}): {}", it.what, it.count, it.why)
        });
    }
}
