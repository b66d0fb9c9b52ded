//! The text of the lease and the plan that the database makes for it.

use crate::fixture::Fixture;

const LEASE_IDLE: &str = include_str!("../../src/claims/lease_idle.sql");

/// What leases are asked for beside their tokens and length: nothing, or a key.
const KEYS: [&str; 2] = [
    "'{NULL}', '{NULL}', '{NULL}', '{NULL}'",
    "'{key}', '{fingerprint}', '{86400000}', ARRAY[gen_random_uuid()]",
];

/// The plan of a prepared lease, generic or for its values.
async fn plan(fixture: &Fixture, mode: &str, key: &str) -> String {
    fixture
        .execute(&format!(
            "DEALLOCATE ALL; SET plan_cache_mode = {mode}; \
             PREPARE lease (uuid[], bigint, text[], text[], bytea[], bigint[], uuid[], bigint, bigint) \
             AS {LEASE_IDLE}"
        ))
        .await;
    let lease = format!("lease (ARRAY[gen_random_uuid()], 90000, '{{x}}', {key}, 0, 0)");
    explain(fixture, &lease).await
}

async fn explain(fixture: &Fixture, prepared: &str) -> String {
    let explained = fixture
        .sql
        .simple_query(&format!("EXPLAIN (COSTS OFF) EXECUTE {prepared}"))
        .await
        .unwrap();
    let lines = explained.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn assert_uses_the_index(plan: &str) {
    assert!(
        plan.contains("Index Scan using idx_instances_queue"),
        "{plan}"
    );
    assert!(plan.contains("using instances_pkey"), "{plan}");
    assert!(plan.contains(" idx_instances_claim_token"), "{plan}");
    assert!(!plan.contains("Sort Key: (COALESCE"), "{plan}");
    assert!(!plan.contains("Seq Scan on instances"), "{plan}");
}

#[tokio::test]
async fn what_ends_a_claim_finds_it_and_its_key_by_its_token() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    fill_keys(&fixture).await;
    for (text, other_values) in [
        (
            include_str!("../../src/claims/confirm.sql"),
            "'{n}', '{c}', '{i}', '{t}', '{b}', '{a}', '{t}', '{t}'",
        ),
        (
            include_str!("../../src/claims/bind.sql"),
            "'{a}', '{c}', '{i}'",
        ),
        (
            include_str!("../../src/claims/release.sql"),
            "'{refused}', '{1}', '{idle}', '{starting}'",
        ),
        (
            include_str!("../../src/claims/abandon.sql"),
            "'{timeout}', '{failed}'",
        ),
    ] {
        fixture
            .execute(&format!(
                "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; PREPARE ending AS {text}"
            ))
            .await;
        let plan = explain(
            &fixture,
            &format!("ending (ARRAY[gen_random_uuid()], {other_values})"),
        )
        .await;
        assert!(plan.contains("using idx_instances_claim_token"), "{plan}");
        assert!(plan.contains("idx_claim_requests_claim_token"), "{plan}");
        assert!(!plan.contains("Seq Scan on instances"), "{plan}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_key_is_found_by_the_key_and_by_the_token() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    fill_keys(&fixture).await;
    for (text, values, index) in [
        (
            include_str!("../../src/claims/key_known.sql"),
            "'7'",
            "using claim_requests_pkey",
        ),
        (
            include_str!("../../src/claims/key_known.sql"),
            "'7'",
            "using idx_instances_claim_token",
        ),
        (
            include_str!("../../src/claims/key_prune.sql"),
            "1000",
            "using idx_claim_requests_expires_at",
        ),
    ] {
        fixture
            .execute(&format!("DEALLOCATE ALL; PREPARE asking AS {text}"))
            .await;
        let plan = explain(&fixture, &format!("asking ({values})")).await;
        assert!(plan.contains(index), "{plan}");
    }
}

/// Keys of 10,000 claims, and statistics of everything.
async fn fill_keys(fixture: &Fixture) {
    fixture
        .execute(
            "INSERT INTO claim_requests (key, fingerprint, claim_token, instance_id, expires_at) \
             SELECT n::text, '', gen_random_uuid(), n::text, now() + n * interval '1 s' \
             FROM generate_series(1, 10000) AS n; \
             ANALYZE instances; ANALYZE claim_requests",
        )
        .await;
}

async fn fill(fixture: &Fixture) {
    fixture
        .execute(
            "ALTER TABLE instances SET (autovacuum_enabled = false); \
             ALTER TABLE instances DISABLE TRIGGER USER; \
             INSERT INTO instances (id, service_id, name, status, created_at) \
             SELECT n::text, 's' || n, 'n', 'idle', now() - n * interval '1 s' \
             FROM generate_series(1, 100000) AS n; \
             ALTER TABLE instances ENABLE TRIGGER USER",
        )
        .await;
}

#[test]
fn the_text_of_the_lease_is_this() {
    insta::assert_snapshot!(LEASE_IDLE);
}

#[tokio::test]
async fn a_lease_uses_its_index_with_100_000_idle_rows() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    fixture.execute("ANALYZE instances").await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        for key in KEYS {
            assert_uses_the_index(&plan(&fixture, mode, key).await);
        }
    }
}

#[tokio::test]
async fn a_lease_uses_its_index_also_with_statistics_of_an_empty_pool() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "ALTER TABLE instances SET (autovacuum_enabled = false); \
             INSERT INTO instances (id, service_id, name, status) \
             SELECT 'c' || n, 'c' || n, 'n', 'claimed' FROM generate_series(1, 1000) AS n; \
             ANALYZE instances",
        )
        .await;
    fill(&fixture).await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        for key in KEYS {
            assert_uses_the_index(&plan(&fixture, mode, key).await);
        }
    }
}
