//! How fast a stock is filled, and how little a full one asks of Railway: in virtual time, with the
//! servers that ship.

use std::time::Duration;

use pool_simulation::{Refill, quiet, refill};

/// Seven requests a second and three an instance make a hundred in 43 s.
#[test]
fn a_hundred_missing_ones_are_asked_for_as_fast_as_the_budget_allows() -> anyhow::Result<()> {
    let of = Refill {
        idle: 4,
        missing: 100,
        failing: 0.0,
        starts_slowly: true,
    };
    let went = refill(of)?;
    assert!(went.asked_s < 45.0, "{went:?}");
    assert!(went.requests_per_instance < 3.5, "{went:?}");
    assert!(went.ready_to_idle_median_s < 2.0, "{went:?}");
    assert!(went.ready_to_idle_worst_s < 6.0, "{went:?}");
    Ok(())
}

/// Four pools of up to 500 services take less than 2 % of the 10,000 requests an hour of Railway's Pro
/// plan, while they are quiet.
#[test]
fn a_quiet_pool_takes_less_than_fifty_requests_an_hour() -> anyhow::Result<()> {
    let requests = quiet(6, Duration::from_secs(1_200))?;
    assert!((8..16).contains(&requests), "{requests} in 20 minutes");
    Ok(())
}
