//! Every limit of the client, with its unit and where the number comes from.

use std::num::NonZeroU32;
use std::time::Duration;

/// How fast and how long. The defaults are for production; tests shrink them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests a second that a long row of calls settles at. Railway's smallest paid plan allows
    /// 10 a second, and so does the edge in front of it; with [`Self::burst_requests`] no second
    /// ever sees more than 9.
    pub requests_per_second: NonZeroU32,
    /// Requests that may leave at once after a pause.
    pub burst_requests: NonZeroU32,
    /// A call waits in the queue of our own spacing this long at most, and is refused then without
    /// being sent. About a hundred calls fit in.
    pub longest_queue: Duration,
    /// The longest block by Railway that a call sits out; into a longer one nothing is sent.
    pub longest_block_wait: Duration,
    /// All of a read, the answer's body too. A page of 500 takes Railway a few seconds.
    pub read_timeout: Duration,
    /// All of a write. Railway's own command line gave up after 30 s once, and had to wait longer.
    pub write_timeout: Duration,
    /// The pause before a failed call is repeated for the first time, and half of the second one.
    pub first_retry_pause: Duration,
    /// How often the environment is to be listed: what creating has to leave alone follows from it.
    pub listing_interval: Duration,
    /// Requests an hour that are assumed while Railway has not said how many it allows. Only creating
    /// is held back by an assumption. The default is the smallest paid plan's: the free plan's 100
    /// would leave a paying user with ten instances an hour, and a limit that is lower than assumed
    /// is learned from the first answer that has the headers.
    pub assumed_requests_per_hour: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: SEVEN,
            burst_requests: TWO,
            longest_queue: Duration::from_secs(15),
            longest_block_wait: Duration::from_secs(2),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            first_retry_pause: Duration::from_millis(500),
            listing_interval: Duration::from_secs(30),
            assumed_requests_per_hour: 1_000,
        }
    }
}

const SEVEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(6);
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The edge answers in tens of milliseconds; two lost packets and their repetition fit in.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a call is repeated that may be: with the pauses above a trouble of 1.5 s is bridged.
/// For a longer one the next tick is the retry.
pub(crate) const RETRIES: usize = 2;

/// Rows of one connection in one request: what Railway's own command line asks for.
pub(crate) const PAGE_SIZE: i32 = 500;

/// Pages of one listing: 20,000 services, twenty times what this was tried with.
pub(crate) const MAX_PAGES: usize = 40;

/// The largest answer is the settings of an environment with all variables: about 3 KB a service,
/// so 20,000 services.
pub(crate) const MAX_READ_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A write answers with an id.
pub(crate) const MAX_WRITE_BODY_BYTES: usize = 1024 * 1024;

/// The body of an answer that is no success: one sentence is taken out of it.
pub(crate) const MAX_ERROR_BODY_BYTES: usize = 1024 * 1024;

/// A message longer than this is cut. The longest that Railway is known to send has 120 characters.
pub(crate) const MAX_MESSAGE_CHARS: usize = 300;

/// How long nothing is sent after a 429 that does not say, as Railway's command line does it.
pub(crate) const DEFAULT_BLOCK: Duration = Duration::from_mins(1);

/// How long nothing is sent after a block at the edge, which lasts minutes at least and grows when
/// it is ignored.
pub(crate) const EDGE_BLOCK: Duration = Duration::from_mins(5);

/// However long a header says: Railway's windows are an hour long.
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_hours(1);

/// However long the edge says: a day is the longest that anybody reported.
pub(crate) const LONGEST_EDGE_BLOCK: Duration = Duration::from_hours(24);

/// The window that Railway's budget is told for.
pub(crate) const WINDOW: Duration = Duration::from_hours(1);
/// A window that ends within this,
pub(crate) const SECOND_WINDOW: Duration = Duration::from_secs(2);
/// and allows no more than this, is one of Railway's limits a second, which are 10 and 50 and told
/// by the same headers.
pub(crate) const SECOND_LIMIT_MAX: u64 = 60;

/// What one instance takes: service, volume, domain, and at worst a commit of its own.
pub(crate) const CREATE_REQUESTS: u64 = 4;
/// The part of an hour's budget that is kept for listing at most. On the smallest plan (100 an hour)
/// 40 are a listing in 90 s, and the same number is left for making ten instances.
pub(crate) const LISTING_PERCENT: u64 = 40;
/// The part that is kept for destroying: on the smallest paid plan (1,000 an hour) 100, which is
/// what fifty instances take,
pub(crate) const DESTROYING_PERCENT: u64 = 10;
/// never less than ten instances take,
pub(crate) const MIN_KEPT_FOR_DESTROYING: u64 = 20;
/// and never more than a fifth of a small limit.
pub(crate) const DESTROYING_PERCENT_MAX: u64 = 20;
/// However little is left, a listing is made this often, for without one nothing is known of what
/// claims took and what has failed. It is 12 an hour,
pub(crate) const SLOWEST_LISTING: Duration = Duration::from_mins(5);
/// of which destroying leaves as many alone as the smallest plan's 100 can bear.
pub(crate) const SLOW_LISTING_PERCENT: u64 = 12;

/// How long a call that tries whether the edge's block is over may stay without an answer. Longer
/// than any call may take.
pub(crate) const TRIAL_LIMIT: Duration = Duration::from_secs(90);

/// The rate at which requests are spent is measured over this time at least: a few ticks, so that one
/// burst is not taken for a habit.
pub(crate) const RATE_TIME_MIN: Duration = Duration::from_mins(10);
