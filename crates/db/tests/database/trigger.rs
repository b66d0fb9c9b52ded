//! The transition trigger, against the state machine of `pool-domain`.

use pool_domain::Status;
use pool_domain::status::legal_changes;

use crate::fixture::Fixture;

/// The code of the error that the statement gets; empty when it gets none.
async fn code(fixture: &Fixture, sql: &str) -> String {
    match fixture.sql.batch_execute(sql).await {
        Ok(()) => String::new(),
        Err(error) => error.code().unwrap().code().to_owned(),
    }
}

#[tokio::test]
async fn the_database_allows_exactly_the_changes_of_the_state_machine() {
    let fixture = Fixture::new().await;
    let mut allowed = Vec::new();
    for from in Status::ALL {
        for to in Status::ALL.into_iter().filter(|to| *to != from) {
            // Verified or not: the change is legal if one of them may make it.
            for unasked in [false, true] {
                let id = format!("{from}-{to}-{unasked}");
                fixture.row(&id, from.as_str()).await;
                if unasked && matches!(from, Status::Starting | Status::Claiming) {
                    let ask = format!("UPDATE instances SET unasked = true WHERE id = '{id}'");
                    fixture.execute(&ask).await;
                }
                let change = format!(
                    "UPDATE instances SET status = '{to}', \
                     unasked = unasked AND '{to}' IN ('starting', 'crashed') WHERE id = '{id}'"
                );
                match code(&fixture, &change).await.as_str() {
                    "" => allowed.push((from, to)),
                    other => assert_eq!(other, "PO001", "{from} to {to}"),
                }
            }
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    assert_eq!(allowed, legal_changes());
}

#[tokio::test]
async fn a_refusal_names_the_instance_and_both_statuses() {
    let fixture = Fixture::new().await;
    fixture.row("any text", "claimed").await;
    let error = fixture
        .sql
        .batch_execute("UPDATE instances SET status = 'idle'")
        .await
        .unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().message(),
        "instance any text: cannot change from claimed to idle"
    );
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_refused_on_insert_too() {
    let fixture = Fixture::new().await;
    let insert = "INSERT INTO instances (id, service_id, name, status) VALUES \
                  ('a', 's', 'n', 'sleeping')";
    assert_eq!(code(&fixture, insert).await, "23514");
}

#[tokio::test]
async fn an_unasked_one_is_never_idle_and_an_asked_one_is_claimed_only_by_a_lease() {
    let fixture = Fixture::new().await;
    fixture.row("a", "starting").await;
    let claimed = "UPDATE instances SET status = 'claimed'";
    assert_eq!(code(&fixture, claimed).await, "PO001");
    fixture.execute("UPDATE instances SET unasked = true").await;
    let idle = "UPDATE instances SET status = 'idle'";
    assert_eq!(code(&fixture, idle).await, "PO001");
    let asked = "UPDATE instances SET status = 'idle', unasked = false";
    assert_eq!(code(&fixture, asked).await, "");
    let unasked = "UPDATE instances SET unasked = true";
    assert_eq!(code(&fixture, unasked).await, "PO001");
}

#[tokio::test]
async fn only_one_of_unverified_ownership_crashes_that_was_nobodys_by_the_records() {
    let fixture = Fixture::new().await;
    for (id, status) in [("a", "starting"), ("b", "claiming")] {
        fixture.row(id, status).await;
        let crash =
            format!("UPDATE instances SET status = 'crashed', unasked = true WHERE id = '{id}'");
        assert_eq!(code(&fixture, &crash).await, "PO001");
        let doubt = format!("UPDATE instances SET unasked = true WHERE id = '{id}'");
        fixture.execute(&doubt).await;
        let forget =
            format!("UPDATE instances SET status = 'crashed', unasked = false WHERE id = '{id}'");
        assert_eq!(code(&fixture, &forget).await, "PO001");
        let dead = format!("UPDATE instances SET status = 'dead' WHERE id = '{id}'");
        assert_eq!(
            code(&fixture, &dead).await,
            "PO001",
            "it is said to be asked"
        );
        assert_eq!(code(&fixture, &crash).await, "");
    }
    for status in [Status::Claimed, Status::Dead, Status::Idle, Status::Crashed] {
        fixture.row(status.as_str(), status.as_str()).await;
        let doubt = format!("UPDATE instances SET unasked = true WHERE id = '{status}'");
        assert_eq!(code(&fixture, &doubt).await, "PO001", "{status}");
    }
}

#[tokio::test]
async fn what_was_decided_before_an_instance_became_unverified_is_void() {
    let fixture = Fixture::new().await;
    fixture.row("a", "starting").await;
    for _ in 0..2 {
        fixture.execute("UPDATE instances SET unasked = true").await;
    }
    assert_eq!(fixture.text("SELECT epoch::text FROM instances").await, "1");
    let events = fixture.events("a").await;
    assert!(events.contains("starting>starting"), "{events}");
}

#[tokio::test]
async fn once_its_destruction_was_asked_for_nothing_else_happens_to_it() {
    let fixture = Fixture::new().await;
    for (id, status) in [("a", "claimed"), ("b", "crashed")] {
        fixture.row(id, status).await;
        let request = format!("UPDATE instances SET delete_requested_at = now() WHERE id = '{id}'");
        assert_eq!(code(&fixture, &request).await, "");
    }
    for refused in [
        "UPDATE instances SET status = 'crashed' WHERE id = 'a'",
        "UPDATE instances SET status = 'claimed' WHERE id = 'b'",
        "UPDATE instances SET delete_requested_at = NULL WHERE id = 'a'",
        "UPDATE instances SET delete_requested_at = '2020-01-01' WHERE id = 'a'",
        "UPDATE instances SET status = 'claimed', delete_requested_at = NULL WHERE id = 'b'",
    ] {
        assert_eq!(code(&fixture, refused).await, "PO001", "{refused}");
    }
    assert_eq!(code(&fixture, "DELETE FROM instances").await, "");
}

#[tokio::test]
async fn destruction_is_asked_for_only_of_claimed_and_crashed_ones() {
    let fixture = Fixture::new().await;
    for status in Status::ALL {
        fixture.row(status.as_str(), status.as_str()).await;
        let request =
            format!("UPDATE instances SET delete_requested_at = now() WHERE id = '{status}'");
        let expected = match status {
            Status::Claimed | Status::Crashed => "",
            _ => "PO001",
        };
        assert_eq!(code(&fixture, &request).await, expected, "{status}");
    }
}

#[tokio::test]
async fn only_a_dead_or_delete_requested_row_goes() {
    let fixture = Fixture::new().await;
    for status in Status::ALL {
        fixture.row(status.as_str(), status.as_str()).await;
        let delete = format!("DELETE FROM instances WHERE id = '{status}'");
        let expected = if status == Status::Dead { "" } else { "PO001" };
        assert_eq!(code(&fixture, &delete).await, expected, "{status}");
    }
}

#[tokio::test]
async fn the_epoch_and_the_date_are_the_triggers_alone() {
    let fixture = Fixture::new().await;
    fixture.row("a", "idle").await;
    let lie = "epoch = 99, status_changed_at = '2020-01-01'";
    let seen = "SELECT format('%s %s', epoch, status_changed_at > now() - interval '1 minute') \
                FROM instances";
    fixture
        .execute(&format!("UPDATE instances SET {lie}"))
        .await;
    assert_eq!(fixture.text(seen).await, "0 t");
    fixture
        .execute(&format!("UPDATE instances SET status = 'claiming', {lie}"))
        .await;
    assert_eq!(fixture.text(seen).await, "1 t");
    fixture
        .execute("UPDATE instances SET status = 'claimed'")
        .await;
    fixture
        .execute("UPDATE instances SET delete_requested_at = now()")
        .await;
    assert_eq!(fixture.text(seen).await, "3 t");
}

#[tokio::test]
async fn every_change_leaves_an_event_and_nothing_else_does() {
    let fixture = Fixture::new().await;
    fixture
        .execute(
            "INSERT INTO instances (id, service_id, name, status_actor, status_reason) \
             VALUES ('a', 's', 'n', 'me', 'made'); \
             INSERT INTO instances (id, service_id, name) VALUES ('a', 'x', 'n') \
             ON CONFLICT DO NOTHING; \
             UPDATE instances SET url = 'https://a'; \
             UPDATE instances SET status = 'dead', status_actor = 'you', status_reason = 'stuck'; \
             UPDATE instances SET status_actor = 'them', status_reason = 'removed'; \
             DELETE FROM instances",
        )
        .await;
    assert_eq!(
        fixture.events("a").await,
        "none>starting me: made; starting>dead you: stuck; dead>none them: removed"
    );
    let epochs = "SELECT string_agg(epoch::text, ' ' ORDER BY id) FROM instance_events \
                  WHERE service_id = 's'";
    assert_eq!(fixture.text(epochs).await, "0 1 1");
}

#[tokio::test]
async fn asking_for_destruction_leaves_an_event_between_equal_statuses() {
    let fixture = Fixture::new().await;
    fixture.row("a", "claimed").await;
    fixture
        .execute(
            "UPDATE instances SET delete_requested_at = now(), status_actor = 'me', \
             status_reason = 'kill'",
        )
        .await;
    let events = fixture.events("a").await;
    assert!(events.ends_with("claimed>claimed me: kill"), "{events}");
}

#[tokio::test]
async fn a_row_cannot_begin_in_a_state_that_no_change_leads_to() {
    let fixture = Fixture::new().await;
    for status in Status::ALL {
        for (column, value, may) in [
            ("unasked", "true", &[Status::Starting, Status::Crashed]),
            (
                "delete_requested_at",
                "now()",
                &[Status::Claimed, Status::Crashed],
            ),
        ] {
            let insert = format!(
                "INSERT INTO instances (id, service_id, name, status, {column}) \
                 VALUES ('{status}-{column}', '{status}-{column}', 'n', '{status}', {value})"
            );
            let expected = if may.contains(&status) { "" } else { "PO001" };
            assert_eq!(code(&fixture, &insert).await, expected, "{insert}");
        }
    }
}

#[tokio::test]
async fn no_other_kind_of_statement_gets_round_the_state_machine() {
    let fixture = Fixture::new().await;
    for (id, status) in [
        ("a", "claimed"),
        ("b", "idle"),
        ("c", "crashed"),
        ("d", "dead"),
    ] {
        fixture.row(id, status).await;
    }
    let before = "SELECT string_agg(concat_ws(' ', id, status, epoch), ', ' ORDER BY id) \
                  FROM instances";
    let rows = fixture.text(before).await;
    for refused in [
        // As an older build writes what it lists, whatever the row has become.
        "INSERT INTO instances (id, service_id, name, status) VALUES ('a', 's', 'n', 'idle') \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status",
        "INSERT INTO instances (id, service_id, name, status) VALUES \
         ('x', 'service-d', 'n', 'idle') \
         ON CONFLICT (service_id) DO UPDATE SET status = excluded.status",
        "MERGE INTO instances USING (VALUES ('c')) AS new (id) ON instances.id = new.id \
         WHEN MATCHED THEN UPDATE SET status = 'dead'",
        "MERGE INTO instances USING (VALUES ('a')) AS new (id) ON instances.id = new.id \
         WHEN MATCHED THEN DELETE",
        "WITH all_idle AS (UPDATE instances SET status = 'idle' RETURNING id) \
         SELECT * FROM all_idle",
        // One of them may not, so none does.
        "UPDATE instances SET status = 'dead' WHERE id IN ('a', 'b')",
        "UPDATE instances SET status = 'claimed', epoch = 0, claim_token = NULL WHERE id = 'b'",
        "UPDATE instances SET status = 'idle', unasked = false, failed_claims = 0 WHERE id = 'd'",
        "DELETE FROM instances",
    ] {
        assert_eq!(code(&fixture, refused).await, "PO001", "{refused}");
    }
    assert_eq!(
        code(&fixture, "UPDATE instances SET status = NULL").await,
        "PO001"
    );
    assert_eq!(fixture.text(before).await, rows);
}
