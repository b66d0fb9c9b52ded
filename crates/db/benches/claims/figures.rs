//! What a turn came to.

use std::time::Duration;

pub(crate) const TURN: Duration = Duration::from_secs(1);

/// The rate and the times of one turn, or the medians of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Figures {
    /// Of one turn, by what each call took.
    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
        };
        let calls = u32::try_from(took.len()).unwrap_or(u32::MAX);
        Self {
            per_second: f64::from(calls) / TURN.as_secs_f64(),
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }

    /// The medians of several turns.
    pub(crate) fn medians(turns: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = turns.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            per_second: median(|turn| turn.per_second),
            p50_ms: median(|turn| turn.p50_ms),
            p99_ms: median(|turn| turn.p99_ms),
        }
    }
}
