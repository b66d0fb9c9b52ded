//! Stopped in the middle, several at once, and locks that somebody holds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_db::leadership::Candidate;
use pool_db::{Db, DbSettings, Error, instances as rows, migrations};
use pool_domain::write::Adoption;
use pool_domain::{Secret, Status};
use pool_legacy_schema::{Progress, backfill, contract_telling};
use pool_test_database::TestDatabase;
use tokio::time::timeout;

use super::{agent_metadata, database_of, instances, lines, pool_instances, up};

fn settings(database: &TestDatabase) -> DbSettings {
    DbSettings::new(Secret::new(database.url()))
}

const MANY: &str = "INSERT INTO pool_instances (id, railway_service_id, status, claimed_by, \
     created_at) SELECT 'n' || n, 's' || n, 'claimed', CASE WHEN n % 2 = 0 THEN 'agent' END, now() \
     FROM generate_series(1, 9000) AS n";

#[tokio::test]
async fn a_backfill_that_was_cut_off_goes_on_where_it_was() {
    let (database, client) = database_of(&pool_instances("claimed_by", "")).await;
    client.batch_execute(MANY).await.unwrap();
    let url = database.url();
    migrations::run(url).await.unwrap();
    let (sender, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let cut_off = {
        let url = url.to_owned();
        tokio::spawn(async move {
            let mut tell = |progress: Progress| sender.send(progress).unwrap();
            backfill(&url, &mut tell).await
        })
    };
    let first = batches.recv().await.unwrap();
    assert!(first.done > 0 && first.done < first.total, "{first:?}");
    cut_off.abort();
    assert!(cut_off.await.unwrap_err().is_cancelled());
    let moved = up(url).await;
    assert!(moved.taken < 9_000, "it began from the start: {moved:?}");
    contract_telling(url, &mut |_| ()).await.unwrap();
    let taken = "SELECT count(*)::text FROM instances";
    assert_eq!(lines(&client, taken).await, "9008");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_at_once_beside_a_generation_do_the_work_once() {
    let sql = instances("") + &agent_metadata("");
    let (database, client) = database_of(&sql).await;
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move {
                migrations::run(&url).await?;
                let moved = backfill(&url, &mut |_| {}).await?;
                let contracted = contract_telling(&url, &mut |_| ()).await?;
                Ok::<_, pool_db::Error>((moved.set_aside, contracted))
            })
        })
        .collect();
    let mut moved = 0;
    let mut contracted = 0;
    for run in runs {
        let (set_aside, now) = run.await.unwrap().unwrap();
        moved += set_aside;
        contracted += u32::from(now.now);
    }
    assert_eq!((moved, contracted), (3, 1));
    let rows = "SELECT count(*)::text FROM set_aside";
    assert_eq!(lines(&client, rows).await, "3");
}

#[tokio::test]
async fn a_contraction_without_its_lock_keeps_nobody_waiting_and_is_done_when_it_is_free() {
    let (database, holder) = database_of(&instances("")).await;
    up(database.url()).await;
    holder
        .batch_execute("SET application_name = 'a long report'; BEGIN; SELECT FROM instances")
        .await
        .unwrap();
    let url = database.url().to_owned();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let contracting = tokio::spawn(async move {
        let mut tell = |progress: Progress| sender.send(progress).unwrap();
        contract_telling(&url, &mut tell).await
    });
    let waiting = loop {
        let progress = told.recv().await.unwrap();
        if progress.step.contains("waiting") {
            break progress;
        }
    };
    assert_eq!(waiting.done, 1);
    let client = database.client().await;
    let claim = "UPDATE instances SET status = 'claiming' WHERE id = 'i-idle'";
    let claimed = timeout(Duration::from_secs(1), client.execute(claim, &[])).await;
    assert_eq!(claimed.expect("a claim waited for a second").unwrap(), 1);
    holder.batch_execute("COMMIT").await.unwrap();
    assert!(contracting.await.unwrap().unwrap().now);
}

#[tokio::test]
async fn no_service_is_adopted_before_the_backfill_is_complete() {
    let (database, client) = database_of(&pool_instances("claimed_by", "")).await;
    let url = database.url();
    up(url).await;
    let db = Db::connect(&settings(&database)).await.unwrap();
    let adoption = |id: &str| Adoption {
        id: id.into(),
        service_id: format!("service-{id}").into(),
        name: format!("convos-agent-{id}"),
        url: None,
        status: Status::Starting,
        deploy_status: None,
        runtime_image: None,
        gateway_token: None,
        agentmail_inbox_id: None,
        created_at: DateTime::<Utc>::UNIX_EPOCH,
        claimed_at: None,
        reason: "adopted".to_owned(),
    };
    let mut candidate = Candidate::connect(&settings(&database), "test")
        .await
        .unwrap();
    let term = candidate.try_lead().await.unwrap().unwrap();
    let asked = [adoption("a")];
    for refused in [
        rows::insert_adopted(&db, term, &asked).await,
        rows::insert_adopted_unled(&db, &asked).await,
    ] {
        assert!(matches!(refused, Err(Error::AdoptTooEarly)), "{refused:?}");
    }
    contract_telling(url, &mut |_| ()).await.unwrap();
    assert_eq!(
        rows::insert_adopted(&db, term, &asked).await.unwrap().len(),
        1
    );
    let adopted = "SELECT id FROM instances WHERE unasked";
    assert_eq!(lines(&client, adopted).await, "a");
}

#[tokio::test]
async fn a_migration_without_its_lock_says_who_holds_it() {
    let (database, holder) = database_of(&instances("")).await;
    holder
        .batch_execute("SET application_name = 'a long report'; BEGIN; SELECT FROM instances")
        .await
        .unwrap();
    let error = migrations::run(database.url()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("held by a long report") && said.contains("idle in transaction"),
        "{said}"
    );
}

#[tokio::test]
async fn what_changed_while_rows_were_copied_is_not_compared_with_every_row() {
    let (database, client) = database_of(&pool_instances("claimed_by", "")).await;
    let url = database.url();
    // With as little memory for a query as a million rows leave to it.
    let small = format!(
        "ALTER DATABASE {} SET work_mem = '64kB'; \
         INSERT INTO pool_instances (id, railway_service_id, status, created_at) \
         SELECT 'n' || n, 's' || n, 'idle', now() FROM generate_series(1, 40000) AS n; \
         ANALYZE pool_instances",
        database.name()
    );
    client.batch_execute(&small).await.unwrap();
    migrations::run(url).await.unwrap();
    let claimer = {
        let client = database.client().await;
        move || async move {
            let claim = "UPDATE pool_instances SET claimed_by = 'Ada', claimed_at = now() \
                         WHERE id LIKE 'n%' AND id < 'n3'";
            client.execute(claim, &[]).await.unwrap()
        }
    };
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let contracting = {
        let url = url.to_owned();
        tokio::spawn(async move {
            let mut tell = |progress: Progress| sender.send(progress).unwrap();
            contract_telling(&url, &mut tell).await
        })
    };
    assert_eq!(told.recv().await.unwrap().step, "copying rows");
    assert_eq!(claimer().await, 22_222);
    let contracted = timeout(Duration::from_secs(50), contracting).await;
    let done = contracted.expect("the last batch is as slow as rows times changes");
    assert!(done.unwrap().unwrap().now);
    let taken = "SELECT count(*)::text FROM instances WHERE agent_name = 'Ada'";
    assert_eq!(lines(&client, taken).await, "22222");
}
