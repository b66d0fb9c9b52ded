//! Claims one agent.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, HeaderName};
use pool_claims::{ClaimRequest, Claimed};
use pool_domain::{BadKey, IdempotencyKey, joinlink};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::body::Body;
use crate::error::{ApiError, IDEMPOTENCY_REPLAYED, TRUE};
use crate::state::Shared;

/// By which a caller may repeat a claim and gets the same answer.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Names are shown in lists and on the page, where they should not be what the reader finds first.
pub(crate) const NAME_CHARS_MAX: usize = 1_000;

/// The agent that is the caller's now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimAnswer {
    invite_url: Option<String>,
    conversation_id: Option<String>,
    instance_id: String,
    joined: bool,
    gateway_token: Option<String>,
    gateway_url: Option<String>,
}

pub(crate) async fn claim(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(fields): Body,
) -> Result<(HeaderMap, Json<ClaimAnswer>), ApiError> {
    let mut request = read(&fields, &shared.app.environment)?;
    request.idempotency_key = idempotency_key(&headers)?;
    let claimed = shared.app.claims.claim(request).await?;
    let mut told = HeaderMap::new();
    if claimed.is_replayed {
        told.insert(IDEMPOTENCY_REPLAYED, TRUE);
    }
    Ok((told, Json(claimed.into())))
}

/// The first fault counts, in the order that clients know.
fn read(fields: &Map<String, Value>, environment: &str) -> Result<ClaimRequest, ApiError> {
    let instructions = text(fields, "instructions").ok_or(ApiError::InstructionsMissing)?;
    let agent_name = text(fields, "agentName").ok_or(ApiError::AgentNameMissing)?;
    let join_url = join_url(fields.get("joinUrl"))?;
    if let Some(link) = &join_url {
        joinlink::check(link, environment)?;
    }
    // A row cannot hold it, and the agent's answer would be lost for that.
    for (name, value) in [
        ("instructions", Some(&instructions)),
        ("agentName", Some(&agent_name)),
        ("joinUrl", join_url.as_ref()),
    ] {
        if value.is_some_and(|value| value.contains('\0')) {
            return Err(ApiError::HoldsNul(name));
        }
    }
    if agent_name.chars().nth(NAME_CHARS_MAX).is_some() {
        return Err(ApiError::AgentNameTooLong);
    }
    Ok(ClaimRequest {
        agent_name,
        instructions: instructions.into(),
        join_url,
        idempotency_key: None,
    })
}

/// None where the header is not sent. Sent twice, nobody knows which one counts.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, BadKey> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => IdempotencyKey::parse(value.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(BadKey),
    }
}

/// A text that is not empty.
fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let text = fields.get(name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Clients send null, "", false and 0 for none.
fn join_url(value: Option<&Value>) -> Result<Option<String>, ApiError> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(None),
        Some(Value::String(link)) => Ok((!link.is_empty()).then(|| link.clone())),
        Some(_) => Err(ApiError::JoinUrlNotText),
    }
}

impl From<Claimed> for ClaimAnswer {
    fn from(claimed: Claimed) -> Self {
        Self {
            invite_url: claimed.invite_url,
            conversation_id: claimed.conversation_id,
            instance_id: claimed.instance_id.into_string(),
            joined: claimed.joined,
            gateway_token: claimed.gateway_token.map(|token| token.expose().to_owned()),
            gateway_url: claimed.gateway_url,
        }
    }
}
