//! The time limits of what the loops do, and how much of it goes on at once. What does not fit is
//! left to a later try.

use std::time::Duration;

/// Reading rows: one query of at most some thousand rows.
pub(crate) const READ_ROWS: Duration = Duration::from_secs(15);
/// Listing: a page takes seconds at worst and 30 s at most, and 3 pages hold 1,200 services.
pub(crate) const LIST: Duration = Duration::from_secs(120);
/// Reading the variables of adoption candidates: one request, repeated at most twice.
pub(crate) const READ_VARIABLES: Duration = Duration::from_secs(90);

/// One step at OpenRouter or AgentMail, looking for what an earlier try made included: each call
/// takes a second, and one that hangs 30 s.
pub(crate) const ACCOUNT_STEP: Duration = Duration::from_secs(45);
/// One step at Railway, with its place in our own queue (15 s), its block (2 s), a minute for the
/// answer, and the repetitions of what comes too early.
pub(crate) const RAILWAY_STEP: Duration = Duration::from_secs(90);
/// How long a step waits for its turn: as long as the steps before it may hang.
pub(crate) const TURN: Duration = Duration::from_secs(90);
/// How many steps of making go on at once at each of OpenRouter and AgentMail,
pub(crate) const MAKING_STEPS: usize = 4;
/// and at Railway, where our own spacing lets seven leave in a second and an answer takes up to one.
pub(crate) const RAILWAY_MAKING_STEPS: usize = 8;
/// And of destroying. They take no place from one another.
pub(crate) const ENDING_STEPS: usize = 8;
/// How often the building loop looks whether a commit is due, at least.
pub(crate) const BUILDING_TURN: Duration = Duration::from_secs(1);

/// Listing keys and inboxes for a sweep: 100 a page, some pages a second. Nobody but the sweep waits
/// for it.
pub(crate) const SWEEP_LIST: Duration = Duration::from_secs(30);
