//! Nobody reads the log: its pipe is full, or its other end is closed.

use serde_json::Value;

use super::process::Process;
use crate::pool::Pool;

/// Every request to the database and every connection of a client is a line or several.
const TALKATIVE: (&str, &str) = ("RUST_LOG", "trace");
/// So many lines, and so long ones, that neither a pipe nor the server keeps them.
const REQUESTS: usize = 400;
const PATH_CHARS: usize = 8_000;
const CLAIMS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_no_claim_and_what_it_lacks_is_said() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    pool.seed(usize::try_from(CLAIMS)?)?;
    let mut process = Process::start(&pool, &[("POOL_MIN_IDLE", "0"), TALKATIVE]).await?;
    process.until_count("idle", CLAIMS).await?;
    for _ in 0..CLAIMS {
        let (status, answer) = process.claim().await?;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(process.get("/healthz").await?, 200);
    }
    let path = format!("/{}", "x".repeat(PATH_CHARS));
    for _ in 0..REQUESTS {
        assert_eq!(process.get(&path).await?, 404);
    }
    let dropped = process.until_logged("lines.dropped").await?;
    assert!(dropped["lines.dropped"].as_u64() > Some(0), "{dropped}");
    // One that is read again loses nothing, to its last line.
    process.terminate()?;
    let rest = process.rest_of_log().await?;
    let is_last = |line: &Value| line["message"] == "stopped";
    assert!(rest.iter().any(is_last), "{:?}", rest.last());
    assert!(process.ended().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_nobody_reads_or_has_closed_ends_in_time() -> anyhow::Result<()> {
    let pool = Pool::new(0).await?;
    pool.seed(4)?;
    for (is_closed, idle) in [(false, 4), (true, 2)] {
        let mut process = Process::start(&pool, &[("POOL_MIN_IDLE", "0"), TALKATIVE]).await?;
        if is_closed {
            process.close_log();
        }
        process.until_count("idle", idle).await?;
        for _ in 0..2 {
            let (status, answer) = process.claim().await?;
            assert_eq!(status, 200, "{answer}");
        }
        process.terminate()?;
        assert!(process.ended().await?.success(), "closed: {is_closed}");
    }
    Ok(())
}
