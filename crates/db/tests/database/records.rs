//! The event log and what was set aside, as adoption asks for them.

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
async fn old_events_go_but_never_the_last_one_of_a_service() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "idle").await;
    fixture
        .execute(
            "UPDATE instances SET status = 'claiming'; UPDATE instances SET status = 'claimed'; \
             UPDATE instance_events SET at = now() - interval '1 year'",
        )
        .await;
    let day = Duration::from_secs(24 * 60 * 60);
    let forgotten = [
        events::prune(&fixture.db, term, 2 * 365 * day, 10)
            .await
            .unwrap(),
        events::prune(&fixture.db, term, day, 1).await.unwrap(),
        events::prune(&fixture.db, term, day, 10).await.unwrap(),
        events::prune(&fixture.db, term, day, 10).await.unwrap(),
    ];
    assert_eq!(forgotten, [0, 1, 1, 0]);
    assert_eq!(
        fixture.text("SELECT to_status FROM instance_events").await,
        "claimed"
    );
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
