//! The kinds of faults: what Railway and the other accounts do to a request, a listing or a
//! deployment, and what an agent does to its callers.

use pool_domain::DeploymentStatus;
use serde::{Deserialize, Serialize};

use crate::world::LimitBody;

/// What Railway can do to a request, to a listing or to a deployment. More will come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// Railway's own limiter says 429, with its headers.
    RateLimited { retry_after_s: u64, body: LimitBody },
    /// The edge says 429 with its page "error code: 1015", without any of Railway's headers.
    EdgeBlock,
    /// A gateway's HTML page instead of an answer; nothing was done.
    Gateway {
        /// 502, 503 or 504.
        status: u16,
    },
    /// The connection is closed before anything was done.
    Dropped,
    /// It is done, and then the answer is lost.
    AnswerLost {
        /// What the client sees instead.
        how: Lost,
    },
    /// The answer breaks off half way; it is done.
    Truncated,
    /// The answer ends properly, in the middle of its JSON; it is done.
    CutShort,
    /// 200 and an answer of 2 GiB that never becomes anything; nothing was done.
    Huge,
    /// The answer takes this much longer.
    Latency { ms: u64 },
    /// No answer ever comes, and nothing was done.
    Hang,
    /// 200 with an error and no data; nothing was done.
    Error {
        message: String,
        /// `extensions.code`; none leaves out path and extensions as well.
        code: Option<String>,
    },
    /// 200 with the data and an error beside it.
    ErrorBesideData { message: String },
    /// 200 with "Problem processing request": no path, no extensions; nothing was done.
    ProblemProcessing,
    /// 200 with "Not Authorized", as a dead token gets it.
    NotAuthorized,
    /// 200 with a web page.
    HtmlOk,
    /// 400, since the schema is not what it was: an argument is unknown; nothing was done.
    Drift,
    /// 400 with "Problem processing request"; nothing was done.
    BadRequest,
    /// "Two Factor Authentication Required", for deletions only.
    TwoFactor,
    /// "An operation is already in progress"; nothing was done.
    Busy,
    /// "Failed to create service domain", for domains only; nothing was created.
    DomainFlaky,
    /// "You are creating volumes too quickly" and the like; nothing was created.
    CreationThrottle,
    /// "resource provision limit exceeded": the plan allows no more.
    ProvisionLimit,
    /// The service instance is not there yet, and Railway says so.
    TooEarly,
    /// A page holds at most this many items, whatever was asked for, without a word.
    ClampPage { max: usize },
    /// A complete listing without any services, while they live.
    EmptyListing,
    /// A complete listing that lacks every so many-th service, while they live.
    PartialListing {
        /// 2 hides every second one.
        every: usize,
    },
    /// A listing that does not know of what was created or deleted lately.
    StaleListing {
        /// Since when, in milliseconds before now.
        by_ms: u64,
    },
    /// Services deleted lately stand in listings again.
    BackAgain {
        /// Since when, in milliseconds before now.
        by_ms: u64,
    },
    /// Every page says that there is another one.
    EndlessListing,
    /// The latest deployment of every so many-th service is null, with an error beside the data.
    NullDeployment { every: usize },
    /// The domains of every so many-th service fail, and as they may not be null the whole answer
    /// is.
    NullAnswer { every: usize },
    /// Every deployment status is one that no client knows.
    UnknownStatus,
    /// Every deployment is said to have this status, whatever it does.
    EveryStatus { status: DeploymentStatus },
    /// A deployment that begins ends in FAILED.
    DeployFails,
    /// A deployment that begins stays INITIALIZING.
    DeploySticks,
    /// A deployment that begins gets this status and keeps it, as one does that waits for its turn
    /// or for an approval.
    DeployHolds { status: DeploymentStatus },
    /// An agent that is born has this fault from the start.
    BornBroken { fault: AgentFault },
}

/// What the client sees of an answer that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lost {
    /// The connection is closed without a byte.
    Dropped,
    /// A gateway's page: 504 in HTML.
    Gateway504,
    /// Nothing at all, for longer than any client waits.
    Never,
}

/// What an agent can do to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentFault {
    /// Says `{"ready": false}`.
    Unready,
    /// Takes the request and never answers.
    Hang,
    /// Takes the connection, reads nothing and says nothing.
    Mute,
    /// Begins its answer and never ends it; nothing was done.
    Stall,
    /// Sends its callers to where they were before; nothing was done.
    Redirect,
    /// Answers 200 and 2 GiB; nothing was done.
    Huge,
    /// Answers after so many milliseconds.
    Slow {
        #[serde(default = "slow_ms")]
        ms: u64,
    },
    /// Answers 500 to everything; nothing was done.
    Error,
    /// The edge answers 404 in its place when it is asked for its conversation; healthy otherwise.
    EdgeHidesStatus,
    /// Answers 200 with something that is not JSON; nothing was done.
    Garbage,
    /// Closes the connection without an answer; nothing was done.
    Close,
    /// Breaks its answer off half way. A provision was done.
    CloseMidAnswer,
    /// Knows another key than its callers: answers 401 to everything.
    OtherKey,
    /// Refuses to be provisioned with this status; healthy otherwise.
    RefuseProvision {
        #[serde(default = "unavailable")]
        status: u16,
    },
    /// Lets itself be provisioned again, as if it were in no conversation.
    TakesAnother,
    /// Is provisioned, and answers 500 nevertheless.
    ErrorAfterProvision,
    /// Is provisioned, and closes the connection without an answer.
    LoseProvision,
    /// Is provisioned, and never answers.
    HangAfterProvision,
}

/// Longer than the pool waits for a health check.
const fn slow_ms() -> u64 {
    10_000
}

const fn unavailable() -> u16 {
    503
}

impl Fault {
    pub(super) const fn strikes_deployments(&self) -> bool {
        matches!(
            self,
            Self::DeployFails
                | Self::DeploySticks
                | Self::DeployHolds { .. }
                | Self::BornBroken { .. }
        )
    }
}
