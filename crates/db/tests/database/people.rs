//! Drain, kill, dismiss; counts and views.

use std::time::Duration;

use pool_db::instances::{self, Counts, Killed};
use pool_domain::{InstanceId, Status};

use crate::fixture::{Fixture, LEASE, lease_idle, token};

#[tokio::test]
async fn drain_retires_the_oldest_unclaimed_ones_and_nobodys_else() {
    let fixture = Fixture::new().await;
    fixture.row("claimed", "claimed").await;
    fixture.row("claiming", "claiming").await;
    fixture.row("unasked", "starting").await;
    fixture
        .execute("UPDATE instances SET unasked = true WHERE id = 'unasked'")
        .await;
    for (id, status) in [("a", "starting"), ("b", "idle"), ("c", "idle")] {
        fixture.row(id, status).await;
    }
    let drained = instances::drain(&fixture.db, 2, "api").await.unwrap();
    assert_eq!(drained, [InstanceId::from("a"), InstanceId::from("b")]);
    let rest = instances::drain(&fixture.db, 20, "api").await.unwrap();
    assert_eq!(rest, [InstanceId::from("c")]);
    assert!(
        fixture
            .events("a")
            .await
            .ends_with("starting>dead api: drain")
    );
}

#[tokio::test]
async fn what_a_write_holds_for_a_moment_is_drained_all_the_same() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture
        .execute("BEGIN; SELECT FROM instances FOR UPDATE")
        .await;
    let (drained, ()) = tokio::join!(instances::drain(&fixture.db, 1, "api"), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        fixture.execute("ROLLBACK").await;
    });
    assert_eq!(drained.unwrap(), [InstanceId::from("a")]);
}

#[tokio::test]
async fn kill_does_what_the_state_machine_says_for_each_status() {
    let fixture = Fixture::new().await;
    for status in Status::ALL {
        if status != Status::Claiming {
            fixture.row(status.as_str(), status.as_str()).await;
        }
    }
    let kill = async |id: &str| {
        instances::kill(&fixture.db, &id.into(), "api")
            .await
            .unwrap()
    };
    for id in ["starting", "idle", "dead", "claimed", "crashed", "claimed"] {
        assert_eq!(kill(id).await, Killed::Requested, "{id}");
    }
    assert_eq!(kill("nobody").await, Killed::AlreadyGone);
    assert_eq!(kill("no\0body").await, Killed::AlreadyGone);
    let rows = "SELECT string_agg(concat_ws(' ', id, status, delete_requested_at IS NOT NULL), \
                ', ' ORDER BY id) FROM instances";
    insta::assert_snapshot!(
        fixture.text(rows).await,
        @"claimed claimed t, crashed crashed t, dead dead f, idle dead f, starting dead f"
    );
    assert!(
        fixture
            .events("claimed")
            .await
            .ends_with("claimed>claimed api: kill")
    );
}

#[tokio::test]
async fn kill_is_refused_while_somebody_claims_it() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    lease_idle(&fixture.db, token(1), &[])
        .await
        .unwrap()
        .unwrap();
    let killed = instances::kill(&fixture.db, &"a".into(), "api")
        .await
        .unwrap();
    let Killed::Claiming { expires_in } = killed else {
        panic!("{killed:?}");
    };
    assert!(expires_in > Duration::from_secs(60) && expires_in <= LEASE);
    assert_eq!(fixture.status("a").await, "claiming");
}

#[tokio::test]
async fn an_unasked_one_that_is_killed_is_dead_and_asked_no_more() {
    let fixture = Fixture::new().await;
    fixture.row("a", "starting").await;
    fixture.execute("UPDATE instances SET unasked = true").await;
    instances::kill(&fixture.db, &"a".into(), "api")
        .await
        .unwrap();
    let row = fixture
        .text("SELECT concat_ws(' ', status, unasked) FROM instances")
        .await;
    assert_eq!(row, "dead f");
}

#[tokio::test]
async fn only_a_crashed_one_is_dismissed() {
    let fixture = Fixture::new().await;
    fixture.row("crashed", "crashed").await;
    fixture.row("claimed", "claimed").await;
    let dismiss = async |id: &str| {
        instances::dismiss(&fixture.db, &id.into(), "api")
            .await
            .unwrap()
    };
    assert!(dismiss("crashed").await);
    assert!(!dismiss("claimed").await);
    assert!(!dismiss("nobody").await);
    assert!(
        fixture
            .events("crashed")
            .await
            .ends_with("crashed>crashed api: dismiss")
    );
}

#[tokio::test]
async fn what_is_to_be_destroyed_by_request_is_in_no_count_and_no_list() {
    let fixture = Fixture::new().await;
    for (id, status) in [
        ("z", "idle"),
        ("b", "claimed"),
        ("c", "claimed"),
        ("d", "dead"),
    ] {
        fixture.row(id, status).await;
    }
    instances::kill(&fixture.db, &"b".into(), "api")
        .await
        .unwrap();
    let counts = instances::counts(&fixture.db).await.unwrap();
    let expected = Counts {
        idle: 1,
        claimed: 1,
        dead: 1,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    assert_eq!(counts.of(Status::Claimed), 1);
    let views = instances::most_urgent(&fixture.db, 9).await.unwrap();
    let listed: Vec<_> = views.iter().map(|view| view.id.as_str()).collect();
    assert_eq!(listed, ["z", "c", "d"], "oldest first");
    assert_eq!(views[0].url.as_deref(), Some("https://z"));
    let in_use = instances::newest_in_use(&fixture.db, 9).await.unwrap();
    let listed: Vec<_> = in_use.iter().map(|view| view.id.as_str()).collect();
    assert_eq!(listed, ["c"]);
}
