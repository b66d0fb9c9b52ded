//! The clients as the server knows them, on top of the modelled world: what faults do to a request,
//! what the client makes of the answer, what it repeats.

mod accounts;
mod agents;
mod listing;
mod railway;

use std::time::Duration;

use pool_simulator::Fault;
use pool_simulator::faults::Lost;

pub(crate) use accounts::Deleted;
pub(crate) use agents::{ProbePolicy, ProvisionFailure, Provisioned};

/// The kinds of failure that ask for different behaviour, as pool-railway has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    NotAuthorized,
    NameTaken,
    Throttled,
    Limit,
    RateLimited,
    EdgeBlocked,
    TooEarly,
    NotFound,
    Transient,
    BadRequest,
    Network,
    Timeout,
    Undecodable,
    Unknown,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    pub(crate) class: Class,
    /// The write may have been done all the same.
    pub(crate) may_have_happened: bool,
    pub(crate) message: String,
    /// A gateway's or a limiter's page, and not Railway's own words.
    is_page: bool,
    /// After which time the same may be asked again, where a limiter said so.
    again_in: Option<Duration>,
}

impl CallError {
    fn new(class: Class, may_have_happened: bool, message: impl Into<String>) -> Self {
        Self {
            class,
            may_have_happened,
            message: message.into(),
            is_page: false,
            again_in: None,
        }
    }

    fn page(mut self) -> Self {
        self.is_page = true;
        self
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.message, self.class)
    }
}

/// What the transport does before a request is carried out: the time that it takes, and the failure
/// that it ends in. The order is that of the simulator's server.
fn transport_before(faults: &[Fault], timeout: Duration) -> (Duration, Option<CallError>) {
    let mut delay = Duration::ZERO;
    for fault in faults {
        let failed = match fault {
            Fault::Latency { ms } => {
                delay += Duration::from_millis(*ms);
                continue;
            }
            Fault::EdgeBlock => {
                CallError::new(Class::EdgeBlocked, false, "error code: 1015").page()
            }
            Fault::Gateway { status } => {
                CallError::new(Class::Transient, true, format!("HTTP {status}")).page()
            }
            Fault::Dropped => CallError::new(Class::Network, true, "connection closed"),
            Fault::Hang => {
                delay += timeout;
                CallError::new(Class::Timeout, true, "no answer in time")
            }
            Fault::Huge => CallError::new(Class::Undecodable, true, "the answer is too large"),
            _ => continue,
        };
        return (delay, Some(failed));
    }
    (delay, None)
}

/// What the transport does to the answer of what was carried out.
fn transport_after(faults: &[Fault], timeout: Duration) -> (Duration, Option<CallError>) {
    for fault in faults {
        let failed = match fault {
            Fault::AnswerLost { how: Lost::Dropped } => {
                CallError::new(Class::Network, true, "connection closed")
            }
            Fault::AnswerLost {
                how: Lost::Gateway504,
            } => CallError::new(Class::Transient, true, "HTTP 504").page(),
            Fault::AnswerLost { .. } => {
                let late = CallError::new(Class::Timeout, true, "no answer in time");
                return (timeout, Some(late));
            }
            Fault::CutShort => CallError::new(Class::Undecodable, true, "the answer is cut short"),
            Fault::Truncated => CallError::new(Class::Network, true, "the answer broke off"),
            _ => continue,
        };
        return (Duration::ZERO, Some(failed));
    }
    (Duration::ZERO, None)
}
