//! Railway's budget, as /readyz and the page tell it.

use insta::assert_json_snapshot;

use crate::stage::Stage;

/// A tick whose report says this of the budget, at a time that `AT(minutes)` counts from now.
async fn tick(stage: &Stage, budget: &str) {
    let quoted = budget.replace('\'', "''");
    let parts: Vec<_> = quoted.split("AT(").map(time_first).collect();
    let budget = parts.concat();
    let sql = format!(
        "INSERT INTO ticks (term, started_at, complete, report) \
         VALUES (1, now(), true, ('{{\"budget\": {budget}}}')::jsonb)"
    );
    stage.sql(&sql).await;
}

/// `10) and the rest`, with the time in ten minutes for the number; a text without one as it is.
fn time_first(part: &str) -> String {
    match part.split_once(')') {
        Some((minutes, rest)) if minutes.parse::<u32>().is_ok() => format!(
            "' || to_json(now() + interval '{minutes} minutes' + interval '5 seconds')::text || \
             '{rest}"
        ),
        _ => part.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_was_spent_on_what_and_when_it_would_run_out() {
    let stage = Stage::new().await;
    tick(
        &stage,
        r#"{"limit": 1000, "remaining": 160, "resetsAt": AT(30),
            "spent": {"listing": 69, "creating": 40}, "spentByTick": {"creating": 40},
            "ratePerHour": 894, "runsOutAt": AT(10),
            "keptForListing": 60, "keptForDestroying": 100, "createsLeft": 0}"#,
    )
    .await;
    let page = stage.get("/").await.text;
    for shown in [
        "160 of 1000 requests are left, for 30 min.",
        "At this rate, 894 an hour, they run out in 10 min.",
        "Spent this hour: 69 on listing, 40 on creating. In this tick: 40 on creating.",
        "Kept: 60 for listing, 100 for destroying; 0 instances may still be made.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    for hidden in ["blocks this server", "fewer than ticks"] {
        assert!(!page.contains(hidden), "{hidden} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_why_listings_are_fewer_and_that_nothing_is_sent() {
    let stage = Stage::new().await;
    tick(
        &stage,
        r#"{"limit": 100, "remaining": 90, "isAssumed": true, "ratePerHour": 12,
            "listingIsSlowerBecause": "Railway's <plan> is small",
            "block": {"by": "edge", "until": AT(5)}}"#,
    )
    .await;
    let page = stage.get("/").await.text;
    for shown in [
        "The edge in front of Railway blocks this server. Nothing is sent for 5 min.",
        "Listings are fewer than ticks: Railway's &lt;plan&gt; is small.",
        "90 of 100 requests an hour are left, as far as anybody knows",
        "They last, at this rate: 12 an hour.",
        "Spent this hour: nothing. In this tick: nothing.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_readyz_holds_the_budget() {
    let stage = Stage::new().await;
    tick(
        &stage,
        r#"{"limit": 1000, "remaining": 160, "resetsAt": "2026-09-21T15:00:00Z",
            "spent": {"listing": 69}, "ratePerHour": 894, "runsOutAt": "2026-09-21T14:40:00Z",
            "keptForListing": 60, "keptForDestroying": 100, "createsLeft": 0,
            "listingEveryMs": 30000, "block": {"by": "railway", "until": "2026-09-21T14:41:00Z"}}"#,
    )
    .await;
    assert_json_snapshot!(stage.get("/readyz").await.json()["budget"], @r#"
    {
      "block": {
        "by": "railway",
        "until": "2026-09-21T14:41:00Z"
      },
      "createsLeft": 0,
      "isAssumed": false,
      "keptForDestroying": 100,
      "keptForListing": 60,
      "limit": 1000,
      "listingEveryMs": 30000,
      "listingIsSlowerBecause": null,
      "ratePerHour": 894,
      "remaining": 160,
      "resetsAt": "2026-09-21T15:00:00Z",
      "runsOutAt": "2026-09-21T14:40:00Z",
      "spent": {
        "adoption": 0,
        "creating": 0,
        "destroying": 0,
        "listing": 69,
        "other": 0
      },
      "spentByTick": {
        "adoption": 0,
        "creating": 0,
        "destroying": 0,
        "listing": 0,
        "other": 0
      }
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_an_older_build_has_no_budget() {
    let stage = Stage::new().await;
    stage
        .sql("INSERT INTO ticks (term, started_at, complete, report) VALUES (1, now(), true, '{}')")
        .await;
    assert!(!stage.get("/").await.text.contains("Railway's budget"));
    assert!(stage.get("/readyz").await.json()["budget"].is_null());
}
