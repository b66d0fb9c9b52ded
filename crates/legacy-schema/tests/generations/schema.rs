//! The same schema at the end, wherever it began; down and up again.

use pool_legacy_schema::{contract_telling, drop_tables};

use super::{database_of, down_to_nothing, every_generation, schema, up};

/// Legacy tables stay until somebody drops them, and are not what is compared.
fn ours(schema: &str) -> String {
    let lines = schema
        .lines()
        .filter(|line| !line.contains("pool_instances") && !line.contains("agent_metadata"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn all_end_in_the_same_schema_also_after_down_and_up_again() {
    let mut first: Option<String> = None;
    for generation in every_generation() {
        let name = generation.name;
        let (database, client) = database_of(&generation.sql).await;
        let url = database.url();
        let rows = "SELECT count(*) FROM pg_class WHERE relname = 'instances'";
        let had_instances: i64 = client.query_one(rows, &[]).await.unwrap().get(0);
        for round in ["up", "up again"] {
            up(url).await;
            assert!(
                contract_telling(url, &mut |_| ()).await.unwrap().now,
                "{name}"
            );
            let schema = ours(&schema(&client).await);
            let expected = first.get_or_insert_with(|| schema.clone());
            assert_eq!(&schema, expected, "{name}, {round}");
            if round == "up" {
                down_to_nothing(url).await;
                let left: i64 = client.query_one(rows, &[]).await.unwrap().get(0);
                assert_eq!(left, had_instances, "{name}: down");
            }
        }
        drop_tables(url).await.unwrap();
        let expected = first.as_deref().unwrap_or_default();
        assert_eq!(schema(&client).await, expected, "{name}: dropped");
    }
}

#[tokio::test]
async fn expanding_leaves_every_table_and_index_that_was_there() {
    for generation in every_generation() {
        let (database, client) = database_of(&generation.sql).await;
        let tables = "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'i') \
                      AND relnamespace = 'public'::regnamespace";
        let before = client.query(tables, &[]).await.unwrap();
        up(database.url()).await;
        let after = client.query(tables, &[]).await.unwrap();
        let after: Vec<String> = after.iter().map(|row| row.get(0)).collect();
        for row in before {
            let table: String = row.get(0);
            assert!(
                after.contains(&table),
                "{}: {table} is gone",
                generation.name
            );
        }
    }
}
