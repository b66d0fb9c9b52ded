//! What happened, in order. Kept only where somebody wants to read it, or to compare two runs.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

/// What a line of a story is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tick begins.
    Tick,
    /// What befalls the world and the servers.
    Outside,
    /// A caller, or a person.
    People,
    /// A decision, with its reason.
    Plan,
    /// Something that was held back, with its reason.
    HeldBack,
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
            Kind::Tick => "",
            Kind::Outside => "  outside    ",
            Kind::People => "  people     ",
            Kind::Plan => "  plan       ",
            Kind::HeldBack => "  held back  ",
            Kind::Call => "  call       ",
            Kind::Statement => "  database   ",
            Kind::Violation => "  VIOLATION  ",
        };
        write!(
            f,
            "{minutes:>3}:{seconds:02}.{millis:03} {lead}{}",
            self.text
        )
    }
}

/// The lines so far.
#[derive(Debug)]
pub(crate) struct Story {
    began: DateTime<Utc>,
    is_told: bool,
    lines: Vec<Line>,
}

impl Story {
    pub(crate) fn new(began: DateTime<Utc>, is_told: bool) -> Self {
        Self {
            began,
            is_told,
            lines: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, now: DateTime<Utc>, kind: Kind, text: impl FnOnce() -> String) {
        if self.is_told {
            self.lines.push(Line {
                at: now - self.began,
                kind,
                text: text(),
            });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }
}
