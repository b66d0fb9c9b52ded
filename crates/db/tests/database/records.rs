//! The event log and what was set aside, as adoption asks for them.

use std::collections::HashSet;
use std::time::Duration;

use pool_db::{events, set_aside};
use pool_domain::LastEvent;

use crate::fixture::Fixture;

#[tokio::test]
async fn the_last_event_of_a_service_says_what_became_of_it() {
    let fixture = Fixture::new().await;
    fixture.row("gone", "dead").await;
    fixture.execute("DELETE FROM instances").await;
    fixture.row("crashed", "claimed").await;
    fixture
        .execute("UPDATE instances SET status = 'crashed'")
        .await;
    fixture.row("stock", "idle").await;
    let services = ["service-gone", "service-crashed", "service-stock", "nobody"].map(Into::into);
    let last = events::last_by_service(&fixture.db, &services)
        .await
        .unwrap();
    assert_eq!(last.len(), 3);
    assert_eq!(last[&services[0]], LastEvent::Removed);
    assert_eq!(last[&services[1]], LastEvent::ClaimedOrCrashed);
    assert_eq!(last[&services[2]], LastEvent::Other);
}

#[tokio::test]
async fn the_log_is_forgotten_a_month_at_a_time_and_the_last_event_of_a_service_never() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("gone", "dead").await;
    fixture.execute("DELETE FROM instances").await;
    fixture.row("a", "claiming").await;
    // As it is half a year later, when the next month that the leader made is long over.
    fixture
        .execute(
            "UPDATE instances SET status = 'claimed'; \
             CREATE TABLE old (LIKE instance_events INCLUDING ALL); \
             INSERT INTO old SELECT * FROM instance_events; \
             UPDATE old SET at = now() - interval '6 months'; TRUNCATE instance_events; \
             ALTER TABLE instance_events ATTACH PARTITION old \
             FOR VALUES FROM ('2000-01-01') TO ('2026-01-01')"
                .replace("'2026-01-01'", &fixture.month(-1).await)
                .as_str(),
        )
        .await;
    let day = Duration::from_secs(24 * 60 * 60);
    events::prune(&fixture.db, term, 365 * day).await.unwrap();
    let left = "SELECT count(*) FROM instance_events";
    assert_eq!(fixture.text(left).await, "4");
    events::prune(&fixture.db, term, day).await.unwrap();
    assert_eq!(fixture.text(left).await, "0");
    assert_eq!(fixture.text("SELECT to_regclass('old')").await, "null");
    let services = ["service-gone".into(), "service-a".into()];
    let last = events::last_by_service(&fixture.db, &services)
        .await
        .unwrap();
    assert_eq!(last[&services[0]], LastEvent::Removed);
    assert_eq!(last[&services[1]], LastEvent::ClaimedOrCrashed);
    let ids = ["gone".into(), "a".into()];
    let removed = events::removed(&fixture.db, &ids).await.unwrap();
    assert_eq!(removed, HashSet::from(["gone".into()]));
}

#[tokio::test]
async fn parts_are_made_ahead_and_an_event_that_has_none_is_kept_nevertheless() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let parts = "SELECT string_agg(part::text, ' ' ORDER BY ends_at) FROM instance_event_parts";
    let made = fixture.text(parts).await;
    assert_eq!(made.split(' ').count(), 3, "{made}");
    // As where no leader was there for months.
    fixture
        .execute(
            "DO $$ DECLARE it regclass; BEGIN FOR it IN SELECT part FROM instance_event_parts LOOP \
                  EXECUTE format('DROP TABLE %s', it); END LOOP; END $$",
        )
        .await;
    fixture.row("a", "idle").await;
    let day = Duration::from_secs(24 * 60 * 60);
    events::prune(&fixture.db, term, day).await.unwrap();
    events::prune(&fixture.db, term, day).await.unwrap();
    let ahead = fixture.text(parts).await;
    assert!(
        made.ends_with(&ahead),
        "{ahead}: this month's are in the rest"
    );
    fixture.row("b", "idle").await;
    let events = "SELECT count(*) FROM instance_events_default";
    assert_eq!(fixture.text(events).await, "2");
    fixture
        .execute(
            "UPDATE instance_events SET at = now() - interval '2 days' WHERE instance_id = 'a'",
        )
        .await;
    events::prune(&fixture.db, term, day).await.unwrap();
    assert_eq!(fixture.text(events).await, "1");
}

/// Retention waits for nobody longer than a claim may, nor does a claim for it.
#[tokio::test]
async fn a_part_that_somebody_reads_is_dropped_later_and_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let old = format!(
        "CREATE TABLE old PARTITION OF instance_events FOR VALUES FROM ('2000-01-01') TO ({})",
        fixture.month(-1).await
    );
    fixture.execute(&old).await;
    fixture.execute("BEGIN; SELECT FROM instance_events").await;
    let day = Duration::from_secs(24 * 60 * 60);
    let began = tokio::time::Instant::now();
    let refused = events::prune(&fixture.db, term, day).await;
    assert!(
        matches!(refused, Err(pool_db::Error::Wait(_))),
        "{refused:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    fixture.execute("COMMIT").await;
    events::prune(&fixture.db, term, day).await.unwrap();
    assert_eq!(fixture.text("SELECT to_regclass('old')").await, "null");
}

#[tokio::test]
async fn what_was_set_aside_is_found_by_its_id_and_by_its_service() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "INSERT INTO set_aside (from_table, id, service_id, reason, row) VALUES \
             ('pool_instances', 'a', 's1', 'never claimed', '{}'), \
             ('agent_metadata', 'b', 's2', 'deleted since', '{}'), \
             ('agent_metadata', 'c', NULL, 'deleted since', '{}')",
        )
        .await;
    let found = set_aside::reasons(&fixture.db, &["a".into()], &["s2".into()])
        .await
        .unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|row| (row.id.as_str(), row.reason.as_str()))
        .collect();
    assert_eq!(found, [("a", "never claimed"), ("b", "deleted since")]);
}
