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

/// What is kept of a window for reading and destroying when creates are refused: a tenth of it, and
/// 20 requests at least, which is ten minutes of listings.
pub(crate) const RESERVE_DIVISOR: u64 = 10;
/// See [`RESERVE_DIVISOR`].
pub(crate) const MIN_RESERVE_REQUESTS: u64 = 20;
