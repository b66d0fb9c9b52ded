//! The page: what there is, what the last tick did and held back, and a form that claims. It needs
//! nothing but this server, holds no key, and refreshes its live part by itself.

mod agents;
mod budget;
pub(crate) mod frame;
mod fuse;
mod live;
mod outside;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use maud::{Markup, html};

use crate::answer::{Answer, Draft, HTML, Space};
use crate::error::ApiError;
use crate::state::{Shared, State as Everything};

/// The whole page: the live part within what never changes.
pub(crate) async fn show(State(shared): State<Shared>) -> Response {
    let frame = &shared.frame;
    match shared.live().await {
        Ok(live) => live.between(&frame.before, &frame.after).response(),
        Err(error) => {
            let live = html! { p.bad role="alert" { "The database does not answer." } };
            let page = [
                frame.before.as_ref(),
                live.0.as_bytes(),
                frame.after.as_ref(),
            ]
            .concat();
            let mut answer = ([(CONTENT_TYPE, HTML)], page).into_response();
            let refusal = error.into_response();
            *answer.status_mut() = refusal.status();
            if let Some(after) = refusal.headers().get(RETRY_AFTER) {
                answer.headers_mut().insert(RETRY_AFTER, after.clone());
            }
            answer
        }
    }
}

/// Only the part that changes, which the page's script puts in place of the old one.
pub(crate) async fn live(State(shared): State<Shared>) -> Result<Response, ApiError> {
    Ok(shared.live().await?.response())
}

impl Everything {
    async fn live(&self) -> Result<Arc<Answer>, ApiError> {
        let answers = &self.answers;
        let read = async || html(&answers.for_all, &live::render(self).await?);
        answers.live.get(|| self.generation(), read).await
    }
}

fn html(space: &Space, markup: &Markup) -> Result<Answer, ApiError> {
    let mut draft = Draft::new(space);
    draft.text(&markup.0)?;
    draft.end(StatusCode::OK, HTML)
}

pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("style.css"))
}

pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("script.js"))
}

/// Small, and part of this build: asked for anew each time, so that no page runs an old script.
fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (StatusCode::OK, headers, text).into_response()
}
