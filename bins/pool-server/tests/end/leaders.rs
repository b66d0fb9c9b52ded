//! Several servers on one database: one leads, the target is met exactly, and any may be asked.

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_meet_the_target_exactly_and_either_may_be_asked() -> anyhow::Result<()> {
    let pool = Pool::new(6).await?;
    let (one, other) = tokio::try_join!(pool.start(), pool.start())?;
    one.until_count("idle", 6).await?;
    assert_eq!(one.reconcile().await?["replenish"]["create"], 0);
    assert_eq!(other.reconcile().await?["replenish"]["create"], 0);
    assert_eq!(pool.live_services().len(), 6);
    assert_eq!(
        pool.number("SELECT count(*) FROM leader_terms").await?,
        1,
        "only one ever led"
    );

    one.claim("Ada").await?;
    other.until_count("claimed", 1).await?;
    other.until_count("idle", 6).await?;
    one.stop().await?;
    other.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_when_the_leader_stops() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?;
    let first = pool.start().await?;
    first.until_count("idle", 2).await?;
    let second = pool.start().await?;
    first.stop().await?;
    second.claim("Ada").await?;
    second.until_count("idle", 2).await?;
    assert_eq!(pool.number("SELECT count(*) FROM leader_terms").await?, 2);
    second.stop().await
}
