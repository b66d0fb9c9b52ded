//! What becomes of the rows.

use std::fmt::Write as _;

use insta::assert_snapshot;
use pool_db::migrations;
use pool_legacy_schema::{contract_telling, drop_tables, status};

use super::{
    EVERY_COLUMN_OF_AGENT_METADATA, EVERY_COLUMN_OF_POOL_INSTANCES, agent_metadata, database_of,
    every_generation, instances, lines, pool_instances, up,
};

const INSTANCES: &str = "SELECT concat_ws(' | ', id, service_id, name, coalesce(url, '-'), status, \
     coalesce(agent_name, '-'), coalesce(conversation_id, '-'), coalesce(invite_url, '-'), \
     coalesce(instructions, '-'), created_at AT TIME ZONE 'UTC', \
     coalesce((claimed_at AT TIME ZONE 'UTC')::text, '-'), source_branch, openrouter_key_hash) \
     FROM instances ORDER BY id COLLATE \"C\"";
const ASIDE: &str = "SELECT concat_ws(' | ', from_table, id, service_id, reason) FROM set_aside \
     ORDER BY from_table, id COLLATE \"C\"";

#[tokio::test]
async fn of_the_first_generation_claimed_rows_become_instances_and_others_are_set_aside() {
    let more = format!(
        "{EVERY_COLUMN_OF_POOL_INSTANCES} CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql \
         AS $$ BEGIN NEW.instructions := 'be ' || NEW.id; NEW.join_url := 'join ' || NEW.id; \
         RETURN NEW; END $$; CREATE TRIGGER tell BEFORE INSERT ON pool_instances FOR EACH ROW \
         EXECUTE FUNCTION tell();"
    );
    let (database, client) = database_of(&pool_instances("claimed_by", &more)).await;
    up(database.url()).await;
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    assert_snapshot!(lines(&client, INSTANCES).await);
    assert_snapshot!(lines(&client, ASIDE).await);
}

#[tokio::test]
async fn of_the_second_generation_every_row_becomes_an_instance_and_the_later_claim_wins() {
    let more = format!(
        "{EVERY_COLUMN_OF_AGENT_METADATA} ALTER TABLE agent_metadata \
         ALTER COLUMN source_branch SET DEFAULT 'main', \
         ALTER COLUMN openrouter_key_hash SET DEFAULT 'hash';"
    );
    let (database, client) = database_of(&agent_metadata(&more)).await;
    up(database.url()).await;
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    assert_snapshot!(lines(&client, INSTANCES).await);
    assert_snapshot!(lines(&client, ASIDE).await);
}

#[tokio::test]
async fn beside_instances_metadata_fills_gaps_and_what_has_no_instance_is_set_aside() {
    let sql = instances("") + &agent_metadata(EVERY_COLUMN_OF_AGENT_METADATA);
    let (database, client) = database_of(&sql).await;
    client
        .batch_execute("UPDATE instances SET created_at = '2025-04-01 00:00:00+00'")
        .await
        .unwrap();
    up(database.url()).await;
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    assert_snapshot!(lines(&client, INSTANCES).await);
    assert_snapshot!(lines(&client, ASIDE).await);
    let leased = "SELECT id FROM instances WHERE claim_expires_at > now()";
    assert_eq!(lines(&client, leased).await, "i-claiming");
    let now = "SELECT DISTINCT status FROM instances, pool_schema \
               WHERE status_changed_at = contracted_at";
    assert_eq!(lines(&client, now).await, "starting");
}

/// By the database's own account: every legacy row is an instance or set aside whole.
#[tokio::test]
async fn nothing_is_lost_of_any_generation() {
    let mut table = String::new();
    for generation in every_generation() {
        let name = generation.name;
        let (database, client) = database_of(&generation.sql).await;
        let found = status(database.url()).await.unwrap();
        let before: i64 = found.tables.iter().map(|table| table.rows).sum();
        let forecast: Vec<_> = found
            .forecast
            .iter()
            .map(|it| {
                format!(
                    "{} {}",
                    it.rows,
                    it.reason.as_deref().unwrap_or(&it.verdict)
                )
            })
            .collect();
        let moved = up(database.url()).await;
        let of = |verdict: &str| -> u64 {
            let rows = found.forecast.iter().filter(|it| it.verdict == verdict);
            rows.map(|it| it.rows.unsigned_abs()).sum()
        };
        assert_eq!(moved.taken, of("take"), "{name}: forecast");
        assert_eq!(moved.set_aside, of("set aside"), "{name}: forecast");
        contract_telling(database.url(), &mut |_| ()).await.unwrap();
        for legacy in &found.tables {
            let lost = format!(
                "SELECT id FROM {table} AS legacy WHERE NOT EXISTS (SELECT FROM instances \
                 WHERE instances.id = legacy.id AND service_id = railway_service_id) AND NOT EXISTS \
                 (SELECT FROM set_aside WHERE from_table = '{table}' AND set_aside.id = legacy.id \
                 AND set_aside.\"row\" = to_jsonb(legacy))",
                table = legacy.name
            );
            assert_eq!(lines(&client, &lost).await, "", "{name}");
            // A claimed row is in set_aside only where another one stands for its service, or its
            // instance was deleted before.
            let unclaimed = format!(
                "SELECT id FROM instances JOIN {} AS legacy USING (id) \
                 WHERE instances.status NOT IN ('claimed', 'crashed') \
                 OR instances.claimed_at IS NULL",
                legacy.name
            );
            assert_eq!(lines(&client, &unclaimed).await, "", "{name}");
        }
        let after = migrations::status(database.url()).await.unwrap();
        let sum = |groups: &[migrations::Group]| groups.iter().map(|it| it.rows).sum::<i64>();
        writeln!(
            table,
            "{name}: before {before}, instances {}, set aside {} ({})",
            sum(&after.instances),
            sum(&after.set_aside),
            forecast.join(", ")
        )
        .unwrap();
    }
    assert_snapshot!(table);
}

#[tokio::test]
async fn what_the_node_service_wrote_between_up_and_contraction_comes_along() {
    let (database, client) = database_of(&pool_instances("claimed_by", "")).await;
    up(database.url()).await;
    client
        .batch_execute(
            "UPDATE pool_instances SET claimed_by = 'Ada', claimed_at = now() WHERE id = 'idle'; \
             UPDATE pool_instances SET invite_url = 'https://new' WHERE id = 'by name'; \
             INSERT INTO pool_instances (id, railway_service_id, status, claimed_by, claimed_at) \
             VALUES ('late', 'p-twice', 'claimed', 'Latest', '2025-09-01 00:00:00+00'); \
             INSERT INTO pool_instances (id, railway_service_id) VALUES ('new', 'p-new')",
        )
        .await
        .unwrap();
    contract_telling(database.url(), &mut |_| ()).await.unwrap();
    let claimed = "SELECT concat_ws(' ', id, agent_name, invite_url) FROM instances \
                   WHERE id IN ('idle', 'by name', 'late', 'twice, later') ORDER BY id";
    assert_eq!(
        lines(&client, claimed).await,
        "by name only a name https://new\nidle Ada\nlate Latest"
    );
    let aside = "SELECT id || ': ' || reason FROM set_aside WHERE id IN ('idle', 'new', \
                 'twice, later') ORDER BY id";
    assert_eq!(
        lines(&client, aside).await,
        "new: never claimed\ntwice, later: its service was claimed later by another row"
    );
}

#[tokio::test]
async fn a_legacy_row_that_nobody_took_over_keeps_its_table_from_being_dropped() {
    let (database, client) = database_of(&agent_metadata("")).await;
    let url = database.url();
    up(url).await;
    let early = drop_tables(url).await.unwrap_err().to_string();
    assert!(early.contains("only after contraction"), "{early}");
    contract_telling(url, &mut |_| ()).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO agent_metadata (id, railway_service_id, agent_name) VALUES ('x', 'y', 'z')",
        )
        .await
        .unwrap();
    let refused = drop_tables(url).await.unwrap_err().to_string();
    assert!(refused.contains("agent_metadata holds 1 rows"), "{refused}");
    client
        .batch_execute("DELETE FROM agent_metadata WHERE id = 'x'")
        .await
        .unwrap();
    let dropped = drop_tables(url).await.unwrap();
    assert_eq!(dropped.len(), 1);
    assert!(drop_tables(url).await.unwrap().is_empty());
    // What is left is the only record of claimed agents: one command does not take it away.
    let refused = loop {
        match migrations::revert_one(url).await {
            Ok(reverted) => assert!(reverted.is_some()),
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("is the only record of"), "{refused}");
}
