//! The page: what there is, what the last tick did and held back, and a form that claims. It needs
//! nothing but this server, holds no key, and refreshes its live part by itself.

mod agents;
mod budget;
mod fuse;
mod live;
mod outside;
mod words;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use maud::{DOCTYPE, Markup, html};

use crate::answer::{Answer, Draft, HTML, Space};
use crate::error::ApiError;
use crate::state::Shared;

pub(crate) async fn show(State(shared): State<Shared>) -> Response {
    let answers = &shared.answers;
    let read = async || {
        let live = live::render(&shared).await?;
        html(&answers.for_all, &page(&shared, &live))
    };
    match answers.page.get(|| shared.generation(), read).await {
        Ok(page) => page.response(),
        Err(error) => {
            let live = html! { p.bad role="alert" { "The database does not answer." } };
            let mut answer = page(&shared, &live).into_response();
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
    let answers = &shared.answers;
    let read = async || html(&answers.for_all, &live::render(&shared).await?);
    let answer = answers.live.get(|| shared.generation(), read);
    Ok(answer.await?.response())
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

fn page(shared: &Shared, live: &Markup) -> Markup {
    let environment = &shared.app.environment;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Agent pool · " (environment) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/page/style.css";
                script src="/page/script.js" defer {}
            }
            body {
                header {
                    h1 { "Agent pool" }
                    p { (environment) " · version " (shared.app.version) }
                }
                p #lost .bad role="alert" hidden {
                    "This server does not answer. What is below may be old."
                }
                main #live { (live) }
                (claim_form())
            }
        }
    }
}

/// Its fields have no names, so that no browser sends them by itself; the script does.
fn claim_form() -> Markup {
    html! {
        section {
            h2 { "Claim an agent" }
            form #claim autocomplete="off" {
                label { "API key"
                    input #key type="password" required autocomplete="off" spellcheck="false";
                }
                label { "Name of the agent" input #agent-name type="text" required; }
                label { "Instructions" textarea #instructions rows="4" required {} }
                label { "Join link " small { "(optional; without one it opens a conversation)" }
                    input #join-url type="text" spellcheck="false";
                }
                button type="submit" disabled { "Claim" }
                small { "The key stays in this tab's memory and goes nowhere but to this server." }
            }
            div #claimed aria-live="polite" {}
            noscript { p { "Claiming from this page needs JavaScript." } }
        }
    }
}
