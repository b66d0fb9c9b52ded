//! A primary whose commits wait for a synchronous standby.

use std::time::Duration;

use local_postgres::{Options, Programs, Server};
use pool_db::claims::{self, Confirmed};
use pool_db::{Db, DbSettings, migrations};
use pool_domain::Secret;
use pool_legacy_schema::contract_telling;
use tokio::time::{sleep, timeout};

use crate::fixture::{confirmation, lease_idle, token};

/// The first confirmation is cut off while it waits: it has taken effect here, and nowhere else.
#[tokio::test]
async fn a_confirmation_that_is_repeated_is_answered_only_once_the_standby_has_it() {
    let options = Options::temporary(Programs::find(&[]).unwrap());
    let server = Server::start(&options.setting("synchronous_commit", "on")).unwrap();
    let url = server.url("postgres");
    migrations::run(&url).await.unwrap();
    contract_telling(&url, &mut |_| ()).await.unwrap();
    let admin = pool_test_database::connect(&url).await.unwrap();
    let row = "INSERT INTO instances (id, service_id, name, status) VALUES ('a', 's', 'n', 'idle')";
    admin.batch_execute(row).await.unwrap();
    let db = Db::connect(&DbSettings::new(Secret::new(url.as_str())))
        .await
        .unwrap();
    lease_idle(&db, token(1), &[]).await.unwrap().unwrap();

    let standby = "ALTER SYSTEM SET synchronous_standby_names = 'away'";
    admin.batch_execute(standby).await.unwrap();
    admin
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    sleep(Duration::from_millis(500)).await;
    let first = tokio::spawn({
        let db = db.clone();
        async move { claims::confirm(&db, token(1), &confirmation("a")).await }
    });
    let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE wait_event = 'SyncRep'";
    while admin
        .query_one(waiting, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        == 0
    {
        sleep(Duration::from_millis(20)).await;
    }
    let cut_off = first.await.unwrap().unwrap_err();
    assert!(cut_off.is_indeterminate(), "{cut_off:?}");
    let status = "SELECT status FROM instances";
    let status: String = admin.query_one(status, &[]).await.unwrap().get(0);
    assert_eq!(status, "claimed");

    let confirmation = confirmation("a");
    let mut again = std::pin::pin!(claims::confirm(&db, token(1), &confirmation));
    let answered = timeout(Duration::from_secs(1), &mut again).await;
    assert!(answered.is_err(), "{answered:?}");
    admin
        .batch_execute("ALTER SYSTEM RESET synchronous_standby_names")
        .await
        .unwrap();
    admin
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    assert_eq!(again.await.unwrap(), Confirmed::Done);
}
