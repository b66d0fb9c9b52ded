//! What is begun outside and not finished, and what the last sweep found. Names and ids of volumes
//! and services may be seen by everybody; hashes of keys and addresses of inboxes are not shown.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use pool_domain::open::{OpenInstance, OpenWork};
use pool_domain::sweep::{Found, Thing};
use pool_domain::{Policy, SweepReport};

use super::words::{list, seconds};

/// Creations and destructions that are open, or nothing at all.
pub(super) fn open_work(open: &OpenWork, now: DateTime<Utc>) -> Markup {
    html! {
        (list("Being made", &open.creating, |it| instance(it, "next: ", now)))
        (list("Being destroyed", &open.destroying, |it| instance(it, "left: ", now)))
    }
}

fn instance(open: &OpenInstance, what: &str, now: DateTime<Utc>) -> Markup {
    let since = (now - open.since).num_seconds().max(0);
    html! {
        code { (open.id) } " for " (seconds(since.unsigned_abs())) ", " (what)
        @if open.left.is_empty() { "to see that it is gone" } @else { (open.left.join(", ")) }
        @if open.waits_for_account { span.warn { ": its account is not configured" } }
        @else if open.attempts > 0 {
            span.warn {
                "; failed " (open.attempts) (if open.attempts == 1 { " time" } else { " times" })
                @if let Some(why) = &open.last_error { ": " (why) }
            }
            @if let Some(at) = open.try_at {
                ". Tried again "
                @match (at - now).num_seconds() {
                    ..=0 => "now",
                    left => { "in " (seconds(left.unsigned_abs())) },
                }
            }
        }
    }
}

/// What the last sweep found to be destroyed, and what it only reports.
pub(super) fn sweep(sweep: Option<&SweepReport>, now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "Last sweep" }
        @match sweep {
            Some(sweep) => (swept(sweep, now)),
            None => p.quiet { "None yet." },
        }
    }
}

fn swept(sweep: &SweepReport, now: DateTime<Utc>) -> Markup {
    let age = (now - sweep.at).num_seconds().max(0).unsigned_abs();
    let late = age > 3 * Policy::SWEEP_EVERY.as_secs();
    html! {
        p .warn[late] {
            (seconds(age)) " ago: " (sweep.handed_over.len()) " to be destroyed, "
            (sweep.reported.len()) " only reported"
            @if sweep.left_out > 0 { ", and " (sweep.left_out) " more that are not shown" }
            @if sweep.left_for_later > 0 { "; " (sweep.left_for_later) " left for the next" }
            "."
        }
        @for why in &sweep.incomplete {
            p.warn { "Not whole, so nothing of it is destroyed: " (why) "." }
        }
        (list("Left over, and to be destroyed", &sweep.handed_over, thing))
        (list("Not proven ours, and left alone", &sweep.reported, thing))
    }
}

fn thing(found: &Found) -> Markup {
    let shown = match &found.thing {
        Thing::Volume(id) => Some(id.as_str()),
        Thing::Service(id) => Some(found.name.as_deref().unwrap_or(id.as_str())),
        Thing::Key(_) | Thing::Inbox(_) => found.name.as_deref(),
    };
    html! {
        (found.thing.kind()) " " code { (shown.unwrap_or("without a name")) }
        @if let Some(id) = &found.instance_id { " of " code { (id) } }
        ": " (found.why)
    }
}
