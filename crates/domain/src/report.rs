//! What a round saw, did, and held back and why, and what the other loops of the leader did since the
//! last one. The page, the API and the logs read this.

use serde::{Deserialize, Serialize};

use crate::open::OpenWork;
use crate::write::StatusChange;
use crate::{
    AgentsReport, BudgetReport, FuseReport, InstanceId, LoopsReport, Pace, Redactor, ServiceId,
    Status, SweepReport,
};

/// The report of one tick.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// The listing of Railway's environment.
    pub listing: ListingReport,
    /// The agents that were asked.
    pub probes: ProbeReport,
    /// The stock, and what it should be.
    pub replenish: ReplenishReport,
    /// The changes of status that were decided.
    pub changes: Vec<ChangeReport>,
    /// Services taken over in this tick.
    pub adopted: Vec<ServiceId>,
    /// Services that bear our prefix and are not provably ours. Never touched.
    pub foreign: Vec<ForeignService>,
    /// Instances that may be somebody's, as far as anybody knows; none where there are none.
    pub unverified: Option<UnverifiedReport>,
    /// What was held back, capped or skipped.
    pub held_back: Vec<HeldBack>,
    /// Why the fuse has tripped, and which losses it holds back; none while it is whole.
    pub fuse: Option<FuseReport>,
    /// What agents answer to the leader's own claims, where it refuses claims for that.
    pub agents: Option<AgentsReport>,
    /// Losses that a person had let through, and that were carried out in this tick.
    pub confirmed: Vec<InstanceId>,
    /// What came of this plan and of what the other loops did since the last one.
    pub done: Done,
    /// Rows that this build cannot read, which the tick skipped: table, column and row.
    pub unreadable: Vec<String>,
    /// How Railway's budget stood at the end; none in the report of an older build.
    pub budget: Option<BudgetReport>,
    /// What is begun outside and not finished.
    pub open: OpenWork,
    /// What the last sweep found, in this tick or before it.
    pub sweep: Option<SweepReport>,
    /// The leader's loops; none in the report of an older build.
    pub loops: Option<LoopsReport>,
    /// How long the round took, in milliseconds.
    pub duration_ms: u64,
}

/// How a listing went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListingReport {
    /// Whether every page arrived. If not, nothing was inferred from absence.
    pub complete: bool,
    /// What is missing of it, where it is not complete or holds nothing of services but their names.
    pub reason: Option<String>,
    /// Services in our environment, whoever owns them.
    pub services: usize,
    /// Volumes in our environment, those pending deletion too.
    pub volumes: usize,
    /// HTTP requests to Railway that the listing took.
    pub requests: u32,
}

/// How the probes went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeReport {
    /// Agents of which the book holds an answer, or that there was none.
    pub probed: usize,
    /// Of these, those that said that they are ready.
    pub ready: usize,
    /// Of these, those that did not, for whatever reason.
    pub failed: usize,
}

/// The stock as counted, and what follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplenishReport {
    /// How many to keep idle: `POOL_MIN_IDLE`.
    pub min_idle: usize,
    /// Idle, being made, not deployed by Railway yet, up for under 5 minutes without having been ready,
    /// and undecided services.
    pub towards_target: usize,
    /// How many may exist in all: `POOL_MAX_TOTAL`.
    pub max_total: usize,
    /// Everything that exists or is being made.
    pub towards_cap: usize,
    /// How many the plan creates.
    pub create: usize,
    /// How many are idle beyond the target, and are kept all the same.
    pub surplus: usize,
    /// How fast they are made, as it stood when the tick ended.
    pub pace: Pace,
}

/// One change of status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeReport {
    /// The instance whose row changes.
    pub id: InstanceId,
    /// The status that it was planned from; the row may have moved on since.
    pub from: Status,
    /// The status that the state machine gives it.
    pub to: Status,
    /// What was observed, as the event log has it.
    pub reason: String,
}

impl From<&StatusChange> for ChangeReport {
    fn from(change: &StatusChange) -> Self {
        Self {
            id: change.id.clone(),
            from: change.from,
            to: change.to,
            reason: change.reason.clone(),
        }
    }
}

/// A service that bears our prefix and is not provably ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignService {
    /// Railway's id of it.
    pub service_id: ServiceId,
    /// The name, by which a person finds it at the dashboard.
    pub name: String,
    /// Why it is not taken for ours.
    pub why: String,
}

/// Instances of unverified ownership: adopted, or older by the records than their agents, and their
/// agents have not said yet whether they are somebody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnverifiedReport {
    /// How many.
    pub instances: usize,
    /// How many of them were given up, and wait for a person.
    pub crashed: usize,
    /// What that means, in a sentence.
    pub why: String,
}

impl UnverifiedReport {
    /// Of so many; none of none.
    #[must_use]
    pub fn of(instances: usize, crashed: usize) -> Option<Self> {
        (instances > 0).then(|| Self {
            instances,
            crashed,
            why: format!(
                "{instances} instances may be somebody's: they were adopted, or the database was \
                 restored or failed over, and their agents have not said yet. They are handed to \
                 nobody, and destroyed only where a person asks for it; {crashed} of them were \
                 given up and wait for a person"
            ),
        })
    }
}

/// Something that the plan would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// What would have been done, as a verb with its object.
    pub what: String,
    /// Which rule or limit kept it from being done.
    pub why: String,
    /// How many of them.
    pub count: usize,
}

/// What the execution did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Done {
    /// Rows whose status changed.
    pub changed: usize,
    /// Rows whose observed columns changed.
    pub refreshed: usize,
    /// Writes that changed nothing, because the row had moved on.
    pub overtaken: usize,
    /// Intents to create that were written.
    pub intended: usize,
    /// Instances that were deployed since the last report.
    pub created: usize,
    /// HTTP requests to Railway that were made for creating.
    pub creating_requests: u32,
    /// Services whose destruction was asked for.
    pub destroyed: usize,
    /// Starting instances that were proven as soon as their agents answered.
    pub promoted: usize,
    /// Rows that were removed.
    pub removed: usize,
    /// HTTP requests to Railway since the last report.
    pub requests: u32,
    /// Actions that failed; they are tried again.
    pub failures: Vec<Failure>,
}

/// An action that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Of this instance, where it is of one.
    pub id: Option<InstanceId>,
    /// The step that failed, as `deleting the key`.
    pub action: String,
    /// The error with its causes, without secrets.
    pub error: String,
}

impl Report {
    /// How many entries a list in a report holds at most: the report is stored with each tick.
    pub const ENTRIES_MAX: usize = 200;

    /// Notes that something was held back.
    pub fn hold_back(&mut self, what: impl Into<String>, why: impl Into<String>, count: usize) {
        if count > 0 {
            self.held_back.push(HeldBack {
                what: what.into(),
                why: why.into(),
                count,
            });
        }
    }

    /// Takes secrets out of what strangers named. Errors lost theirs where they arose; ids stay.
    pub fn redact(&mut self, redactor: &Redactor) {
        for foreign in &mut self.foreign {
            foreign.name = redactor.redact(&foreign.name);
        }
        for held in &mut self.held_back {
            held.what = redactor.redact(&held.what);
            held.why = redactor.redact(&held.why);
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.redact(redactor);
        }
    }

    /// Cuts every list to its limit, and says so.
    pub fn bound(&mut self) {
        fn cut<T>(list: &mut Vec<T>, name: &str, cut_lists: &mut Vec<(String, usize)>) {
            if list.len() > Report::ENTRIES_MAX {
                cut_lists.push((name.to_owned(), list.len() - Report::ENTRIES_MAX));
                list.truncate(Report::ENTRIES_MAX);
            }
        }
        self.replenish.pace.unproven.truncate(Self::ENTRIES_MAX);
        let mut cut_lists = Vec::new();
        cut(&mut self.changes, "changes", &mut cut_lists);
        cut(&mut self.adopted, "adopted", &mut cut_lists);
        cut(&mut self.foreign, "foreign", &mut cut_lists);
        cut(&mut self.unreadable, "unreadable", &mut cut_lists);
        cut(&mut self.confirmed, "confirmed", &mut cut_lists);
        cut(&mut self.done.failures, "failures", &mut cut_lists);
        cut(&mut self.held_back, "held back", &mut cut_lists);
        cut(&mut self.open.creating, "creations", &mut cut_lists);
        cut(&mut self.open.destroying, "destructions", &mut cut_lists);
        for (name, count) in cut_lists {
            self.hold_back(format!("entries of {name}"), "the report is full", count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let mut report = Report {
            adopted: vec!["s".into(); 1_200],
            ..Report::default()
        };
        report.bound();
        assert_eq!(report.adopted.len(), Report::ENTRIES_MAX);
        assert_eq!(report.held_back[0].count, 1_000);
    }
}
