//! What stands around the live part of the page.

use axum::body::Bytes;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What stands around the live part, rendered once.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(super) before: Bytes,
    pub(super) after: Bytes,
}

impl Frame {
    pub(crate) fn new(environment: &str, version: &str) -> Self {
        const LIVE: &str = "\0";
        let page = page(environment, version, &PreEscaped(LIVE)).0;
        let (before, after) = page.split_once(LIVE).unwrap_or((&page, ""));
        Self {
            before: Bytes::copy_from_slice(before.as_bytes()),
            after: Bytes::copy_from_slice(after.as_bytes()),
        }
    }
}

fn page(environment: &str, version: &str, live: &PreEscaped<&str>) -> Markup {
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
                    p { (environment) " · version " (version) }
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
