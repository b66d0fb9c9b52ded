//! The instances that somebody uses, or used until they crashed.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use pool_db::instances;
use pool_domain::Status;
use serde::Serialize;

use crate::answer::{self, Answer, Draft, JSON};
use crate::auth::carries_key;
use crate::error::ApiError;
use crate::state::{Shared, State as Everything};
use crate::views::{ForAll, WithConversation};

/// As many as a stranger is shown, so that no number of them makes what anybody may ask for long.
const ROWS_MAX: usize = 1_000;

#[derive(Serialize)]
struct Newest<'a> {
    claimed: Vec<ForAll<'a>>,
    crashed: Vec<ForAll<'a>>,
    /// Whether there are older ones that are not shown.
    truncated: bool,
}

/// Everybody may ask for the newest; who knows the key is told of all of them and of their
/// conversations.
pub(crate) async fn list(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (answers, generation) = (&shared.answers, || shared.generation());
    let answer = if carries_key(&headers, &shared.app.key) {
        let read = async || all(&shared).await;
        answers
            .agents_with_conversations
            .get(generation, read)
            .await
    } else {
        let read = async || newest(&shared).await;
        answers.agents.get(generation, read).await
    };
    Ok(answer?.response())
}

async fn newest(shared: &Everything) -> Result<Answer, ApiError> {
    let rows = instances::newest_in_use(&shared.app.db, ROWS_MAX + 1).await?;
    let shown = &rows[rows.len().saturating_sub(ROWS_MAX)..];
    let with = |status| {
        let these = shown.iter().filter(move |row| row.status == status);
        these.map(ForAll::from).collect()
    };
    let newest = Newest {
        claimed: with(Status::Claimed),
        crashed: with(Status::Crashed),
        truncated: rows.len() > ROWS_MAX,
    };
    answer::json(&shared.answers.for_all, StatusCode::OK, &newest)
}

/// Rendered row by row, so that never more of them are held than their text.
async fn all(shared: &Everything) -> Result<Answer, ApiError> {
    let mut draft = Draft::new(&shared.answers.for_signed_in);
    draft.text("{\"claimed\":[")?;
    let (mut list, mut separator) = (Status::Claimed, "");
    instances::each_in_use(&shared.app.db, |row| {
        if row.status != list {
            list = row.status;
            separator = CRASHED;
        }
        draft.text(std::mem::replace(&mut separator, ","))?;
        draft.json(&WithConversation::from(row))
    })
    .await?;
    if list == Status::Claimed {
        draft.text(CRASHED)?;
    }
    draft.text("],\"truncated\":false}")?;
    draft.end(StatusCode::OK, JSON)
}

/// Between the two lists.
const CRASHED: &str = "],\"crashed\":[";
