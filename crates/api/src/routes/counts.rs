//! How many instances there are of each status.

use axum::Json;
use axum::extract::State;

use crate::error::ApiError;
use crate::state::Shared;
use crate::views::Counts;

pub(crate) async fn show(State(shared): State<Shared>) -> Result<Json<Counts>, ApiError> {
    Ok(Json(*shared.counts().await?))
}
