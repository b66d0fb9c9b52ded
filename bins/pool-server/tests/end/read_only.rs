//! A database that can only be read for a moment: a standby in the middle of a failover, a primary
//! whose disk somebody mends. What was opened then must not outlive it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::database::Setting;
use crate::pool::PATIENCE;

/// How long it lasts.
const MOMENT: Duration = Duration::from_secs(8);

/// Status and body of `/readyz`.
async fn readiness(setting: &Setting) -> anyhow::Result<(u16, Value)> {
    let url = format!("{}/readyz", setting.server.base);
    let answer = setting.pool.http.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn until_ready(setting: &Setting, wanted: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let (status, body) = readiness(setting).await?;
        if body["writes"] == wanted && (status == 200) == wanted {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "still {status}: {body}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Refuses claims for eight seconds, and then serves them.
async fn play(setting: &mut Setting, first: &[&str], end: &[&str]) -> anyhow::Result<()> {
    let admin = pool_test_database::connect(&setting.postgres.url("postgres")).await?;
    for statement in first {
        admin.batch_execute(statement).await?;
    }
    until_ready(setting, false).await?;
    let began = Instant::now();
    while began.elapsed() < MOMENT {
        setting.is_refused().await?;
        sleep(Duration::from_millis(200)).await;
    }
    for statement in end {
        admin.batch_execute(statement).await?;
    }
    setting
        .recovers("the database could be written again")
        .await?;
    // Not only with the one connection that was tried.
    for _ in 0..2 {
        let claims: Vec<_> = (0..4).map(|_| setting.claim_soon()).collect();
        for claim in claims {
            setting.granted(claim.await??)?;
        }
    }
    until_ready(setting, true).await
}

/// Sessions that are opened in that time would stay read-only for ever.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_were_opened_while_the_database_was_read_only_do_not_outlive_it()
-> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE application_name LIKE 'pool-server%'";
    let begin = "ALTER DATABASE pool SET default_transaction_read_only = on";
    let end = "ALTER DATABASE pool RESET default_transaction_read_only";
    play(&mut setting, &[begin, ours], &[end]).await?;
    setting.end().await
}

/// Sessions that are there may not write for that time.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_can_only_read_for_a_moment_are_replaced() -> anyhow::Result<()> {
    let mut setting = Setting::new().await?;
    let reload = "SELECT pg_reload_conf()";
    let begin = "ALTER SYSTEM SET default_transaction_read_only = on";
    let end = [
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        reload,
    ];
    play(&mut setting, &[begin, reload], &end).await?;
    setting.end().await
}
