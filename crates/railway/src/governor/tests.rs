//! The governor without a network, in paused time.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use pool_domain::budget::Blocker;
use pool_domain::{BudgetReport, CallPurpose};
use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::limits::{EDGE_BLOCK, LONGEST_BLOCK, SLOWEST_LISTING, WINDOW};

const ALL: [Task; 7] = [
    Task::FirstPage,
    Task::NextPage,
    Task::Adoption,
    Task::Begin,
    Task::Finish,
    Task::Destroy,
    Task::Setup,
];

fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn fast() -> Limits {
    let many = NonZeroU32::new(100_000).unwrap();
    Limits {
        requests_per_second: many,
        burst_requests: many,
        ..Limits::default()
    }
}

fn governor() -> Governor {
    Governor::new(fast())
}

fn window(limit: &str, remaining: &str, seconds: &str) -> HeaderMap {
    [
        ("x-ratelimit-remaining", remaining),
        ("x-ratelimit-limit", limit),
        ("x-ratelimit-reset", seconds),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
    .collect()
}

async fn refused(governor: &Governor, task: Task) -> Refusal {
    governor.admit(task).await.unwrap_err()
}

/// Another process, which learns from the database what this one stored there.
fn successor(governor: &Governor, later: Duration) -> Governor {
    let next = self::governor();
    next.load(&governor.heard(time()).unwrap(), time() + later);
    next
}

fn report(governor: &Governor) -> BudgetReport {
    governor.report(time(), Spent::default())
}

#[tokio::test(start_paused = true)]
async fn a_row_of_calls_is_spaced() {
    let governor = Governor::new(Limits::default());
    let start = Instant::now();
    for _ in 0..16 {
        governor.admit(Task::Destroy).await.unwrap();
    }
    // Two at once, and then seven a second.
    assert_eq!(start.elapsed().as_millis() / 100, 20);
    assert_eq!(governor.requests_sent(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_a_second_is_kept_once_railway_says_it() {
    let governor = Governor::new(Limits::default());
    let mut headers = HeaderMap::new();
    headers.insert("ratelimit-policy", "3;w=1".parse().unwrap());
    governor.observe(&headers);
    let start = Instant::now();
    for _ in 0..5 {
        governor.admit(Task::Destroy).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_is_not_sent() {
    let governor = Governor::new(Limits {
        requests_per_second: NonZeroU32::MIN,
        burst_requests: NonZeroU32::MIN,
        longest_queue: Duration::ZERO,
        longest_block_wait: Duration::from_millis(100),
        ..Limits::default()
    });
    governor.admit(Task::Setup).await.unwrap();
    let refusal = refused(&governor, Task::Setup).await;
    assert!(matches!(refusal.class, ErrorClass::RateLimited { .. }));
    assert_eq!(governor.requests_sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_block_is_sat_out_and_into_a_long_one_nothing_is_sent() {
    let governor = governor();
    governor.blocked_by_railway(Some(Duration::from_secs(2)));
    let start = Instant::now();
    governor.admit(Task::Destroy).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));

    governor.blocked_by_railway(Some(Duration::from_secs(31)));
    for task in ALL {
        let retry_after = Some(Duration::from_secs(31));
        let refusal = refused(&governor, task).await;
        assert_eq!(refusal.class, ErrorClass::RateLimited { retry_after });
    }
    advance(Duration::from_secs(31)).await;
    for task in ALL {
        governor.admit(task).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_block_of_the_edge_one_call_goes_first() {
    let governor = governor();
    governor.blocked_by_edge(None);
    advance(EDGE_BLOCK).await;
    governor.admit(Task::FirstPage).await.unwrap();
    let refusal = refused(&governor, Task::Destroy).await;
    assert_eq!(refusal.class, ErrorClass::EdgeBlocked);
    governor.blocked_by_edge(None);
    advance(EDGE_BLOCK).await;
    assert_eq!(
        refused(&governor, Task::FirstPage).await.class,
        ErrorClass::EdgeBlocked
    );
    advance(EDGE_BLOCK).await;
    governor.admit(Task::FirstPage).await.unwrap();
    governor.answered();
    for task in ALL {
        governor.admit(task).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_after_stays_out_of_the_block_and_lets_it_grow_on() {
    let governor = governor();
    governor.blocked_by_edge(None);
    advance(EDGE_BLOCK).await;
    governor.blocked_by_edge(None);

    let next = successor(&governor, Duration::from_mins(3));
    assert_eq!(
        refused(&next, Task::Setup).await.class,
        ErrorClass::EdgeBlocked
    );
    let block = report(&next).block.unwrap();
    assert_eq!(
        (block.by, block.until),
        (Blocker::Edge, time() + Duration::from_mins(7))
    );
    assert_eq!(next.creates_left(), 0);

    advance(Duration::from_mins(7)).await;
    next.admit(Task::Setup).await.unwrap();
    assert_eq!(
        refused(&next, Task::Setup).await.class,
        ErrorClass::EdgeBlocked
    );
    next.blocked_by_edge(None);
    let block = report(&next).block.unwrap();
    assert_eq!(block.until, time() + EDGE_BLOCK * 4);
    // What it is told again of the block that it has seen the end of changes nothing.
    advance(EDGE_BLOCK * 4).await;
    next.admit(Task::Setup).await.unwrap();
    next.answered();
    next.load(
        &governor.heard(time()).unwrap(),
        time() + Duration::from_hours(1),
    );
    next.admit(Task::Setup).await.unwrap();
    assert_eq!(next.heard(time()).unwrap().edge_blocks, 0);
}

#[tokio::test(start_paused = true)]
async fn creating_leaves_enough_for_all_else() {
    let governor = governor();
    governor.observe(&window("1000", "460", "1800"));
    let mut begun = 0_u64;
    while governor.admit(Task::Begin).await.is_ok() {
        for _ in 0..3 {
            governor.admit(Task::Finish).await.unwrap();
        }
        begun += 1;
    }
    // 120 for a listing each 30 s, and 100 for destroying.
    assert_eq!((begun, governor.creates_left()), (60, 0));
    assert_eq!(report(&governor).remaining, 220);
    let refusal = refused(&governor, Task::Begin).await;
    let retry_after = Some(Duration::from_mins(30));
    assert_eq!(refusal.class, ErrorClass::RateLimited { retry_after });
    for task in [Task::FirstPage, Task::Adoption, Task::Finish] {
        governor.admit(task).await.unwrap();
    }
    while governor.admit(Task::Destroy).await.is_ok() {}
    assert_eq!(report(&governor).remaining, 12);
    advance(SLOWEST_LISTING).await;
    governor.admit(Task::FirstPage).await.unwrap();
    governor.admit(Task::NextPage).await.unwrap();
    // The last of it is for a listing now and then.
    let refusal = refused(&governor, Task::FirstPage).await;
    let retry_after = Some(nearly(SLOWEST_LISTING));
    assert_eq!(refusal.class, ErrorClass::RateLimited { retry_after });
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_nothing_is_sent_until_the_window_ends() {
    let governor = governor();
    governor.observe(&window("1000", "0", "60"));
    for task in ALL {
        assert!(governor.admit(task).await.is_err());
    }
    advance(Duration::from_mins(1)).await;
    for task in ALL {
        governor.admit(task).await.unwrap();
    }
    let report = report(&governor);
    assert_eq!((report.limit, report.is_assumed), (1_000, true));
}

#[tokio::test(start_paused = true)]
async fn retry_after_ends_a_used_up_window_early() {
    let governor = governor();
    governor.observe(&window("1000", "0", "3600"));
    governor.blocked_by_railway(Some(Duration::from_secs(31)));
    advance(Duration::from_secs(31)).await;
    governor.admit(Task::FirstPage).await.unwrap();
    governor.observe(&window("1000", "0", "3600"));
    governor.blocked_by_railway(None);
    advance(DEFAULT_BLOCK).await;
    assert!(governor.admit(Task::FirstPage).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_told_does_not_silence_us_for_an_hour() {
    let governor = governor();
    governor.observe(&window("1000", "0", "soon"));
    governor.admit(Task::FirstPage).await.unwrap();
    assert!(governor.admit(Task::Begin).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_only_assumed_holds_back_creating_and_nothing_else() {
    let governor = governor();
    assert_eq!(governor.creates_left(), 195);
    while governor.admit(Task::Begin).await.is_ok() {}
    for task in ALL.into_iter().filter(|task| *task != Task::Begin) {
        for _ in 0..1_000 {
            governor.admit(task).await.unwrap();
        }
    }
    assert_eq!(governor.listing_not_due(), None);
    let report = report(&governor);
    assert!(report.is_assumed);
    assert_eq!((report.limit, report.remaining), (1_000, 0));
    assert_eq!(report.listing_is_slower_because, None);
    // An hour later none of it counts any more.
    advance(WINDOW + Duration::from_mins(1)).await;
    governor.admit(Task::Begin).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_destroying_is_listed_from_now_and_then_and_it_says_why() {
    let governor = governor();
    governor.observe(&window("100", "21", "1800"));
    assert_eq!(governor.listing_not_due(), None, "the first is always due");
    governor.admit(Task::FirstPage).await.unwrap();
    advance(Duration::from_secs(30)).await;
    let why = governor.listing_not_due().unwrap();
    assert_eq!(
        why,
        "not listed in this tick: Railway allows 100 requests an hour, and the 20 left for 30 min \
         are kept for destroying, so it is listed every 300 s, not every 30 s; the next one is due \
         in 240 s"
    );
    let report = report(&governor);
    assert_eq!(report.listing_every_ms, 300_000);
    assert!(why.contains(&report.listing_is_slower_because.unwrap()));
    advance(SLOWEST_LISTING).await;
    assert_eq!(governor.listing_not_due(), None);
}

#[tokio::test(start_paused = true)]
async fn whatever_wakes_a_tick_is_listed_for_only_in_the_first_half_of_the_budget() {
    let governor = governor();
    governor.observe(&window("1000", "502", "1800"));
    governor.admit(Task::FirstPage).await.unwrap();
    assert_eq!(
        governor.listing_not_due().unwrap(),
        "not listed in this tick: listings take 40 % of Railway's budget at most, so it is listed \
         every 9 s, whatever wakes a tick; the next one is due in 8 s"
    );
    advance(Duration::from_secs(9)).await;
    assert_eq!(governor.listing_not_due(), None);
    governor.admit(Task::FirstPage).await.unwrap();
    let why = governor.listing_not_due().unwrap();
    assert_eq!(
        why,
        "not listed in this tick: less than half of Railway's budget for this hour is left, so it \
         is listed every 30 s, whatever wakes a tick; the next one is due in 27 s"
    );
    assert_eq!(report(&governor).listing_is_slower_because, None);
    // A person who asks is answered all the same.
    governor.admit(Task::FirstPage).await.unwrap();
    advance(Duration::from_secs(27)).await;
    assert_eq!(governor.listing_not_due(), None);
}

/// A server that crashes and starts anew, again and again.
#[tokio::test(start_paused = true)]
async fn a_process_that_comes_after_does_not_list_where_the_one_before_just_did() {
    let governor = governor();
    governor.observe(&window("1000", "90", "1800"));
    governor.admit(Task::FirstPage).await.unwrap();
    let next = successor(&governor, Duration::from_secs(5));
    assert!(next.listing_not_due().is_some());
    assert!(next.admit(Task::FirstPage).await.is_err());
    let later = successor(&governor, SLOWEST_LISTING);
    later.admit(Task::FirstPage).await.unwrap();
}

/// What an hour came to.
#[derive(Debug, PartialEq, Eq)]
struct Hour {
    made: u64,
    listings: u64,
    /// The longest time from one listing to the next.
    gap_s: u64,
    /// What was left at the end.
    left: u64,
}

/// An hour of a plan, where a listing takes so many pages. Each tick that lists makes as many
/// instances as it may, 20 at most and `wanted` in all.
async fn an_hour(limit: u64, pages: u64, tick_s: u64, wanted: u64) -> Hour {
    let governor = governor();
    governor.observe(&window(&limit.to_string(), &limit.to_string(), "3600"));
    governor.listed(pages);
    let (mut made, mut listings, mut gap_s, mut last) = (0, 0, 0, 0);
    let mut second = 0;
    while second + tick_s < 3_600 {
        if governor.listing_not_due().is_none() && governor.admit(Task::FirstPage).await.is_ok() {
            for _ in 1..pages {
                governor.admit(Task::NextPage).await.unwrap();
            }
            listings += 1;
            gap_s = gap_s.max(second - last);
            last = second;
            let create = governor.creates_left().min(20).min(wanted - made);
            for _ in 0..create {
                governor.admit(Task::Begin).await.unwrap();
                for _ in 0..3 {
                    governor.admit(Task::Finish).await.unwrap();
                }
            }
            made += create;
        }
        advance(Duration::from_secs(tick_s)).await;
        second += tick_s;
    }
    Hour {
        made,
        listings,
        gap_s,
        left: report(&governor).remaining,
    }
}

#[tokio::test(start_paused = true)]
async fn in_no_hour_of_any_plan_does_one_purpose_starve_another() {
    let hour = |made, listings, gap_s, left| Hour {
        made,
        listings,
        gap_s,
        left,
    };
    let many = 100_000;
    let hours = [
        // Free: a listing in 90 s, whether or not instances are made.
        an_hour(100, 1, 30, 0).await,
        an_hour(100, 1, 30, many).await,
        // Hobby and Pro: a listing with each tick, whatever is made.
        an_hour(1_000, 1, 30, many).await,
        an_hour(10_000, 1, 30, many).await,
        // 20 pages a listing: with each tick on Pro, and on Hobby spread over the hour.
        an_hour(10_000, 20, 30, many).await,
        an_hour(1_000, 20, 30, 0).await,
        // Ticks that something wakes each second leave creating its share to the end.
        an_hour(1_000, 1, 1, 0).await,
    ];
    let expected = [
        hour(0, 40, 90, 60),
        hour(9, 40, 90, 24),
        hour(192, 119, 30, 113),
        hour(2_192, 119, 30, 1_113),
        hour(1_320, 119, 30, 2_340),
        hour(0, 20, 180, 600),
        hour(0, 400, 9, 600),
    ];
    assert_eq!(hours, expected);
}

#[tokio::test(start_paused = true)]
async fn the_report_says_what_was_spent_on_what_and_when_it_would_run_out() {
    let governor = governor();
    for _ in 0..30 {
        governor.admit(Task::FirstPage).await.unwrap();
        advance(Duration::from_mins(1)).await;
    }
    governor.observe(&window("1000", "400", "1800"));
    let before = governor.spent_by_us();
    for task in ALL {
        for _ in 0..20 {
            governor.admit(task).await.unwrap();
        }
    }
    let report = governor.report(time(), before);
    let by_tick = CallPurpose::ALL.map(|purpose| report.spent_by_tick.on(purpose));
    assert_eq!(by_tick, [40, 20, 40, 20, 20]);
    assert_eq!((report.spent.listing, report.spent.total()), (70, 170));
    assert_eq!((report.limit, report.remaining), (1_000, 260));
    assert_eq!(report.resets_at, Some(time() + Duration::from_mins(30)));
    // 740 in half an hour, by whomever.
    assert_eq!(report.rate_per_hour, 1_480);
    let runs_out = (report.runs_out_at.unwrap() - time()).num_seconds();
    assert_eq!(runs_out, 260 * 3_600 / 1_480);
    advance(Duration::from_mins(25)).await;
    assert_eq!(governor.report(time(), before).runs_out_at, None);
    advance(Duration::from_mins(5)).await;
    assert_eq!(governor.report(time(), before).spent, Spent::default());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_after_knows_what_is_left() {
    let governor = governor();
    governor.observe(&window("1000", "300", "1800"));
    for _ in 0..20 {
        governor.admit(Task::Begin).await.unwrap();
    }
    let next = successor(&governor, Duration::from_mins(10));
    let told = report(&next);
    assert_eq!((told.limit, told.remaining), (1_000, 280));
    assert_eq!(told.resets_at, Some(time() + Duration::from_mins(20)));
    // When that window is over, the next is not known yet, but its size is.
    let next = successor(&governor, Duration::from_mins(31));
    let told = report(&next);
    assert_eq!((told.limit, told.is_assumed), (1_000, true));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_after_goes_on_with_what_was_only_assumed() {
    let governor = governor();
    for _ in 0..500 {
        governor.admit(Task::Begin).await.unwrap();
    }
    let next = successor(&governor, Duration::from_mins(10));
    let assumed = report(&next);
    assert_eq!((assumed.remaining, assumed.is_assumed), (500, true));
    advance(Duration::from_mins(51)).await;
    assert_eq!(report(&next).remaining, 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_this_process_heard_last_is_not_replaced_by_what_another_heard_before() {
    let first = governor();
    first.observe(&window("1000", "900", "1800"));
    let early = first.heard(time()).unwrap();
    advance(Duration::from_mins(1)).await;
    let second = governor();
    second.observe(&window("1000", "100", "1740"));
    let now = time() + Duration::from_mins(1);
    second.load(&early, now);
    assert_eq!(report(&second).remaining, 100);
    first.load(&second.heard(now).unwrap(), now);
    assert_eq!(report(&first).remaining, 100);
}

/// A number that Railway would never send, and anybody may.
#[tokio::test(start_paused = true)]
async fn a_silence_that_is_longer_than_time_itself_is_the_longest_one() {
    let governor = governor();
    governor.observe(&window("1000", "0", "1800"));
    let told = governor.blocked_by_railway(Some(Duration::from_secs(u64::MAX)));
    assert_eq!(told, LONGEST_BLOCK);
    governor.blocked_by_edge(Some(Duration::from_secs(u64::MAX)));
    assert!(governor.admit(Task::Destroy).await.is_err());
}

proptest! {
    #[test]
    fn no_headers_make_the_governor_panic(
        values in prop::array::uniform3("[0-9]{0,25}|[-+0-9.eE]{0,12}|[ -~]{0,20}"),
        silence in any::<Option<u64>>(),
    ) {
        let governor = governor();
        let [limit, remaining, seconds] = values;
        governor.observe(&window(&limit, &remaining, &seconds));
        governor.blocked_by_railway(silence.map(Duration::from_secs));
        governor.observe(&window(&limit, &remaining, &seconds));
        let report = report(&governor);
        prop_assert!(report.limit > 0 || report.remaining == 0);
    }
}
