//! What is left of Railway's budget, in sentences: what was spent on what, for whom the rest is kept,
//! and when it would run out.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use pool_domain::budget::Blocker;
use pool_domain::{BudgetReport, CallPurpose, Spent};

use super::words::seconds;

/// The budget as the last tick left it.
pub(super) fn render(budget: &BudgetReport, now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "Railway's budget" }
        @if let Some(block) = &budget.block {
            p.warn {
                @match block.by {
                    Blocker::Railway => "Railway wants no requests",
                    Blocker::Edge => "The edge in front of Railway blocks this server",
                }
                ". Nothing is sent for " (until(block.until, now)) "."
            }
        }
        @if let Some(why) = &budget.listing_is_slower_because {
            p.warn { "Listings are fewer than ticks: " (why) "." }
        }
        p {
            (left(budget, now)) " "
            @match budget.runs_out_at {
                Some(at) => span.warn {
                    "At this rate, " (budget.rate_per_hour)
                    " an hour, they run out in " (until(at, now)) "."
                },
                None => {
                    "They last, at this rate: " (budget.rate_per_hour)
                    " an hour."
                }
            }
        }
        p.quiet {
            "Spent this hour: " (purposes(&budget.spent)) ". In this tick: "
            (purposes(&budget.spent_by_tick)) ". Kept: " (budget.kept_for_listing)
            " for listing, " (budget.kept_for_destroying) " for destroying; "
            (budget.creates_left) " instances may still be made."
        }
    }
}

fn left(budget: &BudgetReport, now: DateTime<Utc>) -> Markup {
    html! {
        (budget.remaining) " of " (budget.limit) " requests "
        @if budget.is_assumed {
            "an hour are left, as far as anybody knows: Railway has not said how many there are."
        } @else {
            "are left"
            @if let Some(at) = budget.resets_at { ", for " (until(at, now)) }
            "."
        }
    }
}

fn purposes(spent: &Spent) -> String {
    let parts = CallPurpose::ALL.into_iter().filter_map(|purpose| {
        let count = spent.on(purpose);
        (count > 0).then(|| format!("{count} on {}", what(purpose)))
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return "nothing".to_owned();
    }
    parts.join(", ")
}

const fn what(purpose: CallPurpose) -> &'static str {
    match purpose {
        CallPurpose::Listing => "listing",
        CallPurpose::Adoption => "reading whose services are",
        CallPurpose::Creating => "creating",
        CallPurpose::Destroying => "destroying",
        CallPurpose::Other => "other things",
    }
}

fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let left = (at - now).num_seconds().max(0);
    seconds(left.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_spent_is_named() {
        assert_eq!(purposes(&Spent::default()), "nothing");
        let spent = Spent {
            listing: 3,
            destroying: 1,
            ..Spent::default()
        };
        assert_eq!(purposes(&spent), "3 on listing, 1 on destroying");
    }
}
