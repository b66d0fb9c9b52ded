//! Databases for tests, on whatever server this machine offers.

use pool_test_database::{TestDatabase, connect};

#[tokio::test]
async fn each_test_has_a_database_of_its_own_and_it_goes_with_it() {
    let (one, two) = tokio::join!(TestDatabase::empty(), TestDatabase::empty());
    assert_ne!(one.name(), two.name());
    one.client()
        .await
        .batch_execute("CREATE TABLE only_here ()")
        .await
        .unwrap();
    let client = two.client().await;
    let found = client
        .query_one("SELECT to_regclass('only_here')::text", &[])
        .await
        .unwrap();
    assert_eq!(found.get::<_, Option<String>>(0), None);

    let gone = one.url().to_owned();
    // A connection that is open must not keep the database alive.
    let _open = one.client().await;
    drop(one);
    connect(&gone).await.unwrap_err();
}

#[tokio::test]
async fn an_empty_database_has_no_table() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(
        client.query_one(count, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
}

#[tokio::test]
async fn a_database_is_migrated_and_guards_its_statuses() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let triggers = "SELECT count(*) FROM pg_trigger \
                    WHERE tgrelid = 'instances'::regclass AND NOT tgisinternal";
    assert!(
        client
            .query_one(triggers, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
    );
    let refused = client
        .execute(
            "INSERT INTO instances (id, service_id, name, status) VALUES ('a', 'b', 'c', 'odd')",
            &[],
        )
        .await;
    assert!(refused.is_err(), "a status that does not exist was stored");
}

#[tokio::test]
async fn what_a_killed_test_left_is_dropped_and_nothing_else() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let unique = database.name().rsplit('_').next().unwrap();
    let (old, foreign) = (
        format!("pool_test_1000000000_{unique}"),
        format!("other_{unique}"),
    );
    for name in [&old, &foreign] {
        client
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .unwrap();
    }
    let exists = async |name: &str| {
        let found = client
            .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
            .await;
        found.unwrap().is_some()
    };
    // Another test may be at it, a few at a time; each new database drops some more.
    let mut tries = 0;
    while exists(&old).await && tries < 50 {
        drop(TestDatabase::empty().await);
        tries += 1;
    }
    let (old_is_there, foreign_is_there) = (exists(&old).await, exists(&foreign).await);
    client
        .batch_execute(&format!("DROP DATABASE {foreign}"))
        .await
        .unwrap();
    assert!(!old_is_there && foreign_is_there && exists(database.name()).await);
}
