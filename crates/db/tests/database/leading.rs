//! Who leads, who is woken, and commands.

use std::time::Duration;

use pool_db::commands::{self, Command, CommandKind};
use pool_db::leadership::Candidate;
use pool_db::ticks;
use pool_domain::{Report, Term};
use serde_json::json;
use tokio::time::timeout;

use crate::fixture::{Fixture, settings};

async fn candidate(fixture: &Fixture, holder: &str) -> Candidate {
    Candidate::connect(&settings(&fixture.database), holder)
        .await
        .unwrap()
}

/// The lock goes when the database has closed the connection, which is soon but not at once.
async fn leads_soon(candidate: &mut Candidate) -> Term {
    let lead = async {
        loop {
            if let Some(term) = candidate.try_lead().await.unwrap() {
                return term;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), lead).await.unwrap()
}

#[tokio::test]
async fn one_leads_at_a_time_and_each_in_a_term_of_its_own() {
    let fixture = Fixture::new().await;
    let mut first = candidate(&fixture, "first").await;
    let mut second = candidate(&fixture, "second").await;
    let term = first.try_lead().await.unwrap().unwrap();
    assert_eq!(
        first.try_lead().await.unwrap(),
        Some(term),
        "asking again changes nothing"
    );
    assert_eq!(second.try_lead().await.unwrap(), None);
    first.ping().await.unwrap();
    first.resign().await.unwrap();
    let next = leads_soon(&mut second).await;
    assert_eq!(next, Term(term.0 + 1));
    drop(second);
    let mut third = candidate(&fixture, "third").await;
    assert_eq!(leads_soon(&mut third).await, Term(term.0 + 2));
    let holders = "SELECT string_agg(concat_ws(' ', holder, ended_at IS NOT NULL), ', ' \
                   ORDER BY term) FROM leader_terms";
    assert_eq!(fixture.text(holders).await, "first t, second f, third f");
}

/// Its connection stands, and its kernel answers for it: only its silence tells.
#[tokio::test]
async fn a_leader_that_is_frozen_loses_the_lead_and_cannot_write_any_more() {
    let fixture = Fixture::new().await;
    let mut frozen = candidate(&fixture, "frozen").await;
    let term = frozen.try_lead().await.unwrap().unwrap();
    let mut standby = candidate(&fixture, "standby").await;
    assert_eq!(standby.try_lead().await.unwrap(), None);
    let take_over = async {
        loop {
            if let Some(term) = standby.try_lead().await.unwrap() {
                return term;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let next = timeout(Duration::from_secs(15), take_over).await.unwrap();
    assert_eq!(next, Term(term.0 + 1));
    let stale = commands::pending(&fixture.db, term).await;
    assert!(matches!(stale, Err(pool_db::Error::StaleTerm)), "{stale:?}");
    let lost = frozen.ping().await.unwrap_err();
    assert!(lost.is_unavailable(), "{lost}");
}

#[tokio::test]
async fn a_new_term_waits_for_the_last_write_of_the_old_one() {
    let fixture = Fixture::new().await;
    let (leader, term) = fixture.leader().await;
    fixture
        .execute(&format!("BEGIN; SELECT pool_check_term({})", term.0))
        .await;
    drop(leader);
    let mut next = candidate(&fixture, "next").await;
    let raising = tokio::spawn(async move { leads_soon(&mut next).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let other = fixture.database.client().await;
    let wait = async {
        loop {
            let row = other.query_one(waiting, &[]).await.unwrap();
            if row.get::<_, i64>(0) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), wait).await.unwrap();
    let newest = other
        .query_one("SELECT max(term) FROM leader_terms", &[])
        .await
        .unwrap();
    assert_eq!(newest.get::<_, i64>(0), term.0);
    fixture.execute("COMMIT").await;
    assert_eq!(raising.await.unwrap(), Term(term.0 + 1));
}

#[tokio::test]
async fn a_leader_is_woken_by_any_server_and_learns_that_its_connection_is_lost() {
    let fixture = Fixture::new().await;
    let (mut leader, _) = fixture.leader().await;
    for _ in 0..3 {
        commands::wake(&fixture.db).await.unwrap();
    }
    let soon = Duration::from_secs(5);
    timeout(soon, leader.woken()).await.unwrap().unwrap();
    fixture
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = 'pool-server leader' AND datname = current_database()",
        )
        .await;
    let lost = timeout(soon, async { while leader.woken().await.is_ok() {} });
    lost.await.unwrap();
    assert!(leader.ping().await.unwrap_err().is_unavailable());
}

fn command(kind: CommandKind) -> Command {
    Command {
        kind,
        by: "api".to_owned(),
    }
}

#[tokio::test]
async fn a_command_waits_for_the_leader_and_tells_what_came_of_it() {
    let fixture = Fixture::new().await;
    let (mut leader, term) = fixture.leader().await;
    let kinds = [
        CommandKind::Reconcile,
        CommandKind::Replenish { count: Some(3) },
        CommandKind::Replenish { count: None },
        CommandKind::Sweep { dry_run: true },
        CommandKind::Sweep { dry_run: false },
        CommandKind::ConfirmFuse {
            ids: vec!["a".into(), "b".into()],
        },
    ];
    let mut ids = Vec::new();
    for kind in kinds.clone() {
        ids.push(commands::submit(&fixture.db, &command(kind)).await.unwrap());
    }
    timeout(Duration::from_secs(5), leader.woken())
        .await
        .unwrap()
        .unwrap();
    let pending = commands::pending(&fixture.db, term).await.unwrap();
    let read: Vec<_> = pending
        .iter()
        .map(|pending| pending.command.kind.clone())
        .collect();
    assert_eq!(read, kinds);
    assert_eq!(commands::outcome(&fixture.db, ids[0]).await.unwrap(), None);
    let result = json!({"created": 3});
    commands::finish(&fixture.db, term, &ids[..2], Some(7), &result)
        .await
        .unwrap();
    let outcome = commands::outcome(&fixture.db, ids[1]).await.unwrap();
    assert_eq!(outcome, Some(result));
    assert_eq!(commands::pending(&fixture.db, term).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_not_done() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    commands::submit(&fixture.db, &command(CommandKind::Reconcile))
        .await
        .unwrap();
    fixture
        .execute("UPDATE commands SET requested_at = now() - interval '61 seconds'")
        .await;
    assert!(
        commands::pending(&fixture.db, term)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_last_tick_is_told_with_its_age_and_only_the_last_thousand_are_kept() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    assert_eq!(ticks::last(&fixture.db).await.unwrap(), None);
    assert_eq!(ticks::last_complete_at(&fixture.db).await.unwrap(), None);
    fixture
        .execute(
            "INSERT INTO ticks (term, started_at, complete, report) \
             SELECT 1, now(), false, '{}' FROM generate_series(1, 1100)",
        )
        .await;
    let mut report = Report::default();
    report.listing.complete = true;
    report.done.changed = 4;
    report.hold_back("zero", "a\0b", 1);
    let started_at = fixture.db.now().await.unwrap();
    let id = ticks::record(&fixture.db, term, started_at, &report)
        .await
        .unwrap();
    let last = ticks::last(&fixture.db).await.unwrap().unwrap();
    assert_eq!((last.id, last.term), (id, term));
    report.held_back[0].why = "a\u{FFFD}b".to_owned();
    assert_eq!(last.report, Some(report));
    assert!(last.age < Duration::from_secs(10));
    assert_eq!(
        ticks::last_complete_at(&fixture.db).await.unwrap(),
        Some(last.started_at)
    );
    assert_eq!(fixture.text("SELECT count(*) FROM ticks").await, "1000");
}
