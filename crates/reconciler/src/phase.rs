//! The time limits of a tick's phases. What does not fit is left to the next tick.

use std::time::Duration;

/// Reading rows: one query of at most some thousand rows.
pub(crate) const READ_ROWS: Duration = Duration::from_secs(15);
/// Listing: a page takes seconds at worst and 30 s at most, and 3 pages hold 1,200 services.
pub(crate) const LIST: Duration = Duration::from_secs(120);
/// Reading the variables of adoption candidates: one request, repeated at most twice.
pub(crate) const READ_VARIABLES: Duration = Duration::from_secs(90);
/// Probing: 64 at once, each at most 5 s and, repeated twice a second apart, 17 s.
pub(crate) const PROBE: Duration = Duration::from_secs(60);
/// Destroying: 40 instances, 8 at once, a few requests each.
pub(crate) const DESTROY: Duration = Duration::from_secs(90);
/// Creating: 20 instances, 4 at once, a few requests each.
pub(crate) const CREATE: Duration = Duration::from_secs(180);
/// How many instances are destroyed at once.
pub(crate) const DESTROYS_IN_FLIGHT_MAX: usize = 8;
/// How many instances are made at once.
pub(crate) const CREATES_IN_FLIGHT_MAX: usize = 4;
/// Listing keys and inboxes for a sweep: 100 a page, some pages a second. A tick that sweeps waits for
/// it, so an account that hangs must not hold it up for long.
pub(crate) const SWEEP_LIST: Duration = Duration::from_secs(30);
/// Removing what a sweep found: 50 things, 4 at once, a request each.
pub(crate) const SWEEP: Duration = Duration::from_secs(60);
/// How many things a sweep removes at once.
pub(crate) const SWEEPS_IN_FLIGHT_MAX: usize = 4;
