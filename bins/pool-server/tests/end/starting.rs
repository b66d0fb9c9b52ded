//! What a server meets at its start: a database that is restarted under it, one that others use too.

use std::time::Duration;

use anyhow::ensure;
use local_postgres::{Halt, Options, Programs, Server as Postgres};
use pool_simulator::Options as SimulatorOptions;
use pool_test_database::TestDatabase;
use tokio::time::sleep;

use crate::database::committing;
use crate::pool::{Pool, program};

/// Wherever in the migrations and in connecting that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_while_a_server_starts_is_waited_for() -> anyhow::Result<()> {
    let options = committing(Options::temporary(Programs::find(&[])?));
    let mut postgres = Postgres::start(&options)?;
    for (number, how) in [Halt::Fast, Halt::Immediate, Halt::Fast, Halt::Immediate]
        .into_iter()
        .enumerate()
    {
        let admin = pool_test_database::connect(&postgres.url("postgres")).await?;
        let create = format!("CREATE DATABASE pool_{number}");
        admin.batch_execute(&create).await?;
        let pool = Pool::with(0, SimulatorOptions::default()).await?;
        let pool = pool.reaching(postgres.url(&format!("pool_{number}")));
        let restarted = async {
            for pause in [40, 90, 150] {
                sleep(Duration::from_millis(pause * (1 + number as u64))).await;
                postgres.halt(how)?;
                postgres.start_again()?;
            }
            anyhow::Ok(())
        };
        let (server, ()) = tokio::try_join!(pool.start(), restarted)?;
        server.count("idle").await?;
        server.stop().await?;
    }
    Ok(())
}

/// Locks, channels and what is remembered are a schema's.
#[tokio::test(flavor = "multi_thread")]
async fn two_pools_in_two_schemas_of_one_database_both_lead() -> anyhow::Result<()> {
    let first = Pool::new(2).await?;
    let database = first.database.url().to_owned();
    let admin = pool_test_database::connect(&database).await?;
    admin.batch_execute("CREATE SCHEMA second").await?;
    let second = Pool::new(2).await?;
    let second = second.reaching(format!("{database}?options=-c%20search_path%3Dsecond"));
    let (one, two) = (first.start().await?, second.start().await?);
    let standby = second.start().await?;
    for server in [&one, &two] {
        server.until_count("idle", 2).await?;
        server.claim("Ada").await?;
        server.until_count("idle", 2).await?;
    }
    // A command of either server reaches the one that leads.
    two.reconcile().await?;
    standby.reconcile().await?;
    for pool in [&first, &second] {
        assert_eq!(pool.live_services().len(), 3);
        assert_eq!(pool.number("SELECT count(*) FROM instances").await?, 3);
    }
    one.stop().await?;
    two.stop().await?;
    standby.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_too_old_ends_the_program_with_a_sentence() -> anyhow::Result<()> {
    let pool = Pool::with(0, SimulatorOptions::default()).await?;
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let says = format!(
        "CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS $$ \
         SELECT CASE name WHEN 'server_version' THEN '13.14' WHEN 'server_version_num' THEN '130014' \
         ELSE pg_catalog.current_setting(name) END $$; \
         ALTER DATABASE {} SET search_path = public, pg_catalog",
        database.name()
    );
    client.batch_execute(&says).await?;
    let output = program(database.url(), &pool.railway).output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.contains("the database is PostgreSQL 13.14"), "{said}");
    Ok(())
}
