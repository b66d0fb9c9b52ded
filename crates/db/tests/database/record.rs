//! Records that were restored are told from those that were written last.

use pool_db::claims::{self, Leased};
use pool_db::record;

use crate::fixture::{Fixture, LEASE, token};

const MARKED: &str = "SELECT string_agg(concat_ws(' ', id, status, unasked), ', ' ORDER BY id) \
                      FROM instances";

async fn three_rows() -> Fixture {
    let fixture = Fixture::new().await;
    for (id, status) in [
        ("a", "idle"),
        ("b", "claiming"),
        ("c", "claimed"),
        ("d", "dead"),
    ] {
        fixture.row(id, status).await;
    }
    fixture
}

/// As a restore does: the same row, written by another transaction.
async fn restore(fixture: &Fixture) {
    let restore = "CREATE TABLE dump AS TABLE record_identity; TRUNCATE record_identity; \
                   INSERT INTO record_identity SELECT * FROM dump; DROP TABLE dump";
    for statement in restore.split(';') {
        fixture.execute(statement).await;
    }
}

#[tokio::test]
async fn nothing_is_leased_or_expires_until_restored_records_are_verified() {
    let fixture = three_rows().await;
    restore(&fixture).await;
    fixture
        .execute("UPDATE instances SET claim_expires_at = now() - interval '1 h' WHERE id = 'b'")
        .await;
    let lease = claims::lease_idle(&fixture.db, token(1), LEASE, &[], None).await;
    assert_eq!(lease.unwrap(), Leased::Unverified);
    assert!(claims::expire(&fixture.db, LEASE).await.unwrap().is_empty());

    let doubted = record::verify(&fixture.db).await.unwrap().unwrap();
    assert_eq!(
        (doubted.instances, doubted.why.as_str()),
        (2, "it was restored or copied")
    );
    let marked = "a starting t, b claiming t, c claimed f, d dead f";
    assert_eq!(fixture.text(MARKED).await, marked);
    let lease = claims::lease_idle(&fixture.db, token(1), LEASE, &[], None).await;
    assert_eq!(lease.unwrap(), Leased::NoneIdle);
    claims::expire(&fixture.db, LEASE).await.unwrap();
    let marked = "a starting t, b crashed t, c claimed f, d dead f";
    assert_eq!(fixture.text(MARKED).await, marked, "it waits for a person");
    assert_eq!(record::verify(&fixture.db).await.unwrap(), None, "once");
}

#[tokio::test]
async fn a_leader_decides_nothing_from_restored_records() {
    let fixture = three_rows().await;
    let (_candidate, term) = fixture.leader().await;
    restore(&fixture).await;
    let refused = pool_db::fuse::save(&fixture.db, term, None, 1).await;
    assert!(
        matches!(refused, Err(pool_db::Error::UnverifiedRecord)),
        "{refused:?}"
    );
    record::verify(&fixture.db).await.unwrap().unwrap();
    pool_db::fuse::save(&fixture.db, term, None, 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_rewritten_in_place_is_not_taken_for_restored() {
    let fixture = three_rows().await;
    for statement in [
        "VACUUM (FULL, FREEZE) record_identity",
        "VACUUM (FULL, FREEZE) instances",
        "CLUSTER instances USING instances_pkey",
        "TRUNCATE instances",
        "ALTER TABLE instances ALTER COLUMN failed_claims TYPE integer",
        "REINDEX TABLE instances",
    ] {
        fixture.execute(statement).await;
        let doubted = record::verify(&fixture.db).await.unwrap();
        assert_eq!(doubted, None, "{statement}");
    }
}

#[tokio::test]
async fn a_table_of_instances_that_was_made_anew_is_taken_for_restored() {
    let fixture = three_rows().await;
    fixture
        .execute(
            "CREATE TABLE anew (LIKE instances INCLUDING ALL); INSERT INTO anew TABLE instances; \
             ALTER TABLE instances RENAME TO older; ALTER TABLE anew RENAME TO instances",
        )
        .await;
    assert!(record::verify(&fixture.db).await.unwrap().is_some());
}

#[tokio::test]
async fn another_timeline_or_cluster_is_told_by_its_name() {
    for (column, why) in [
        ("timeline", "a standby was promoted, or a backup recovered"),
        ("cluster", "it is in another cluster than before"),
    ] {
        let fixture = three_rows().await;
        // By itself it would be a copy that betrays itself.
        fixture
            .execute(&format!(
                "BEGIN; UPDATE record_identity SET {column} = 'another'; \
                 UPDATE record_identity SET written_by = xmin; COMMIT"
            ))
            .await;
        let doubted = record::verify(&fixture.db).await.unwrap().unwrap();
        assert_eq!(doubted.why, why);
    }
}

#[tokio::test]
async fn records_that_go_back_in_time_are_told_by_whoever_saw_them_later() {
    let fixture = three_rows().await;
    let tick = "INSERT INTO ticks (id, term, started_at, complete, report) \
                OVERRIDING SYSTEM VALUE VALUES (7, 1, now(), true, '{}')";
    fixture.execute(tick).await;
    assert_eq!(record::verify(&fixture.db).await.unwrap(), None);
    fixture.execute("DELETE FROM ticks").await;
    let lease = claims::lease_idle(&fixture.db, token(1), LEASE, &[], None).await;
    assert_eq!(lease.unwrap(), Leased::Unverified);
    let doubted = record::verify(&fixture.db).await.unwrap().unwrap();
    assert_eq!(doubted.why, "it went back in time");
    assert_eq!(record::verify(&fixture.db).await.unwrap(), None, "once");
}

#[tokio::test]
async fn a_role_that_may_not_ask_for_the_timeline_is_known() {
    let fixture = Fixture::new().await;
    assert!(!record::is_blind(&fixture.db).await.unwrap());
    fixture
        .execute(
            "CREATE OR REPLACE FUNCTION pool_timeline() RETURNS text LANGUAGE sql AS 'SELECT NULL'",
        )
        .await;
    assert!(record::is_blind(&fixture.db).await.unwrap());
}
