//! What goes wrong with a request. The status code, the sentence and the headers are chosen in one
//! match; what is internal is logged here, once, and never sent.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use pool_claims::ClaimError;
use pool_domain::joinlink::WrongNetwork;
use pool_domain::{BadKey, InstanceId, chain};
use serde_json::json;

/// Says that an answer is that of an earlier claim under the same key,
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// with this value, or is not there.
pub(crate) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What is added to a failure that is told again.
const OF_THE_FIRST_CLAIM: &str = " This is what became of the first claim with this Idempotency-Key: \
                                  try for another agent with another key.";

/// An agent takes one to two minutes to start.
const STOCK_REFILLS_IN: Duration = Duration::from_secs(60);
/// A database that restarts is back within a few seconds.
const DATABASE_BACK_IN: Duration = Duration::from_secs(5);
/// A busy server is less so, and another one has taken over from one that stops.
const ASK_AGAIN_IN: Duration = Duration::from_secs(2);
/// A take-over from the previous generation takes minutes.
const TAKEN_OVER_IN: Duration = Duration::from_secs(60);
/// A claim in progress is decided within its lease, mostly within seconds.
const CLAIM_DECIDED_IN: Duration = Duration::from_secs(10);
/// A leader that did not answer within a minute is replaced within two ticks.
const LEADER_BACK_IN: Duration = Duration::from_secs(30);

/// What goes wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("Invalid or missing API key")]
    Unauthorized,
    #[error("The body is not valid JSON")]
    BodyNotJson,
    #[error("The body must be a JSON object")]
    BodyNotObject,
    #[error("The body is larger than 1 MiB")]
    BodyTooLarge,
    #[error("The body did not arrive in time")]
    BodyTooSlow,
    #[error("The body could not be read")]
    BodyCutOff,
    #[error("instructions (string) is required")]
    InstructionsMissing,
    #[error("agentName (string) is required")]
    AgentNameMissing,
    #[error("joinUrl must be a string if provided")]
    JoinUrlNotText,
    #[error("{0} must not contain the character U+0000")]
    HoldsNul(&'static str),
    #[error("agentName must have at most {max} characters", max = crate::routes::claim::NAME_CHARS_MAX)]
    AgentNameTooLong,
    #[error(transparent)]
    JoinUrlOfWrongNetwork(#[from] WrongNetwork),
    #[error(transparent)]
    IdempotencyKey(#[from] BadKey),
    #[error("count must be a number")]
    CountNotNumber,
    #[error("count must not be negative")]
    CountNegative,
    #[error("ids must be an array of at least one string if provided")]
    IdsWrong,
    #[error("The fuse holds nothing back")]
    FuseHoldsNothing,
    #[error("The fuse does not hold back {0}")]
    FuseDoesNotHold(String),
    #[error("None of these waits any more. Look at what the fuse holds back now.")]
    NothingConfirmed,
    #[error("dryRun must be true or false")]
    DryRunNotBoolean,
    #[error("The path is not valid")]
    PathNotText,
    #[error("Crashed instance {0} not found")]
    CrashedNotFound(String),
    #[error("Instance {id} is being claimed. Try again in a few seconds.")]
    BeingClaimed {
        id: InstanceId,
        expires_in: Duration,
    },
    #[error("Not found")]
    NoSuchRoute,
    #[error("Method not allowed")]
    MethodNotAllowed,
    #[error("Too many requests at once. Try again in a few seconds.")]
    Crowded,
    #[error("The list is too long to be sent. GET /api/pool/agents leaves instructions out.")]
    AnswerTooLong,
    #[error("The request took too long")]
    TooSlow,
    #[error("No leader has answered yet. Try again in half a minute.")]
    LeaderSilent,
    #[error("This server is stopping. Try again: what was asked may be done by then.")]
    Stopping,
    #[error("claim: {0}")]
    Claim(#[from] ClaimError),
    #[error("database: {0}")]
    Database(#[from] pool_db::Error),
    #[error("what another request read from the database at this moment failed")]
    ReadFailed,
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl ApiError {
    /// Status, sentence, and when to ask again.
    fn answer(&self) -> (StatusCode, String, Option<Duration>) {
        use StatusCode as S;
        let own = || self.to_string();
        match self {
            Self::Unauthorized => (S::UNAUTHORIZED, own(), None),
            Self::BodyNotJson
            | Self::BodyNotObject
            | Self::BodyCutOff
            | Self::InstructionsMissing
            | Self::AgentNameMissing
            | Self::JoinUrlNotText
            | Self::HoldsNul(_)
            | Self::AgentNameTooLong
            | Self::JoinUrlOfWrongNetwork(_)
            | Self::IdempotencyKey(_)
            | Self::CountNotNumber
            | Self::CountNegative
            | Self::IdsWrong
            | Self::DryRunNotBoolean
            | Self::PathNotText => (S::BAD_REQUEST, own(), None),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, own(), None),
            Self::BodyTooSlow => (S::REQUEST_TIMEOUT, own(), None),
            Self::CrashedNotFound(_) | Self::NoSuchRoute => (S::NOT_FOUND, own(), None),
            Self::BeingClaimed { expires_in, .. } => {
                let after = CLAIM_DECIDED_IN.min(*expires_in);
                (S::CONFLICT, own(), Some(after))
            }
            Self::FuseHoldsNothing | Self::FuseDoesNotHold(_) | Self::NothingConfirmed => {
                (S::CONFLICT, own(), None)
            }
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, own(), None),
            Self::Crowded | Self::Stopping => (S::SERVICE_UNAVAILABLE, own(), Some(ASK_AGAIN_IN)),
            Self::AnswerTooLong => (S::SERVICE_UNAVAILABLE, own(), Some(STOCK_REFILLS_IN)),
            Self::TooSlow => (S::GATEWAY_TIMEOUT, own(), None),
            Self::LeaderSilent => (S::SERVICE_UNAVAILABLE, own(), Some(LEADER_BACK_IN)),
            Self::Claim(error) => claim_answer(error),
            Self::Database(error) => database_answer(error),
            Self::ReadFailed => database_away(),
            Self::Internal(_) => internal(),
        }
    }
}

fn claim_answer(error: &ClaimError) -> (StatusCode, String, Option<Duration>) {
    use StatusCode as S;
    let (status, sentence, retry_after) = match error {
        ClaimError::NoIdle => (
            S::SERVICE_UNAVAILABLE,
            "No idle instances available. Try again in a few minutes.",
            Some(STOCK_REFILLS_IN),
        ),
        ClaimError::Crowded => (
            S::SERVICE_UNAVAILABLE,
            "Too many claims at once. Try again in a few seconds.",
            Some(ASK_AGAIN_IN),
        ),
        ClaimError::BreakerOpen { retry_after } => (
            S::SERVICE_UNAVAILABLE,
            "The last agents that were tried all failed. Try again shortly.",
            Some(*retry_after),
        ),
        ClaimError::NotContracted => (
            S::SERVICE_UNAVAILABLE,
            "The pool is being taken over from its previous version. Try again in a few minutes.",
            Some(TAKEN_OVER_IN),
        ),
        ClaimError::Unverified => (
            S::SERVICE_UNAVAILABLE,
            "The database was restored or failed over, and the pool asks its agents whose they \
             are. Try again shortly.",
            Some(ASK_AGAIN_IN),
        ),
        ClaimError::ShuttingDown => (
            S::SERVICE_UNAVAILABLE,
            "This server is stopping. Try again.",
            Some(ASK_AGAIN_IN),
        ),
        ClaimError::AllFailed { .. } => (
            S::BAD_GATEWAY,
            "Every agent that was tried failed, and none was set up. Trying again is safe.",
            None,
        ),
        ClaimError::RequestRefused { .. } => (
            S::BAD_GATEWAY,
            "Two agents refused this request: its instructions, name or join link are at fault.",
            None,
        ),
        ClaimError::Indeterminate {
            timed_out: false, ..
        } => (
            S::BAD_GATEWAY,
            "An agent failed while it was being set up. It may be in the conversation; it will \
             not be handed out again.",
            None,
        ),
        ClaimError::Indeterminate {
            timed_out: true, ..
        } => (
            S::GATEWAY_TIMEOUT,
            "An agent did not answer in time while it was being set up. It may be in the \
             conversation; it will not be handed out again.",
            None,
        ),
        ClaimError::KeyReused => (
            S::UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used for a claim with another body.",
            None,
        ),
        ClaimError::KeyInProgress { decided_in } => (
            S::CONFLICT,
            "A claim with this Idempotency-Key is still running. Try again in a few seconds.",
            Some(ASK_AGAIN_IN.min(*decided_in)),
        ),
        ClaimError::Destroyed { id } => {
            let sentence = format!(
                "Instance {id}, claimed with this Idempotency-Key, was destroyed since. Another \
                 one takes another key."
            );
            return (S::GONE, sentence, None);
        }
        ClaimError::Lease(error) => return database_answer(error),
    };
    let more = match error {
        ClaimError::Indeterminate {
            is_replayed: true, ..
        } => OF_THE_FIRST_CLAIM,
        _ => "",
    };
    (status, format!("{sentence}{more}"), retry_after)
}

fn database_answer(error: &pool_db::Error) -> (StatusCode, String, Option<Duration>) {
    if error.is_unavailable() {
        database_away()
    } else {
        internal()
    }
}

fn database_away() -> (StatusCode, String, Option<Duration>) {
    let sentence = "The database is not available. Try again in a few seconds.".to_owned();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    (status, sentence, Some(DATABASE_BACK_IN))
}

fn internal() -> (StatusCode, String, Option<Duration>) {
    let sentence = "Internal server error".to_owned();
    (StatusCode::INTERNAL_SERVER_ERROR, sentence, None)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, sentence, retry_after) = self.answer();
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(error = chain(&self), "a request failed inside");
            }
            status if status.is_server_error() => {
                tracing::warn!(
                    http.status = status.as_u16(),
                    error = chain(&self),
                    "a request was not served"
                );
            }
            _ => {}
        }
        let mut response = (status, Json(json!({ "error": sentence }))).into_response();
        if let Self::Claim(error) = &self
            && error.is_replayed()
        {
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, TRUE);
        }
        if let Some(after) = retry_after {
            let seconds = after.as_secs().max(1);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
