//! The rules of the pace, each as small as it can be shown.

use super::*;

const BEGIN: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn after(seconds: i64) -> DateTime<Utc> {
    BEGIN + TimeDelta::seconds(seconds)
}

fn id(n: usize) -> InstanceId {
    InstanceId::new(format!("id{n:010}"))
}

fn failed(steps: usize) -> Creations {
    Creations {
        failed: steps,
        last_error: Some("refused".to_owned()),
        ..Creations::default()
    }
}

fn whole(n: usize) -> Creations {
    Creations {
        whole: vec![id(n)],
        ..Creations::default()
    }
}

fn limited(wait: Option<Duration>) -> Creations {
    Creations {
        limit: Some(Limit {
            said: "Railway: no more".to_owned(),
            wait,
            what_to_do: "pay".to_owned(),
        }),
        ..failed(1)
    }
}

fn died(ids: impl IntoIterator<Item = usize>) -> Vec<(InstanceId, String)> {
    let why = "deployment failed: CRASHED".to_owned();
    ids.into_iter().map(|n| (id(n), why.clone())).collect()
}

/// How many it allows where all that it knows of are under way.
fn allows(pace: &Pace, now: DateTime<Utc>) -> usize {
    pace.allows(now, |_| true)
}

/// Begins so many, and they are proven.
fn generation(pace: &mut Pace, now: DateTime<Utc>) -> usize {
    let many = allows(pace, now);
    let ids: Vec<_> = (0..many).map(id).collect();
    pace.begin(ids.clone(), now);
    assert_eq!(allows(pace, now), 0, "until something is known of these");
    settle(pace, &ids, &[], now);
    many
}

/// What one round shows.
fn settle(
    pace: &mut Pace,
    proven: &[InstanceId],
    died: &[(InstanceId, String)],
    now: DateTime<Utc>,
) {
    pace.proven(proven, now);
    pace.died(died, proven.len(), now);
}

#[test]
fn it_starts_slowly_until_a_generation_is_ready_and_then_the_budget_is_the_limit() {
    let mut pace = Pace::default();
    let seen: Vec<_> = (0..3).map(|_| generation(&mut pace, BEGIN)).collect();
    assert_eq!(seen, [4, Policy::UNPROVEN_MAX, Policy::UNPROVEN_MAX]);
}

#[test]
fn another_image_or_one_that_was_not_proven_for_a_day_starts_slowly() {
    let mut pace = Pace::default();
    let at_once = |pace: &mut Pace, image: &str, seconds: i64| {
        pace.made_from(image, after(seconds));
        pace.at_once
    };
    assert_eq!(at_once(&mut pace, "one", 0), Policy::SLOW_START);
    generation(&mut pace, after(0));
    let day = 86_400;
    for (image, seconds, expected) in [
        ("one", day, Policy::UNPROVEN_MAX),
        ("one", day + 1, Policy::SLOW_START),
    ] {
        assert_eq!(at_once(&mut pace, image, seconds), expected);
    }
    generation(&mut pace, after(day + 1));
    assert_eq!(at_once(&mut pace, "one", day + 2), Policy::UNPROVEN_MAX);
    assert_eq!(at_once(&mut pace, "two", day + 2), Policy::SLOW_START);
    pace.at_once = 1;
    assert_eq!(
        at_once(&mut pace, "one", day + 2),
        1,
        "and never faster for it"
    );
}

#[test]
fn one_in_ten_that_dies_in_whichever_order_slows_nothing_down_and_one_in_two_does() {
    for (proven, dies, is_slow) in [(9, 1, false), (90, 10, false), (45, 5, false), (5, 5, true)] {
        let mut pace = Pace::default();
        generation(&mut pace, BEGIN);
        for round in 0..10 {
            let from = 1_000 * (round + 1);
            let ids: Vec<_> = (from..from + proven).map(id).collect();
            let dead = died(from + proven..from + proven + dies);
            pace.begin(ids.iter().cloned(), BEGIN);
            pace.begin(dead.iter().map(|(id, _)| id.clone()), BEGIN);
            settle(&mut pace, &ids, &dead, BEGIN);
            assert_eq!(pace.stopped, None);
        }
        let is_slower = pace.at_once < Policy::UNPROVEN_MAX / 2;
        assert_eq!(is_slower, is_slow, "{proven} to {dies}: {}", pace.at_once);
    }
}

#[test]
fn those_that_die_beside_one_that_is_ready_are_in_a_row_all_the_same() {
    let mut pace = Pace::default();
    pace.begin((0..20).map(id), BEGIN);
    settle(&mut pace, &[id(0)], &died(1..20), BEGIN);
    assert!(pace.stopped.unwrap().why.starts_with("9 in a row"));
}

#[test]
fn what_is_merely_made_makes_it_no_faster() {
    let mut pace = Pace::default();
    pace.begin([id(1)], BEGIN);
    pace.learn(&whole(1), BEGIN);
    assert_eq!(allows(&pace, BEGIN), 3);
}

#[test]
fn five_that_die_in_a_row_stop_it_until_one_that_tries_is_ready() {
    let mut pace = Pace::default();
    pace.begin((0..4).map(id), BEGIN);
    pace.died(&died(0..4), 0, after(10));
    assert_eq!((allows(&pace, after(10)), &pace.stopped), (2, &None));
    let trouble = pace.trouble.clone().unwrap();
    assert_eq!((trouble.since, trouble.failed), (after(10), 4));
    assert_eq!(trouble.last, "deployment failed: CRASHED");

    pace.begin([id(4), id(5)], after(11));
    pace.died(&died([4]), 0, after(20));
    assert!(pace.stopped.as_ref().unwrap().why.starts_with("5 in a row"));
    // Each one that tries and dies doubles the time until the next.
    let mut at = after(20);
    for (n, seconds) in [(6, 20), (7, 40), (8, 80), (9, 160), (10, 300), (11, 300)] {
        assert_eq!(allows(&pace, at + TimeDelta::seconds(seconds - 1)), 0);
        at += TimeDelta::seconds(seconds);
        assert_eq!(allows(&pace, at), 1, "a single one tries");
        pace.begin([id(n)], at);
        assert_eq!(allows(&pace, at), 0, "and no other beside it");
        if n < 11 {
            pace.died(&died([n]), 0, at);
        }
    }
    pace.learn(&whole(11), at);
    assert!(pace.stopped.is_some(), "to be made is not to be ready");
    pace.proven(&[id(5)], at);
    assert!(pace.stopped.is_some(), "it was begun before the stop");
    pace.proven(&[id(11)], at);
    assert_eq!((&pace.stopped, &pace.trouble), (&None, &None));
    assert_eq!(allows(&pace, at), 2, "and it begins slowly again");
}

#[test]
fn five_that_die_between_others_do_not_stop_it_and_one_among_many_does_not_slow_it() {
    let mut pace = Pace::default();
    generation(&mut pace, BEGIN);
    generation(&mut pace, BEGIN);
    pace.begin((100..110).map(id), BEGIN);
    for n in 0..5 {
        pace.died(&died([100 + 2 * n]), 0, BEGIN);
        settle(&mut pace, &[id(101 + 2 * n)], &[], BEGIN);
    }
    assert_eq!((pace.stopped, pace.at_once), (None, Policy::UNPROVEN_MAX));
}

#[test]
fn the_fifth_step_in_a_row_that_fails_stops_it() {
    let mut pace = Pace::default();
    let mut seen = Vec::new();
    for _ in 0..5 {
        pace.learn(&failed(1), BEGIN);
        seen.push(allows(&pace, BEGIN));
    }
    assert_eq!(seen, [4, 4, 4, 2, 0]);
    let why = &pace.stopped.as_ref().unwrap().why;
    assert_eq!(why, "5 failed in a row, the last: refused");
}

#[test]
fn one_that_becomes_whole_ends_the_row_of_failed_steps() {
    let mut pace = Pace::default();
    for n in 0..10 {
        pace.learn(&failed(3), BEGIN);
        pace.learn(&whole(n), BEGIN);
    }
    assert_eq!(pace.stopped, None);
}

#[test]
fn a_limit_stops_it_at_once_until_one_that_was_begun_since_became_whole() {
    let mut pace = Pace::default();
    pace.begin([id(1)], BEGIN);
    pace.learn(&limited(None), BEGIN + TimeDelta::seconds(1));
    let mut at = after(1);
    for n in 2..5 {
        assert_eq!(allows(&pace, at), 0);
        at += Policy::TRY_CREATING_EVERY;
        assert_eq!(allows(&pace, at), 1, "a single one is tried");
        pace.begin([id(n)], at);
        pace.learn(&limited(None), at);
        pace.forget(|it| *it == id(n));
    }
    assert_eq!(pace.stopped.as_ref().unwrap().since, after(1));
    pace.learn(&whole(1), at);
    assert!(
        pace.stopped.is_some(),
        "it was past the step that is limited"
    );
    at += Policy::TRY_CREATING_EVERY;
    pace.begin([id(5)], at);
    pace.learn(&whole(5), at);
    assert_eq!(pace.stopped, None);
}

#[test]
fn who_says_how_long_to_wait_is_left_alone_so_long_within_bounds() {
    for (said, waits) in [(5, 20), (600, 600), (86_400, 3_600)] {
        let mut pace = Pace::default();
        pace.learn(&limited(Some(Duration::from_secs(said))), BEGIN);
        assert_eq!(allows(&pace, after(waits - 1)), 0);
        assert_eq!(allows(&pace, after(waits)), 1);
    }
}

#[test]
fn a_tick_that_tries_nothing_does_not_put_off_the_next_try() {
    let mut pace = Pace::default();
    pace.learn(&failed(Policy::CREATE_FAILURES_MAX), BEGIN);
    pace.learn(&Creations::default(), after(10));
    assert_eq!(allows(&pace, BEGIN + Policy::TRY_CREATING_EVERY), 1);
    assert!(pace.stopped.unwrap().why.ends_with("refused"));
}

#[test]
fn a_single_one_that_fails_for_another_reason_waits_as_well() {
    let mut pace = Pace::default();
    pace.learn(&limited(None), BEGIN);
    let at = BEGIN + Policy::TRY_CREATING_EVERY;
    pace.learn(&failed(1), at);
    assert_eq!(allows(&pace, at), 0);
    assert_eq!(allows(&pace, at + Policy::TRY_CREATING_EVERY), 1);
    pace.learn(&Creations::default(), at);
    assert!(pace.stopped.is_some(), "nothing tried, nothing learned");
}
