//! Destroys one instance. The answer comes once the wish is written; the leader does the rest.

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use http::request::Parts;
use pool_db::instances::{self, Killed};
use pool_domain::InstanceId;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::routes::ACTOR;
use crate::state::Shared;

/// The id in the path. It may be any text.
pub(crate) struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_not_utf8| ApiError::PathNotText)
    }
}

/// Destroys any instance, unless somebody is claiming it at this moment.
pub(crate) async fn kill(
    State(shared): State<Shared>,
    Id(id): Id,
) -> Result<Json<Value>, ApiError> {
    // The one character that no row can hold.
    if id.contains('\0') {
        return Ok(done());
    }
    let id = InstanceId::new(id);
    let change = shared.change();
    let killed = instances::kill(&shared.app.db, &id, ACTOR).await?;
    drop(change);
    match killed {
        Killed::Requested => {
            tracing::info!(instance.id = %id, "killed by a person: it will be destroyed");
            shared.wake_leader().await;
            Ok(done())
        }
        Killed::AlreadyGone => Ok(done()),
        Killed::Claiming { expires_in } => Err(ApiError::BeingClaimed { id, expires_in }),
    }
}

/// Destroys a crashed instance.
pub(crate) async fn dismiss(
    State(shared): State<Shared>,
    Id(id): Id,
) -> Result<Json<Value>, ApiError> {
    if id.contains('\0') {
        return Err(ApiError::CrashedNotFound(id));
    }
    let id = InstanceId::new(id);
    let change = shared.change();
    let dismissed = instances::dismiss(&shared.app.db, &id, ACTOR).await?;
    drop(change);
    if !dismissed {
        return Err(ApiError::CrashedNotFound(id.into_string()));
    }
    tracing::info!(instance.id = %id, "dismissed by a person: it will be destroyed");
    shared.wake_leader().await;
    Ok(done())
}

fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}
