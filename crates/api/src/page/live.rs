//! The part of the page that changes. Everything in it may be seen by everybody: no conversation,
//! no invite link, no instructions.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use pool_db::instances::{self, InstanceView};
use pool_db::ticks::LastTick;
use pool_domain::{Report, Status};

use super::words::{ago, cut, list, seconds};
use super::{agents, budget, fuse, outside};
use crate::error::ApiError;
use crate::state::State;

/// Rows on the page; the API has them all.
const ROWS_MAX: usize = 500;

/// Counts, the last tick, and the instances.
pub(crate) async fn render(shared: &State) -> Result<Markup, ApiError> {
    let counts = shared.counts().await?;
    let last_tick = shared.last_tick().await?;
    let rows = instances::most_urgent(&shared.app.db, ROWS_MAX).await?;
    let all: u64 = Status::ALL.iter().map(|status| counts.of(*status)).sum();
    Ok(html! {
        dl.counts {
            @for status in Status::ALL {
                div { dt { (status) } dd.(status) { (counts.of(status)) } }
            }
        }
        @if let Some(tripped) = &last_tick.fuse { (fuse::render(tripped, last_tick.now)) }
        @if let Some(failing) = shared.app.claims.agents() { (agents::render(&failing)) }
        @if let Some(unverified) = last_tick.report().and_then(|it| it.unverified.as_ref()) {
            p.bad role="alert" { (unverified.why) "." }
        }
        h2 { "Last tick" }
        @match last_tick.tick.as_ref() {
            Some(tick) => (tick_part(shared, tick, last_tick.now)),
            None => p.warn { "No leader has ticked yet." },
        }
        @if let Some(budget) = last_tick.budget() { (budget::render(budget, last_tick.now)) }
        @if let Some(report) = last_tick.report() {
            (outside::sweep(report.sweep.as_ref(), last_tick.now))
        }
        h2 { "Instances" }
        (table(&rows, all, last_tick.now))
    })
}

fn tick_part(shared: &State, tick: &LastTick, now: DateTime<Utc>) -> Markup {
    let late = tick.age >= shared.app.tick_interval * 3;
    html! {
        p .warn[late] {
            "Number " (tick.id) " of leader " (tick.term) ", ended "
            (seconds(tick.age.as_secs())) " ago"
            @if late { ". Nobody seems to lead." }
        }
        @match &tick.report {
            Some(report) => (report_part(report, now)),
            None => p.warn { "Another version wrote its report; this one cannot read it." },
        }
    }
}

fn report_part(report: &Report, now: DateTime<Utc>) -> Markup {
    let (listing, probes) = (&report.listing, &report.probes);
    let (stock, done) = (&report.replenish, &report.done);
    html! {
        @if !listing.complete {
            p.warn {
                "Railway's listing was incomplete, so nothing was inferred from absence: "
                (listing.reason.as_deref().unwrap_or("no reason given"))
            }
        } @else if let Some(reason) = &listing.reason {
            p.warn {
                "Railway lists nothing of services but their names, so what it said of deployments before \
                 stands: " (reason)
            }
        }
        @if let Some(trouble) = &stock.pace.trouble {
            p.warn {
                "Making instances fails, " (trouble.failed) " times since "
                (ago(trouble.since, now)) ". The last: " (trouble.last) ". What to do: "
                (trouble.what_to_do) "."
            }
        }
        @if let Some(stopped) = &stock.pace.stopped {
            p.warn {
                "No instances are made, and a single one is tried again and again: " (stopped.why)
            }
        }
        p.quiet {
            (listing.services) " services seen; " (probes.probed) " agents probed, "
            (probes.ready) " ready. Stock " (stock.towards_target) " of " (stock.min_idle)
            ", " (stock.towards_cap) " of at most " (stock.max_total) " in all. "
            @if stock.surplus > 0 {
                (stock.surplus) " more than that are idle, and are paid for. "
            }
            (done.changed) " changed, " (done.created) " created, " (done.destroyed)
            " destroyed, " (done.removed) " removed; " (done.requests)
            " requests to Railway in " (report.duration_ms) " ms."
        }
        (list("Held back", &report.held_back, |held| html! {
            (held.count) " × " (held.what) ": " (held.why)
        }))
        (list("Failed, and tried again", &done.failures, |failure| html! {
            (failure.action)
            @if let Some(id) = &failure.id { " of " code { (id) } }
            ": " (failure.error)
        }))
        (outside::open_work(&report.open, now))
        (list("Changes", &report.changes, |change| html! {
            code { (change.id) } " " (change.from) " → " (change.to) ": " (change.reason)
        }))
        (list("Not provably ours, and left alone", &report.foreign, |service| html! {
            (service.name) ": " (service.why)
        }))
        (list("Rows that cannot be read, and were skipped", &report.unreadable, |row| html! {
            (row)
        }))
    }
}

fn table(rows: &[InstanceView], all: u64, now: DateTime<Utc>) -> Markup {
    if rows.is_empty() {
        return html! { p.quiet { "None yet." } };
    }
    let more = all.saturating_sub(rows.len() as u64);
    html! {
        div.scroll { table {
            thead { tr {
                @for title in ["Name", "Status", "Railway says", "Agent", "Made", "Claimed"] {
                    th scope="col" { (title) }
                }
            } }
            tbody {
                @for row in rows {
                    (instance(row, now))
                }
            }
        } }
        @if more > 0 { p.quiet { "and " (more) " more" } }
    }
}

fn instance(row: &InstanceView, now: DateTime<Utc>) -> Markup {
    html! {
        tr {
            td { code { (linked(row)) } }
            td.(row.status) { (row.status) }
            td { (row.deploy_status.as_deref().unwrap_or("–")) }
            td.text { (cut(row.agent_name.as_deref().unwrap_or("–"))) }
            td { (ago(row.created_at, now)) }
            td { @match row.claimed_at { Some(at) => (ago(at, now)), None => "–" } }
        }
    }
}

/// Old rows may hold any text for an address; only one of the web becomes a link.
fn linked(row: &InstanceView) -> Markup {
    let url = row.url.as_deref().filter(|url| {
        let url = url.to_ascii_lowercase();
        url.starts_with("https://") || url.starts_with("http://")
    });
    html! {
        @match url {
            Some(url) => a href=(url) rel="noopener noreferrer" { (cut(&row.name)) },
            None => (cut(&row.name)),
        }
    }
}
