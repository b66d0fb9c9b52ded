//! The seeds that run with every build. One that fails says how its story is told.

use pool_simulation::{Options, run_many, run_one};

/// As many as fit into the time that a build has for them.
const SEEDS: std::ops::Range<u64> = 0..150;

#[test]
fn seeds_of_trouble_lose_nothing_and_leave_nothing() {
    let summary = run_many(SEEDS, Options::default(), false).unwrap();
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{summary}");
    // So much went wrong, or it shows nothing.
    let counts = &summary.counts;
    assert!(counts.kills > 100 && counts.freezes > 80 && counts.cuts > 100);
    assert!(counts.failed_requests > 500 && counts.claimed > 400);
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_statement() {
    for seed in [1, 11, 17] {
        let [one, other] = [(); 2].map(|()| run_one(seed, Options::default()).unwrap());
        assert_eq!(
            one.fingerprint, other.fingerprint,
            "seed {seed} differs from itself"
        );
        assert_eq!(one.counts, other.counts);
    }
}

#[test]
fn another_seed_is_another_run() {
    let [one, other] = [1, 2].map(|seed| run_one(seed, Options::default()).unwrap());
    assert_ne!(one.fingerprint, other.fingerprint);
}
