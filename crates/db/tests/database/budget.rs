//! Railway's budget as the servers share it.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use pool_db::budget;
use pool_domain::budget::{Block, Blocker, Heard, SpentMinute};
use pool_domain::{CallPurpose, Ledger, Spent, Term};

use crate::fixture::Fixture;

async fn this_minute(fixture: &Fixture) -> DateTime<Utc> {
    let now = fixture.db.now().await.unwrap();
    now.duration_trunc(TimeDelta::minutes(1)).unwrap()
}

fn spent(minute: DateTime<Utc>, purpose: CallPurpose, requests: u64) -> SpentMinute {
    let mut spent = Spent::default();
    spent.add(purpose, requests);
    SpentMinute { minute, spent }
}

fn ledger(minutes: &[SpentMinute]) -> Ledger {
    Ledger {
        minutes: minutes.to_vec(),
        heard: None,
    }
}

fn heard(at: DateTime<Utc>, edge_blocks: u32) -> Ledger {
    let block = Block {
        by: Blocker::Edge,
        until: at + TimeDelta::minutes(5),
    };
    Ledger {
        minutes: Vec::new(),
        heard: Some(Heard {
            at,
            limit: Some(1_000),
            remaining: Some(u64::MAX),
            resets_at: Some(at + TimeDelta::minutes(20)),
            block: (edge_blocks > 0).then_some(block),
            edge_blocks,
        }),
    }
}

#[tokio::test]
async fn what_several_spent_adds_up_and_only_the_last_hour_is_told() {
    use CallPurpose::{Creating, Listing, Other};
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    assert_eq!(budget::load(&fixture.db).await.unwrap(), Ledger::default());
    let now = this_minute(&fixture).await;
    let (before, long_ago) = (now - TimeDelta::minutes(30), now - TimeDelta::minutes(90));
    let ours = ledger(&[
        spent(long_ago, Listing, 9),
        spent(before, Listing, 2),
        spent(now, Listing, 3),
    ]);
    budget::save(&fixture.db, term, &ours).await.unwrap();
    let other = ledger(&[spent(now, Listing, 4), spent(now, Creating, 1)]);
    budget::add(&fixture.db, &other).await.unwrap();
    let known = budget::save(&fixture.db, term, &Ledger::default())
        .await
        .unwrap();
    let mut both = spent(now, Listing, 7);
    both.spent.add(Creating, 1);
    assert_eq!(known.minutes, [spent(before, Listing, 2), both]);

    fixture
        .execute(
            "UPDATE railway_spending SET purpose = 'of a later build' WHERE purpose = 'creating'",
        )
        .await;
    let known = budget::load(&fixture.db).await.unwrap();
    assert_eq!(known.minutes[1].spent.on(Other), 1);
}

#[tokio::test]
async fn what_is_a_day_old_is_forgotten() {
    let fixture = Fixture::new().await;
    let now = this_minute(&fixture).await;
    let old = spent(now - TimeDelta::hours(25), CallPurpose::Listing, 1);
    budget::add(&fixture.db, &ledger(&[old])).await.unwrap();
    let new = spent(now, CallPurpose::Listing, 1);
    budget::add(&fixture.db, &ledger(&[new])).await.unwrap();
    assert_eq!(
        fixture.text("SELECT count(*) FROM railway_spending").await,
        "1"
    );
}

#[tokio::test]
async fn who_heard_last_knows_best() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let now = this_minute(&fixture).await;
    let later = now + TimeDelta::seconds(5);
    let known = budget::save(&fixture.db, term, &heard(later, 2))
        .await
        .unwrap();
    let stored = known.heard.unwrap();
    assert_eq!(stored.remaining, Some(i64::MAX.unsigned_abs()));
    assert_eq!(stored.block, heard(later, 2).heard.unwrap().block);
    assert_eq!((stored.limit, stored.edge_blocks), (Some(1_000), 2));
    let known = budget::add(&fixture.db, &heard(now, 0)).await.unwrap();
    assert_eq!(
        known.heard,
        Some(stored),
        "what was heard before changes nothing"
    );
    let even_later = later + TimeDelta::seconds(1);
    let known = budget::add(&fixture.db, &heard(even_later, 0))
        .await
        .unwrap();
    assert_eq!(known.heard.unwrap().block, None);
    assert_eq!(budget::load(&fixture.db).await.unwrap(), known);
}

#[tokio::test]
async fn a_stale_leader_adds_nothing() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let now = this_minute(&fixture).await;
    let mut ledger = heard(now, 1);
    ledger.minutes.push(spent(now, CallPurpose::Creating, 1));
    let stale = budget::save(&fixture.db, Term(term.0 - 1), &ledger).await;
    assert!(matches!(stale, Err(pool_db::Error::StaleTerm)));
    assert_eq!(budget::load(&fixture.db).await.unwrap(), Ledger::default());
}

#[tokio::test]
async fn two_who_add_at_the_same_time_both_count() {
    let fixture = Fixture::new().await;
    let now = this_minute(&fixture).await;
    let all: Vec<_> = CallPurpose::ALL
        .into_iter()
        .map(|purpose| spent(now, purpose, 1))
        .collect();
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    for _ in 0..20 {
        let (one, two) = (ledger(&all), ledger(&backwards));
        let (one, two) = tokio::join!(
            budget::add(&fixture.db, &one),
            budget::add(&fixture.db, &two)
        );
        one.unwrap();
        two.unwrap();
    }
    let known = budget::load(&fixture.db).await.unwrap();
    assert_eq!(known.minutes[0].spent.total(), 200);
}
