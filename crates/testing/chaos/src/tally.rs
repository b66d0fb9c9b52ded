//! Counts of what was done and seen, by kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Counted by all threads.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Tally {
    /// One more of this kind, in this line of the table.
    pub(super) fn add(&self, line: &'static str, kind: impl Into<String>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((line, kind.into())).or_default() += 1;
    }

    /// The line's total, and its kinds.
    pub(super) fn line(&self, line: &str) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds: Vec<_> = counts.iter().filter(|((of, _), _)| *of == line).collect();
        let mut text = kinds
            .iter()
            .map(|(_, number)| *number)
            .sum::<u64>()
            .to_string();
        for (index, ((_, kind), number)) in kinds.iter().enumerate() {
            let before = if index == 0 { "   " } else { ", " };
            let _ = write!(text, "{before}{kind} {number}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_total_and_its_kinds() {
        let tally = Tally::default();
        for (line, kind) in [("kills", "b"), ("kills", "a"), ("kills", "b"), ("x", "y")] {
            tally.add(line, kind);
        }
        assert_eq!(tally.line("kills"), "3   a 1, b 2");
        assert_eq!(tally.line("nothing"), "0");
    }
}
