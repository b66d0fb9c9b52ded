//! What is recorded of the fuse.

use std::collections::HashSet;

use pool_db::{Error, fuse, instances};
use pool_domain::write::StatusChange;
use pool_domain::{Epoch, FuseReport, HeldLoss, InstanceId, Status, Term};

use crate::fixture::Fixture;

fn lose(id: &str, from: Status, to: Status, epoch: i64) -> StatusChange {
    StatusChange {
        id: id.into(),
        from,
        epoch: Epoch(epoch),
        to,
        reason: "deployment failed".to_owned(),
        conversation: None,
        is_loss: true,
    }
}

async fn tripped(fixture: &Fixture) -> FuseReport {
    FuseReport {
        tripped_at: fixture.db.now().await.unwrap(),
        why: "too many".to_owned(),
        lost: 1,
        waiting: 6,
        limit: 5,
        held: vec![HeldLoss {
            id: "a".into(),
            epoch: Epoch(3),
            from: Status::Idle,
            to: Status::Dead,
            reason: "zero\0".to_owned(),
        }],
    }
}

#[tokio::test]
async fn a_loss_is_counted_with_its_change_each_instance_once() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    for id in ["again", "moved", "asked", "claimed"] {
        fixture.row(id, "idle").await;
    }
    fixture
        .execute("UPDATE instances SET status = 'claiming' WHERE id = 'moved'")
        .await;
    let asked = StatusChange {
        is_loss: false,
        ..lose("asked", Status::Idle, Status::Dead, 0)
    };
    let changes = [
        lose("again", Status::Idle, Status::Starting, 0),
        lose("moved", Status::Idle, Status::Dead, 0),
        asked,
        // The trigger refuses this one, so it is not lost.
        lose("claimed", Status::Idle, Status::Claimed, 0),
    ];
    let change = async |changes: &[StatusChange]| {
        instances::change_statuses(&fixture.db, term, changes, "reconciler").await
    };
    assert_eq!(change(&changes).await.unwrap().len(), 2);
    let first = fuse::load(&fixture.db).await.unwrap();
    let ids: HashSet<_> = first.losses.keys().cloned().collect();
    assert_eq!(ids, HashSet::from([InstanceId::from("again")]));

    let again = [lose("again", Status::Starting, Status::Dead, 1)];
    assert_eq!(change(&again).await.unwrap().len(), 1);
    let second = fuse::load(&fixture.db).await.unwrap();
    assert_eq!(second.losses.len(), 1);
    let id = InstanceId::from("again");
    assert!(
        second.losses[&id] > first.losses[&id],
        "the last one counts"
    );
}

#[tokio::test]
async fn how_it_stands_is_kept_until_a_leader_says_otherwise() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    assert_eq!(fuse::tripped(&fixture.db).await.unwrap(), None);
    let mut report = tripped(&fixture).await;
    fuse::save(&fixture.db, term, Some(&report), 9)
        .await
        .unwrap();
    report.held[0].reason = "zero\u{FFFD}".to_owned();
    let stored = fuse::tripped(&fixture.db).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&report));
    let record = fuse::load(&fixture.db).await.unwrap();
    assert_eq!(record.tripped, stored);
    assert_eq!(record.row_counts[0].rows, 9);
    fuse::save(&fixture.db, term, None, 9).await.unwrap();
    assert_eq!(fuse::tripped(&fixture.db).await.unwrap(), None);
    assert_eq!(fixture.text("SELECT count(*) FROM fuse").await, "1");
}

#[tokio::test]
async fn a_report_of_another_build_is_none() {
    let fixture = Fixture::new().await;
    fixture
        .execute(r#"INSERT INTO fuse (report) VALUES ('{"sinceWhen": "yesterday"}')"#)
        .await;
    assert_eq!(fuse::tripped(&fixture.db).await.unwrap(), None);
}

#[tokio::test]
async fn what_no_window_reaches_is_forgotten_but_for_the_count_that_it_begins_with() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture
        .execute(
            "INSERT INTO fuse_row_counts (at, rows) \
             SELECT now() - minutes * interval '1 minute', minutes \
             FROM unnest(ARRAY[90, 12, 11, 5, 1]) AS minutes; \
             INSERT INTO fuse_losses (instance_id, at) VALUES \
             ('old', now() - interval '10 minutes'), ('new', now() - interval '9 minutes')",
        )
        .await;
    fuse::save(&fixture.db, term, None, 7).await.unwrap();
    fuse::save(&fixture.db, term, None, 8).await.unwrap();
    let counts = "SELECT string_agg(rows::text, ' ' ORDER BY at) FROM fuse_row_counts";
    assert_eq!(fixture.text(counts).await, "11 5 1 7");
    let record = fuse::load(&fixture.db).await.unwrap();
    let now = fixture.db.now().await.unwrap();
    assert_eq!(record.rows_at_start(now), Some(11));
    assert_eq!((record.losses.len(), record.lost(now)), (1, 1));
}

#[tokio::test]
async fn a_stale_leader_neither_trips_nor_mends_it() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let stale = Term(term.0 - 1);
    let report = tripped(&fixture).await;
    for report in [Some(&report), None] {
        let refused = fuse::save(&fixture.db, stale, report, 1).await;
        assert!(matches!(refused, Err(Error::StaleTerm)), "{refused:?}");
    }
    assert_eq!(fixture.text("SELECT count(*) FROM fuse").await, "0");
}
