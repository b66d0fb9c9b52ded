//! Everything there is, for those who know the key.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pool_db::instances;

use crate::answer::{Answer, Draft, JSON};
use crate::error::ApiError;
use crate::state::{Shared, State as Everything};
use crate::views::Whole;

pub(crate) async fn show(State(shared): State<Shared>) -> Result<Response, ApiError> {
    let read = async || read(&shared).await;
    let answer = shared.answers.status.get(|| shared.generation(), read);
    Ok(answer.await?.response())
}

/// Rendered row by row: instructions may be long, and are never held twice.
async fn read(shared: &Everything) -> Result<Answer, ApiError> {
    let mut draft = Draft::new(&shared.answers.for_signed_in);
    draft.text("{\"counts\":")?;
    draft.json(&*shared.counts().await?)?;
    draft.text(",\"instances\":[")?;
    let mut separator = "";
    instances::each_with_instructions(&shared.app.db, |row, instructions| {
        draft.text(std::mem::replace(&mut separator, ","))?;
        draft.json(&Whole::of(row, instructions))
    })
    .await?;
    draft.text("]}")?;
    draft.end(StatusCode::OK, JSON)
}
