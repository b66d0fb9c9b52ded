//! Railway's budget as the servers share it.

use chrono::{DateTime, TimeDelta, Utc};
use pool_db::budget;
use pool_domain::Term;
use pool_domain::budget::{Block, Blocker, Heard};

use crate::fixture::Fixture;

/// Times as the database stores them.
async fn now(fixture: &Fixture) -> DateTime<Utc> {
    fixture.db.now().await.unwrap()
}

fn heard(at: DateTime<Utc>, edge_blocks: u32) -> Heard {
    let block = Block {
        by: Blocker::Edge,
        until: at + TimeDelta::minutes(5),
    };
    Heard {
        at,
        limit: Some(1_000),
        remaining: Some(u64::MAX),
        resets_at: Some(at + TimeDelta::minutes(20)),
        block: (edge_blocks > 0).then_some(block),
        edge_blocks,
    }
}

#[tokio::test]
async fn who_heard_last_knows_best() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    assert_eq!(budget::load(&fixture.db).await.unwrap(), None);
    let now = now(&fixture).await;
    let later = now + TimeDelta::seconds(5);
    let known = budget::save(&fixture.db, term, &heard(later, 2)).await;
    let stored = known.unwrap().unwrap();
    assert_eq!(stored.remaining, Some(i64::MAX.unsigned_abs()));
    assert_eq!(stored.block, heard(later, 2).block);
    assert_eq!((stored.limit, stored.edge_blocks), (Some(1_000), 2));
    let known = budget::add(&fixture.db, &heard(now, 0)).await.unwrap();
    assert_eq!(known, Some(stored), "what was heard before changes nothing");
    let even_later = later + TimeDelta::seconds(1);
    let known = budget::add(&fixture.db, &heard(even_later, 0))
        .await
        .unwrap();
    assert_eq!(known.unwrap().block, None);
    assert_eq!(budget::load(&fixture.db).await.unwrap(), known);
}

#[tokio::test]
async fn what_was_spent_since_is_stored_although_nothing_more_was_heard() {
    let fixture = Fixture::new().await;
    let mut known = heard(now(&fixture).await, 0);
    for remaining in [70, 30] {
        known.remaining = Some(remaining);
        let stored = budget::add(&fixture.db, &known).await.unwrap();
        assert_eq!(stored.unwrap().remaining, Some(remaining));
    }
}

#[tokio::test]
async fn a_stale_leader_adds_nothing() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let heard = heard(now(&fixture).await, 1);
    let stale = budget::save(&fixture.db, Term(term.0 - 1), &heard).await;
    assert!(matches!(stale, Err(pool_db::Error::StaleTerm)));
    assert_eq!(budget::load(&fixture.db).await.unwrap(), None);
}
