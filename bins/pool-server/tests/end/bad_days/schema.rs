//! Other people's additions to our tables: what only looks on changes nothing, and what holds a row
//! holds that row alone.

use serde_json::{Value, json};

use crate::pool::Pool;

/// As a billing team, an analyst and a security team might have made them.
const ADDITIONS: &str = "\
    CREATE VIEW busy AS SELECT * FROM instances WHERE status = 'claimed'; \
    ALTER TABLE instances ADD COLUMN note text; \
    CREATE TABLE audit (at timestamptz DEFAULT now(), what text, instance text); \
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
      INSERT INTO audit (what, instance) VALUES (TG_OP, coalesce(NEW.id, OLD.id)); \
      RETURN coalesce(NEW, OLD); \
    END $$; \
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON instances \
      FOR EACH ROW EXECUTE FUNCTION audit(); \
    ALTER TABLE instances ENABLE ROW LEVEL SECURITY; \
    CREATE TABLE invoices (instance text REFERENCES instances (id)); \
    INSERT INTO invoices SELECT min(id) FROM instances;";

#[tokio::test(flavor = "multi_thread")]
async fn what_others_add_to_our_tables_holds_only_the_rows_that_it_holds() -> anyhow::Result<()> {
    let pool = Pool::new(3).await?;
    let server = pool.start().await?;
    server.until_count("idle", 3).await?;
    let others = pool.database.client().await;
    others.batch_execute(ADDITIONS).await?;
    let billed: String = others
        .query_one("SELECT instance FROM invoices", &[])
        .await?
        .try_get(0)?;

    // Beside a second server, which brings the schema up.
    let second = pool.start().await?;
    second.claim("Ada").await?;
    server.until_count("idle", 3).await?;
    let ids = instances(&server.get("/api/pool/status").await?);
    for id in &ids {
        let (status, answer) = server.delete(&format!("/api/pool/instances/{id}")).await?;
        assert_eq!(status, 200, "{answer}");
    }
    let left = format!(
        "SELECT count(*) FROM instances WHERE id = ANY ('{{{}}}')",
        ids.join(",")
    );
    server
        .until("all are gone but one", async |_| {
            Ok(pool.number(&left).await? == 1)
        })
        .await?;
    server.until_count("idle", 3).await?;
    let report = server.reconcile().await?;
    let failure = &report["done"]["failures"][0];
    assert_eq!(failure["id"], billed, "{report}");
    assert_eq!(failure["action"], "removing the row", "{report}");

    others.batch_execute("DELETE FROM invoices").await?;
    server
        .until("the last one is gone", async |_| {
            Ok(pool.number(&left).await? == 0)
        })
        .await?;
    second.stop().await?;
    server.stop().await
}

/// Nothing can be inserted then.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_somebody_must_fill_stops_nothing_but_new_rows() -> anyhow::Result<()> {
    let pool = Pool::new(3).await?;
    let server = pool.start().await?;
    server.until_count("idle", 3).await?;
    let others = pool.database.client().await;
    let add = "ALTER TABLE instances ADD COLUMN owner text NOT NULL DEFAULT 'us'; \
               ALTER TABLE instances ALTER COLUMN owner DROP DEFAULT";
    others.batch_execute(add).await?;
    pool.seed(1)?;
    server.claim("Ada").await?;
    server
        .post("/api/pool/drain", &json!({ "count": 1 }))
        .await?;
    server.until_count("dead", 0).await?;
    let says_so = |report: &Value| {
        let failures = report["done"]["failures"].as_array().into_iter().flatten();
        let mut errors = failures.map(|failure| failure["error"].to_string());
        errors.any(|error| error.contains("owner"))
    };
    server
        .until("a report says so", async |server| {
            Ok(says_so(&server.reconcile().await?))
        })
        .await?;
    assert!(
        pool.live_services().len() <= 5,
        "{:?}",
        pool.live_services()
    );

    let drop = "ALTER TABLE instances DROP COLUMN owner";
    others.batch_execute(drop).await?;
    server
        .until("the stock is full", async |server| {
            Ok(server.count("idle").await? >= 3)
        })
        .await?;
    server.stop().await
}

fn instances(status: &Value) -> Vec<String> {
    let rows = status["instances"].as_array().into_iter().flatten();
    let ids = rows.filter_map(|row| row["id"].as_str());
    ids.map(str::to_owned).collect()
}
