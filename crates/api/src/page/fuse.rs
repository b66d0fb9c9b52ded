//! The fuse, where it has tripped: why, what it holds back, and what a person can do.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use pool_domain::FuseReport;

use super::words::{ago, list};

/// What needs a person before anything else on the page.
pub(super) fn render(tripped: &FuseReport, now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "The fuse has tripped" }
        p.bad role="alert" {
            (ago(tripped.tripped_at, now)) ": " (tripped.why)
            ". No instance is given up. " (tripped.waiting) " wait."
        }
        p {
            "If Railway or the network is at fault, it mends itself when they are well. If these \
             instances are really lost, let them go with "
            code { "POST /api/pool/fuse/confirm" } "."
        }
        (list("Held back by the fuse", &tripped.held, |loss| html! {
            code { (loss.id) } " " (loss.from) " → " (loss.to) ": " (loss.reason)
        }))
    }
}
