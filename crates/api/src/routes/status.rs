//! Everything there is, for those who know the key.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::ApiError;
use crate::state::Shared;
use crate::views::{Counts, Whole};

#[derive(Serialize)]
struct StatusAnswer<'a> {
    counts: Counts,
    instances: Vec<Whole<'a>>,
}

pub(crate) async fn show(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let counts = *shared.counts().await?;
    let rows = shared.instances().await?;
    let instances = rows.iter().map(Whole::from).collect();
    Ok(Json(StatusAnswer { counts, instances }).into_response())
}
