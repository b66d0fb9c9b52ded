//! The steps of a birth and of a death, and what may befall each.

use pool_simulator::FaultRule;
use pool_simulator::faults::{Fault as Outside, Lost};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Its failpoints are `{name}.before` and `{name}.after`.
    pub(super) name: &'static str,
    /// What is asked for outside; none where the step is one of the database.
    operation: Option<&'static str>,
}

const fn outside(name: &'static str, operation: &'static str) -> Step {
    Step {
        name,
        operation: Some(operation),
    }
}

const fn inside(name: &'static str) -> Step {
    Step {
        name,
        operation: None,
    }
}

impl Step {
    pub(super) const ALL: [Self; 13] = [
        outside("create.key", "keyCreate"),
        outside("create.inbox", "inboxCreate"),
        outside("create.service", "serviceCreate"),
        inside("create.row"),
        outside("create.volume", "volumeCreate"),
        outside("create.domain", "serviceDomainCreate"),
        outside("create.commit", "environmentPatchCommit"),
        outside("destroy.key", "keyDelete"),
        outside("destroy.inbox", "inboxDelete"),
        outside("destroy.volumes", "volumeDelete"),
        outside("destroy.service", "serviceDelete"),
        inside("destroy.row"),
        inside("destroy.record"),
    ];
}

/// What befalls a step, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is refused, and nothing was done.
    Fails,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// `kill -9` of the server before it.
    KilledBefore,
    /// `kill -9` of the server after it, before it is recorded.
    KilledAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [
        Self::Fails,
        Self::AnswerLost,
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Fails => "fails",
            Self::AnswerLost => "answer lost",
            Self::KilledBefore => "killed before",
            Self::KilledAfter => "killed after",
        }
    }

    pub(super) const fn kills(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }

    const fn when(self) -> &'static str {
        match self {
            Self::Fails | Self::KilledBefore => "before",
            Self::AnswerLost | Self::KilledAfter => "after",
        }
    }
}

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) step: Step,
    pub(super) fault: Fault,
}

impl Cell {
    /// Every cell, fault by fault, so that those which need the server to be started anew come
    /// together.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of_fault = |fault| Step::ALL.map(|step| Self { step, fault });
        Fault::ALL.into_iter().flat_map(of_fault)
    }

    /// What the server is told to die of, or to fail at.
    pub(super) fn arming(&self) -> Vec<(&'static str, String)> {
        let point = format!("{}.{}", self.step.name, self.fault.when());
        match (self.fault.kills(), self.step.operation) {
            (true, _) => vec![("POOL_KILL_AT", point)],
            (false, None) => vec![("POOL_FAIL_AT", point)],
            (false, Some(_)) => Vec::new(),
        }
    }

    /// The fault that is switched on outside for this step, if any.
    pub(super) fn rule(&self) -> Option<FaultRule> {
        let fault = match self.fault {
            Fault::Fails => Outside::Error {
                message: "Something went wrong".to_owned(),
                code: Some("INTERNAL_SERVER_ERROR".to_owned()),
            },
            Fault::AnswerLost => Outside::AnswerLost { how: Lost::Dropped },
            Fault::KilledBefore | Fault::KilledAfter => return None,
        };
        // A deletion that fails is repeated twice before the next tick repeats it.
        let is_repeated = ["keyDelete", "inboxDelete"].contains(&self.step.operation?);
        let times = if is_repeated && self.fault == Fault::Fails {
            3
        } else {
            1
        };
        Some(FaultRule::once(fault).on(self.step.operation?).times(times))
    }
}
