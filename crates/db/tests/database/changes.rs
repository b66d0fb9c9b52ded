//! The leader's guarded writes to `instances`.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use pool_db::instances::put_last;
use pool_db::{Error, instances};
use pool_domain::write::{Adoption, FoundConversation, NewInstance, Refresh, StatusChange};
use pool_domain::{Epoch, InstanceId, Status, Term, chain};

use crate::fixture::Fixture;

fn change(id: &str, from: Status, to: Status) -> StatusChange {
    StatusChange {
        id: id.into(),
        from,
        epoch: Epoch(0),
        to,
        reason: "because".to_owned(),
        conversation: None,
        is_loss: false,
    }
}

/// What the row holds already.
async fn unchanged(fixture: &Fixture, id: &str) -> Refresh {
    let loaded = instances::load(&fixture.db).await.unwrap();
    let row = loaded
        .rows
        .into_iter()
        .find(|row| row.id.as_str() == id)
        .unwrap();
    Refresh {
        id: row.id,
        epoch: row.epoch,
        name: row.name,
        url: row.url,
        deploy_status: row.deploy_status,
        runtime_image: row.runtime_image,
        gateway_token: row.gateway_token,
        agentmail_inbox_id: row.agentmail_inbox_id,
        claimed_at: row.claimed_at,
        missing_since: row.missing_since,
        unasked: row.unasked,
    }
}

#[tokio::test]
async fn a_change_is_made_only_where_the_row_has_not_moved_on() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    for id in ["a", "b", "c"] {
        fixture.row(id, "idle").await;
    }
    fixture
        .execute("UPDATE instances SET status = 'claiming' WHERE id = 'b'")
        .await;
    let wrong_epoch = StatusChange {
        epoch: Epoch(7),
        ..change("c", Status::Idle, Status::Dead)
    };
    let changes = [
        change("b", Status::Idle, Status::Dead),
        change("a", Status::Idle, Status::Starting),
        wrong_epoch,
        change("nobody", Status::Idle, Status::Dead),
    ];
    let done = instances::change_statuses(&fixture.db, term, &changes, "reconciler")
        .await
        .unwrap();
    assert_eq!(done, [InstanceId::from("a")]);
    assert_eq!(fixture.status("b").await, "claiming");
    assert_eq!(fixture.status("c").await, "idle");
    let events = fixture.events("a").await;
    assert!(
        events.ends_with("idle>starting reconciler: because"),
        "{events}"
    );
}

#[tokio::test]
async fn one_change_that_the_database_refuses_does_not_lose_the_others() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "starting").await;
    fixture.row("b", "claimed").await;
    fixture.row("c", "starting").await;
    let changes = [
        change("a", Status::Starting, Status::Idle),
        change("b", Status::Claimed, Status::Dead),
        change("c", Status::Starting, Status::Dead),
    ];
    let done = instances::change_statuses(&fixture.db, term, &changes, "reconciler")
        .await
        .unwrap();
    assert_eq!(done, [InstanceId::from("a"), InstanceId::from("c")]);
    assert_eq!(fixture.status("b").await, "claimed");
}

#[tokio::test]
async fn more_changes_than_one_transaction_holds_are_all_made() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture
        .execute(
            "INSERT INTO instances (id, service_id, name) \
             SELECT n::text, 's' || n, 'n' FROM generate_series(1, 250) AS n",
        )
        .await;
    let changes: Vec<_> = (1..=250)
        .map(|n| change(&n.to_string(), Status::Starting, Status::Idle))
        .collect();
    let done = instances::change_statuses(&fixture.db, term, &changes, "reconciler")
        .await
        .unwrap();
    assert_eq!(done.len(), 250);
}

#[tokio::test]
async fn an_adopted_one_that_is_somebodys_becomes_claimed_with_its_conversation() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "starting").await;
    fixture.execute("UPDATE instances SET unasked = true").await;
    let found = StatusChange {
        conversation: Some(FoundConversation {
            conversation_id: "c1".to_owned(),
            invite_url: None,
        }),
        epoch: Epoch(1),
        ..change("a", Status::Starting, Status::Claimed)
    };
    instances::change_statuses(&fixture.db, term, &[found], "reconciler")
        .await
        .unwrap();
    let row = "SELECT concat_ws(' ', status, conversation_id, claimed_at IS NOT NULL, unasked) \
               FROM instances";
    assert_eq!(fixture.text(row).await, "claimed c1 t f");
}

#[tokio::test]
async fn unchanged_rows_are_not_written() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    let place = "SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY id) FROM instances \
                 WHERE id = 'a'";
    let before = fixture.text(place).await;
    let differing = Refresh {
        deploy_status: Some("SUCCESS".into()),
        ..unchanged(&fixture, "b").await
    };
    let refreshes = [unchanged(&fixture, "a").await, differing];
    for expected in [1, 0] {
        let written = instances::refresh(&fixture.db, term, &refreshes)
            .await
            .unwrap();
        assert_eq!(written, expected);
    }
    assert_eq!(fixture.text(place).await, before);
    let seen = fixture
        .text("SELECT deploy_status FROM instances WHERE id = 'b'")
        .await;
    assert_eq!(seen, "SUCCESS");
}

#[tokio::test]
async fn a_known_url_is_never_replaced_by_none() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "idle").await;
    let without = Refresh {
        url: None,
        runtime_image: Some("image".to_owned()),
        ..unchanged(&fixture, "a").await
    };
    instances::refresh(&fixture.db, term, &[without])
        .await
        .unwrap();
    let row = fixture
        .text("SELECT concat_ws(' ', url, runtime_image) FROM instances")
        .await;
    assert_eq!(row, "https://a image");
}

#[tokio::test]
async fn a_row_that_is_being_claimed_or_moved_on_is_not_refreshed() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("claiming", "claiming").await;
    fixture.row("moved", "idle").await;
    let mut refreshes = [
        unchanged(&fixture, "claiming").await,
        unchanged(&fixture, "moved").await,
    ];
    for refresh in &mut refreshes {
        refresh.name = "another".to_owned();
    }
    fixture
        .execute("UPDATE instances SET status = 'starting' WHERE id = 'moved'")
        .await;
    let written = instances::refresh(&fixture.db, term, &refreshes)
        .await
        .unwrap();
    assert_eq!(written, 0);
}

fn new_instance(id: &str, service: &str) -> NewInstance {
    NewInstance {
        id: id.into(),
        service_id: service.into(),
        name: format!("convos-agent-{id}"),
        openrouter_key_hash: Some("hash".into()),
        agentmail_inbox_id: Some("inbox".into()),
        gateway_token: None,
        runtime_image: None,
    }
}

#[tokio::test]
async fn a_created_row_is_inserted_once_and_another_ones_place_is_not_taken() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    for _ in 0..2 {
        instances::insert_created(&fixture.db, term, &new_instance("a", "s"))
            .await
            .unwrap();
    }
    assert_eq!(
        fixture.events("a").await,
        "none>starting reconciler: created"
    );
    let taken = instances::insert_created(&fixture.db, term, &new_instance("b", "s")).await;
    assert!(matches!(taken, Err(Error::InsertInstance { .. })));
}

fn adoption(id: &str, status: Status) -> Adoption {
    Adoption {
        id: id.into(),
        service_id: format!("service-{id}").as_str().into(),
        name: format!("convos-agent-{id}"),
        url: None,
        status,
        deploy_status: Some("SUCCESS".into()),
        runtime_image: None,
        gateway_token: Some(pool_domain::Secret::new("t")),
        agentmail_inbox_id: None,
        created_at: Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap(),
        claimed_at: None,
        reason: "adopted".to_owned(),
    }
}

#[tokio::test]
async fn adoption_inserts_unasked_rows_and_leaves_those_that_are_there() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "claimed").await;
    let adoptions = [
        adoption("a", Status::Starting),
        adoption("b", Status::Starting),
        adoption("c", Status::Crashed),
    ];
    let inserted = instances::insert_adopted(&fixture.db, term, &adoptions)
        .await
        .unwrap();
    assert_eq!(inserted, [InstanceId::from("b"), InstanceId::from("c")]);
    assert_eq!(fixture.status("a").await, "claimed");
    let loaded = instances::load(&fixture.db).await.unwrap();
    let adopted = &loaded.rows[1];
    assert!(adopted.unasked);
    assert_eq!(adopted.created_at, adoptions[1].created_at);
    assert_eq!(loaded.rows[2].status, Status::Crashed);
}

#[tokio::test]
async fn a_row_goes_only_when_it_is_to_be_destroyed_and_has_not_moved_on() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("dead", "dead").await;
    fixture.row("idle", "idle").await;
    fixture.row("moved", "claimed").await;
    fixture
        .execute("UPDATE instances SET delete_requested_at = now() WHERE id = 'moved'")
        .await;
    let rows = ["dead", "idle", "moved"].map(|id| (InstanceId::from(id), Epoch(0)));
    let removed = instances::remove(&fixture.db, term, &rows, "reconciler")
        .await
        .unwrap();
    assert_eq!(removed.ids, [InstanceId::from("dead")]);
    let events = fixture.events("dead").await;
    assert!(
        events.ends_with("dead>none reconciler: removed"),
        "{events}"
    );
}

#[tokio::test]
async fn a_row_that_somebody_elses_table_refers_to_holds_back_no_other() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    for id in ["a", "held", "z"] {
        fixture.row(id, "dead").await;
    }
    fixture
        .execute(
            "CREATE TABLE invoices (instance text REFERENCES instances (id)); \
             INSERT INTO invoices VALUES ('held')",
        )
        .await;
    let rows = ["a", "held", "z"].map(|id| (InstanceId::from(id), Epoch(0)));
    let removed = instances::remove(&fixture.db, term, &rows, "reconciler")
        .await
        .unwrap();
    assert_eq!(removed.ids, ["a", "z"].map(InstanceId::from));
    let (id, why) = &removed.held[0];
    assert_eq!(id, &InstanceId::from("held"));
    assert!(chain(why).contains("invoices"), "{}", chain(why));
}

#[tokio::test]
async fn a_row_that_this_build_cannot_read_is_said_and_skipped() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    fixture.row("b", "idle").await;
    fixture
        .execute(
            "ALTER TABLE instances DROP CONSTRAINT instances_status_check; \
             INSERT INTO instances (id, service_id, name, status) VALUES \
             ('new', 's', 'n', 'hibernating'); \
             UPDATE instances SET failed_claims = -1 WHERE id = 'b'",
        )
        .await;
    let loaded = instances::load(&fixture.db).await.unwrap();
    assert_eq!(loaded.rows.len(), 1);
    assert_eq!(
        loaded.unreadable,
        [
            "instances.failed_claims of row b: -1 is out of range",
            "instances.status of row new: `hibernating` is not a status of this build",
        ]
    );
    assert!(loaded.now - loaded.rows[0].status_changed_at < TimeDelta::minutes(1));
}

#[tokio::test]
async fn a_stale_leader_writes_nothing() {
    let fixture = Fixture::new().await;
    let (leader, old) = fixture.leader().await;
    drop(leader);
    fixture.row("a", "idle").await;
    fixture.execute("SELECT pool_raise_term('another')").await;
    let changes = [change("a", Status::Idle, Status::Dead)];
    let adoptions = [adoption("b", Status::Starting)];
    let refresh = Refresh {
        name: "another".to_owned(),
        ..unchanged(&fixture, "a").await
    };
    let rows = [(InstanceId::from("a"), Epoch(0))];
    let db = &fixture.db;
    let refusals = [
        instances::change_statuses(db, old, &changes, "x")
            .await
            .map(drop),
        instances::refresh(db, old, &[refresh]).await.map(drop),
        instances::insert_created(db, old, &new_instance("c", "s"))
            .await
            .map(drop),
        instances::insert_adopted(db, old, &adoptions)
            .await
            .map(drop),
        instances::remove(db, old, &rows, "x").await.map(drop),
        instances::remove(db, Term(99), &rows, "x").await.map(drop),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(Error::StaleTerm)), "{refusal:?}");
    }
    assert_eq!(fixture.text("SELECT count(*) FROM instances").await, "1");
    assert_eq!(fixture.status("a").await, "idle");
}

#[tokio::test]
async fn what_is_put_last_stands_behind_all_others_for_a_while_and_is_written_seldom() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    for id in ["a", "b", "c"] {
        fixture.row(id, "idle").await;
    }
    let lasts = Duration::from_secs(600);
    let queue = "SELECT string_agg(id, ' ' ORDER BY coalesce(put_back_at, created_at), id) \
                 || ' ' || max(put_back_at) FROM instances";
    let rows = [("a".into(), Epoch(0)), ("b".into(), Epoch(7))];
    put_last(&fixture.db, term, &rows, lasts).await.unwrap();
    let first = fixture.text(queue).await;
    assert!(first.starts_with("b c a "), "{first}");
    put_last(&fixture.db, term, &rows, lasts).await.unwrap();
    assert_eq!(fixture.text(queue).await, first, "nothing is written again");
    fixture
        .execute("UPDATE instances SET put_back_at = now() + interval '4 min' WHERE id = 'a'")
        .await;
    put_last(&fixture.db, term, &rows, lasts).await.unwrap();
    assert_ne!(
        fixture.text(queue).await,
        first,
        "after half of the time it is"
    );
}
