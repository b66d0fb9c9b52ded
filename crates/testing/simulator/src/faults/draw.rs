//! Faults drawn at random: those of an ordinary bad day, and any at all.

use super::{Fault, Lost};
use crate::world::LimitBody;

/// A fault of the transport such as any request may meet on an ordinary day.
pub(super) fn draw(rng: &mut fastrand::Rng) -> Fault {
    match rng.u8(0..12) {
        0 => Fault::RateLimited {
            retry_after_s: 1,
            body: LimitBody::Text,
        },
        1 => Fault::Gateway { status: 502 },
        2 => Fault::Dropped,
        3 => Fault::AnswerLost { how: Lost::Dropped },
        4 => Fault::AnswerLost {
            how: Lost::Gateway504,
        },
        5 => Fault::Truncated,
        6 => Fault::ProblemProcessing,
        7 => Fault::HtmlOk,
        8 => Fault::CutShort,
        9 => Fault::EdgeBlock,
        10 => Fault::NullAnswer { every: 3 },
        _ => Fault::Latency {
            ms: rng.u64(50..500),
        },
    }
}

/// Any fault of a request or a listing, the lies among them too. None of them keeps a client
/// waiting for longer than half a second.
#[must_use]
pub fn draw_any(rng: &mut fastrand::Rng) -> Fault {
    match rng.u8(0..24) {
        0 => Fault::NotAuthorized,
        1 => Fault::CreationThrottle,
        2 => Fault::ProvisionLimit,
        3 => Fault::TooEarly,
        4 => Fault::DomainFlaky,
        5 => Fault::Busy,
        6 => Fault::BadRequest,
        7 => Fault::ClampPage {
            max: rng.usize(1..50),
        },
        8 => Fault::EmptyListing,
        9 => Fault::PartialListing {
            every: rng.usize(2..5),
        },
        10 => Fault::StaleListing {
            by_ms: rng.u64(1_000..90_000),
        },
        11 => Fault::BackAgain {
            by_ms: rng.u64(1_000..90_000),
        },
        12 => Fault::NullDeployment {
            every: rng.usize(1..4),
        },
        13 => Fault::UnknownStatus,
        14 => Fault::ErrorBesideData {
            message: "Problem processing request".to_owned(),
        },
        15 => Fault::Error {
            message: "Internal Server Error".to_owned(),
            code: Some("INTERNAL_SERVER_ERROR".to_owned()),
        },
        _ => draw(rng),
    }
}
