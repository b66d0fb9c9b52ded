//! How the page says a list and an age.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use crate::routes::claim::NAME_CHARS_MAX;

/// Entries of each list of the report.
const ENTRIES_MAX: usize = 20;

/// As much of a name as a line holds.
const NAME_CHARS_SHOWN: usize = 80;

/// A list with its title, or nothing at all.
pub(super) fn list<T>(title: &str, entries: &[T], entry: impl Fn(&T) -> Markup) -> Markup {
    let more = entries.len().saturating_sub(ENTRIES_MAX);
    html! {
        @if !entries.is_empty() {
            h3 { (title) }
            ul {
                @for item in entries.iter().take(ENTRIES_MAX) { li { (entry(item)) } }
                @if more > 0 { li.quiet { "and " (more) " more" } }
            }
        }
    }
}

pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let age = (now - at).max(TimeDelta::zero()).num_seconds();
    html! {
        time datetime=(exact) title=(exact) { (seconds(age.unsigned_abs())) " ago" }
    }
}

/// A name as far as a line has room for it, with more of it where somebody points at it.
pub(super) fn cut(name: &str) -> Markup {
    let end = |chars| name.char_indices().nth(chars).map(|(at, _)| at);
    html! {
        @match end(NAME_CHARS_SHOWN) {
            None => (name),
            Some(at) => span title=(&name[..end(NAME_CHARS_MAX).unwrap_or(name.len())]) {
                (name[..at]) "…"
            },
        }
    }
}

pub(super) fn seconds(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        let told: Vec<_> = [0, 119, 120, 7_199, 7_200, 172_799, 172_800]
            .map(seconds)
            .to_vec();
        assert_eq!(
            told,
            ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]
        );
    }
}
