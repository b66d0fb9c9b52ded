//! The instances that somebody uses, or used until they crashed.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pool_db::instances::InstanceView;
use pool_domain::Status;
use serde::Serialize;

use crate::answer;
use crate::auth::carries_key;
use crate::error::ApiError;
use crate::state::Shared;
use crate::views::{ForAll, WithConversation};

#[derive(Serialize)]
struct Agents<T> {
    claimed: Vec<T>,
    crashed: Vec<T>,
}

/// Everybody may ask; who knows the key also learns of the conversations.
pub(crate) async fn list(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let rows = shared.instances().await?;
    let answers = &shared.answers;
    let answer = if carries_key(&headers, &shared.app.key) {
        answers.agents_with_conversations.of(&rows, |rows| {
            let agents = Agents::<WithConversation>::of(rows);
            answer::json(&answers.for_signed_in, StatusCode::OK, &agents)
        })
    } else {
        answers.agents.of(&rows, |rows| {
            let agents = Agents::<ForAll>::of(rows);
            answer::json(&answers.for_all, StatusCode::OK, &agents)
        })
    };
    Ok(answer?.response())
}

impl<'a, T: From<&'a InstanceView>> Agents<T> {
    fn of(rows: &'a [InstanceView]) -> Self {
        let with = |status| {
            let these = rows.iter().filter(move |row| row.status == status);
            these.map(T::from).collect()
        };
        Self {
            claimed: with(Status::Claimed),
            crashed: with(Status::Crashed),
        }
    }
}
