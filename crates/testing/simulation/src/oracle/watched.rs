//! What is looked at: the rows, and what was told and asked so far.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use pool_simulator::Simulator;
use pool_simulator::invariants::{self, Row};
use tokio_postgres::Row as Record;

use super::known::Known;
use crate::postgres::Database;
use crate::scenario::Scenario;
use crate::time::SimulatedClock;
use crate::trace::Trace;
use crate::troubles::Troubles;

/// Knows what was promised, and looks whether it is kept.
pub(crate) struct Oracle {
    pub(crate) database: Arc<Database>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) scenario: Scenario,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) troubles: Troubles,
    known: Mutex<Known>,
}

/// A row, as far as anybody outside cares.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the row"
)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) service_id: String,
    pub(crate) status: String,
    pub(crate) agent_name: Option<String>,
    pub(crate) conversation_id: Option<String>,
    pub(crate) delete_requested: bool,
    pub(crate) has_url: bool,
    /// A listing lacked its service.
    pub(crate) is_lacked: bool,
    /// Its status never changed.
    pub(crate) is_new: bool,
    /// How far its making or its destruction is recorded.
    pub(crate) step: Option<String>,
}

impl Instance {
    /// The row as the simulator's invariants take it.
    pub(super) fn row(&self) -> Row {
        Row {
            id: self.id.clone(),
            service_id: self.service_id.as_str().into(),
            status: self.status.clone(),
            claimed_by: self.agent_name.clone(),
            delete_requested: self.delete_requested,
        }
    }
}

impl From<&Record> for Instance {
    fn from(row: &Record) -> Self {
        Self {
            id: row.get(0),
            service_id: row.get(1),
            status: row.get(2),
            agent_name: row.get(3),
            conversation_id: row.get(4),
            delete_requested: row.get(5),
            has_url: row.get(6),
            is_lacked: row.get(7),
            is_new: row.get(8),
            step: row.get(9),
        }
    }
}

/// What an [`Instance`] is read from.
const INSTANCES: &str = "
    SELECT i.id, i.service_id, i.status, i.agent_name, i.conversation_id,
        i.delete_requested_at IS NOT NULL, i.url IS NOT NULL, i.missing_since IS NOT NULL, i.epoch = 0,
        p.step
    FROM public.instances i LEFT JOIN public.provisions p USING (id)";

impl Oracle {
    pub(crate) fn new(
        database: Arc<Database>,
        trace: Arc<Trace>,
        simulator: Arc<Simulator>,
        scenario: Scenario,
        clock: Arc<SimulatedClock>,
    ) -> Self {
        Self {
            database,
            trace,
            simulator,
            scenario,
            clock,
            troubles: Troubles::default(),
            known: Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they are now.
    pub(crate) fn instances(&self) -> Result<Vec<Instance>> {
        let rows = self
            .database
            .query(&format!("{INSTANCES} ORDER BY i.id"), &[])?;
        Ok(rows.iter().map(Instance::from).collect())
    }

    /// Those whose column of that name is this.
    pub(super) fn instances_with(&self, column: &str, value: &str) -> Result<Vec<Instance>> {
        let sql = format!("{INSTANCES} WHERE i.{column} = $1");
        let rows = self.database.query(&sql, &[&value])?;
        Ok(rows.iter().map(Instance::from).collect())
    }

    /// What the last round said of itself.
    pub(crate) fn last_report(&self) -> Result<String> {
        let sql = "SELECT report::text FROM public.ticks ORDER BY id DESC LIMIT 1";
        let rows = self.database.query(sql, &[])?;
        Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
    }

    /// How many have one of these statuses.
    pub(crate) fn count(&self, statuses: &[&str]) -> Result<usize> {
        let instances = self.instances()?;
        Ok(instances
            .iter()
            .filter(|it| statuses.contains(&it.status.as_str()))
            .count())
    }

    /// Looks at everything that must hold at every moment.
    pub(crate) fn look(&self) -> Result<()> {
        self.read_events()?;
        let instances = self.instances()?;
        self.check_promises(&instances);
        self.check_limits(&instances)?;
        // Nobody could tell of those yet whose agents somebody else set up.
        let is_told = |it: &&Instance| {
            it.status != "idle" || !self.known().bound_outside.contains(&it.service_id)
        };
        let rows: Vec<_> = instances
            .iter()
            .filter(is_told)
            .map(Instance::row)
            .collect();
        let found = self.simulator.world(|world| {
            let mut found = invariants::consistent(world);
            found.extend(invariants::sound(world, &rows));
            found
        });
        for violation in found {
            // A service that vanished under a claimed row is noticed only by the next listings.
            if violation.rule != "claimed-lives" {
                self.trace.violated(violation.rule, violation.sentence);
            }
        }
        Ok(())
    }
}
