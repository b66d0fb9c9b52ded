//! What the oracle remembers from look to look.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::trace::Counts;

/// What was told and asked so far.
#[derive(Default)]
pub(super) struct Known {
    /// What callers were told with a 200, by instance.
    pub(super) promises: BTreeMap<String, Promise>,
    /// Which instance a key was answered with.
    pub(super) keys: BTreeMap<String, String>,
    /// What a person wants to be gone.
    pub(super) asked: BTreeSet<String>,
    /// Up to where the event log was read.
    pub(super) read_until: i64,
    /// Since when something is owed, by the rule that says so and whom it is owed to.
    pub(super) owed: BTreeMap<(&'static str, String), Instant>,
    /// What goes wrong at this moment, on a bad day.
    pub(super) spell: Option<Spell>,
    /// How often the accounts were asked to make something.
    pub(super) asked_of_accounts: u32,
    /// Services whose agents somebody else set up.
    pub(super) bound_outside: BTreeSet<String>,
    /// What was made outside.
    pub(super) made: BTreeMap<Making, Made>,
    /// Names under which a server made a key when another led already, since it stood still between its
    /// last check and the call. No check before the call can prevent that, so the second key of that
    /// name is the sweep's to tell.
    pub(super) made_late: BTreeSet<String>,
}

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) agent_name: String,
    pub(crate) conversation_id: Option<String>,
}

/// Something that is made under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Making {
    pub(super) what: &'static str,
    pub(super) name: String,
}

/// How often something was made under its name.
#[derive(Default)]
pub(super) struct Made {
    pub(super) times: u32,
    /// How often the answer may have been another than "done".
    pub(super) failed: u32,
    /// How often a server was struck or another led by when it was made first.
    pub(super) blows_at_first: u32,
}

/// A time in which one thing goes wrong.
pub(super) struct Spell {
    pub(super) began: Instant,
    /// What there was when it began,
    pub(super) counts: Counts,
    /// and how much an account had been asked to make.
    pub(super) asked: u32,
}
