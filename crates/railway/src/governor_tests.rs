//! The governor without a network.

use super::*;
use std::num::NonZeroU32;

fn governor(per_second: u32, burst: u32, longest_queue: Duration) -> Governor {
    Governor::new(Limits {
        requests_per_second: NonZeroU32::new(per_second).unwrap(),
        burst_requests: NonZeroU32::new(burst).unwrap(),
        longest_queue,
        longest_block_wait: Duration::from_millis(100),
        ..Limits::default()
    })
}

fn window(remaining: &str, limit: &str) -> HeaderMap {
    [
        ("x-ratelimit-remaining", remaining),
        ("x-ratelimit-limit", limit),
        ("x-ratelimit-reset", "60"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
    .collect()
}

const ALL: [Purpose; 3] = [Purpose::Read, Purpose::Create, Purpose::Change];

#[tokio::test]
async fn a_row_of_calls_is_spaced() {
    let governor = governor(50, 2, Duration::from_secs(5));
    let start = Instant::now();
    for _ in 0..12 {
        governor.admit(Purpose::Read).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(190));
    assert_eq!(governor.requests_sent(), 12);
}

#[test]
fn no_second_sees_as_many_as_ten_by_default() {
    let limits = Limits::default();
    assert!(limits.requests_per_second.get() + limits.burst_requests.get() < 10);
}

#[tokio::test]
async fn a_call_that_would_wait_too_long_is_not_sent() {
    let governor = governor(1, 1, Duration::ZERO);
    governor.admit(Purpose::Read).await.unwrap();
    let refusal = governor.admit(Purpose::Read).await.unwrap_err();
    assert!(matches!(refusal.class, ErrorClass::RateLimited { .. }));
    assert_eq!(governor.requests_sent(), 1);
}

#[tokio::test]
async fn a_long_block_refuses_at_once_and_a_short_one_is_sat_out() {
    let governor = governor(1000, 1000, Duration::from_secs(5));
    governor.block(Duration::from_millis(50), ErrorClass::Transient);
    let start = Instant::now();
    governor.admit(Purpose::Change).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(45));

    governor.block(Duration::from_mins(1), ErrorClass::EdgeBlocked);
    governor.block(Duration::from_secs(1), ErrorClass::Transient);
    for purpose in ALL {
        let refusal = governor.admit(purpose).await.unwrap_err();
        assert_eq!(refusal.class, ErrorClass::EdgeBlocked);
    }
}

#[tokio::test]
async fn the_last_part_of_a_window_is_not_for_creates() {
    let governor = governor(1000, 1000, Duration::from_secs(5));
    governor.observe(&window("101", "1000"));
    governor.admit(Purpose::Create).await.unwrap();
    assert_eq!(governor.budget().remaining, Some(100));
    let refusal = governor.admit(Purpose::Create).await.unwrap_err();
    let ErrorClass::RateLimited {
        retry_after: Some(wait),
    } = refusal.class
    else {
        panic!("{refusal:?}");
    };
    assert!(wait > Duration::from_secs(55) && wait <= Duration::from_mins(1));
    governor.admit(Purpose::Change).await.unwrap();
    governor.admit(Purpose::Read).await.unwrap();
}

#[tokio::test]
async fn with_nothing_left_nothing_is_sent_until_the_window_ends() {
    let governor = governor(1000, 1000, Duration::from_secs(5));
    governor.observe(&window("0", "1000"));
    for purpose in ALL {
        assert!(governor.admit(purpose).await.is_err());
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    for purpose in ALL {
        governor.admit(purpose).await.unwrap();
    }
    assert_eq!(governor.budget().remaining, None);
}
