//! The seeds that run with every build. One that fails says how its story is told.

use std::collections::BTreeSet;

use pool_simulation::{Kind, Options, run, run_many};

/// As many as fit into the time that a build has for them.
const SEEDS: std::ops::Range<u64> = 0..1_000;

#[test]
fn a_thousand_seeds_of_trouble_lose_nothing_and_leave_nothing() {
    let summary = run_many(SEEDS, Options::default());
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{summary}");
    // So much went wrong, or it shows nothing.
    let counts = &summary.counts;
    assert!(counts.kills > 500 && counts.freezes > 300 && counts.stale > 30);
    assert!(counts.failed_calls > 5_000 && counts.claimed > 2_000);
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_statement() {
    let options = Options {
        is_told: true,
        ..Options::default()
    };
    let mut kinds = BTreeSet::new();
    for seed in 0..12 {
        let (one, other) = (run(seed, options), run(seed, options));
        assert!(one.story == other.story, "seed {seed} differs from itself");
        assert_eq!(one.counts, other.counts);
        kinds.extend(one.story.iter().map(|line| format!("{:?}", line.kind)));
    }
    assert!(kinds.contains(&format!("{:?}", Kind::Statement)));
}

#[test]
fn another_seed_is_another_run() {
    let options = Options {
        is_told: true,
        ..Options::default()
    };
    assert_ne!(run(1, options).story, run(2, options).story);
}
