//! What happened, in order: a story for people, a fingerprint to compare two runs by, and counts.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;

use crate::time::{BEGAN_S, SimulatedClock};

/// What a line of a trace is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What befalls the world and the servers.
    Outside,
    /// A caller, or a person.
    People,
    /// What a server logged.
    Log,
    /// A call to Railway, to an account or to an agent, with its answer.
    Call,
    /// A statement of the database.
    Statement,
    /// Something that must not be.
    Violation,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the beginning.
    pub at: TimeDelta,
    /// What it is about.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.num_seconds();
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let millis = self.at.num_milliseconds() % 1_000;
        let lead = match self.kind {
            Kind::Outside => "outside    ",
            Kind::People => "people     ",
            Kind::Log => "log        ",
            Kind::Call => "call       ",
            Kind::Statement => "database   ",
            Kind::Violation => "VIOLATION  ",
        };
        write!(
            f,
            "{minutes:>3}:{seconds:02}.{millis:03} {lead}{}",
            self.text
        )
    }
}

/// How much happened, for the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Statements that were carried out.
    pub statements: u64,
    /// Requests over HTTP.
    pub requests: u64,
    /// Of these, those that failed.
    pub failed_requests: u64,
    /// Servers killed.
    pub kills: u32,
    /// Servers that stood still for a while.
    pub freezes: u32,
    /// Connections to the database that broke.
    pub cuts: u32,
    /// Claims that were begun.
    pub claims: u32,
    /// Of these, answered 200.
    pub claimed: u32,
    /// Services whose making was accepted.
    pub created: u32,
    /// Services whose deletion was accepted.
    pub destroyed: u32,
    /// Writes of a leader that was none any more.
    pub stale: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.statements += other.statements;
        self.requests += other.requests;
        self.failed_requests += other.failed_requests;
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.cuts += other.cuts;
        self.claims += other.claims;
        self.claimed += other.claimed;
        self.created += other.created;
        self.destroyed += other.destroyed;
        self.stale += other.stale;
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: String,
    /// What is wrong.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.sentence)
    }
}

/// How many violations are kept: the first is the one that matters.
const VIOLATIONS_KEPT: usize = 20;

/// The errors by which the database refuses what must not be.
const ILLEGAL_CHANGE: &str = "PO001";
const STALE_TERM: &str = "PO002";
/// Not the database's: a session was told again that it can only read.
pub(crate) const SECOND_TIME: &str = "told twice";

/// The record of one run.
pub(crate) struct Trace {
    clock: Arc<SimulatedClock>,
    is_told: bool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: Vec<Line>,
    counts: Counts,
    violations: Vec<Violation>,
    fingerprint: u64,
}

impl Trace {
    pub(crate) fn new(clock: Arc<SimulatedClock>, is_told: bool) -> Arc<Self> {
        Arc::new(Self {
            clock,
            is_told,
            kept: Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, kind: Kind, text: impl FnOnce() -> String) {
        if kind == Kind::Statement {
            self.count(|counts| counts.statements += 1);
        }
        if self.is_told {
            let at = self.clock.now_utc().timestamp_millis() - BEGAN_S * 1_000;
            let mut line = Line {
                at: TimeDelta::milliseconds(at),
                kind,
                text: text(),
            };
            let mut kept = self.kept();
            if kind == Kind::Statement {
                // Where two runs of one seed part, a comparison of their stories shows the place.
                line.text = format!("{:04x} {}", kept.fingerprint & 0xffff, line.text);
            }
            kept.lines.push(line);
        }
    }

    /// Takes bytes that must be the same each time into the fingerprint (FNV-1a), with the time.
    pub(crate) fn fingerprint(&self, bytes: &[u8]) {
        let now = self.clock.now_utc().timestamp_millis().to_le_bytes();
        let mut kept = self.kept();
        for byte in now.iter().chain(bytes) {
            kept.fingerprint = (kept.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.kept().counts);
    }

    pub(crate) fn violated(&self, rule: &str, sentence: impl Into<String>) {
        let violation = Violation {
            rule: rule.to_owned(),
            sentence: sentence.into(),
        };
        self.tell(Kind::Violation, || violation.to_string());
        let mut kept = self.kept();
        if kept.violations.len() < VIOLATIONS_KEPT && !kept.violations.contains(&violation) {
            kept.violations.push(violation);
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.kept().violations.is_empty()
    }

    /// The database refused a statement: whatever the state machine forbids, nobody may attempt.
    pub(crate) fn refused(&self, code: &str, said: &str) {
        match code {
            ILLEGAL_CHANGE => self.violated("legal-change", said),
            SECOND_TIME => self.violated("read-only-is-thrown-away", said),
            STALE_TERM => self.count(|counts| counts.stale += 1),
            _ => {}
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.kept().counts
    }

    pub(crate) fn take(&self) -> (Vec<Line>, Vec<Violation>, u64) {
        let mut kept = self.kept();
        let lines = std::mem::take(&mut kept.lines);
        (lines, kept.violations.clone(), kept.fingerprint)
    }
}
