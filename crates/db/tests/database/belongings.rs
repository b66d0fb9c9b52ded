//! What was ever recorded as an instance's, as the sweep asks for it.

use std::time::Duration;

use pool_db::provisions::{self, Made, NewProvision};
use pool_db::{belongings, events, migrations};
use pool_domain::sweep::Belonging;
use pool_domain::{CreateStep, InstanceId, Secret, Stage, Term};

use crate::fixture::Fixture;

fn id() -> InstanceId {
    "a".into()
}

/// All of them, each as `kind id instance`, those that were released with an exclamation mark.
async fn all(fixture: &Fixture) -> String {
    fixture
        .text(
            "SELECT string_agg(concat_ws(' ', kind, outside_id, instance_id, \
             CASE WHEN released_at IS NOT NULL THEN '!' END), ', ' ORDER BY kind, outside_id) \
             FROM belongings",
        )
        .await
}

async fn made(fixture: &Fixture, term: Term, made: Made) {
    let next = Stage::Creating(CreateStep::Inbox);
    let known = provisions::advance(&fixture.db, term, &id(), made, next).await;
    assert!(known.unwrap());
}

async fn intended(fixture: &Fixture, term: Term) {
    let new = NewProvision {
        id: id(),
        name: "convos-agent-a".to_owned(),
        gateway_token: Secret::new("token"),
    };
    provisions::intend(&fixture.db, term, &[new], |_| Vec::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn whatever_a_provision_ever_held_is_known_after_it_is_gone() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    intended(&fixture, term).await;
    assert_eq!(all(&fixture).await, "name convos-agent-a a");
    made(&fixture, term, Made::Key("first".into())).await;
    made(&fixture, term, Made::Key("second".into())).await;
    made(&fixture, term, Made::Service("s".into())).await;
    made(&fixture, term, Made::Volume("v".into())).await;
    provisions::remove(&fixture.db, term, &[id()])
        .await
        .unwrap();
    assert_eq!(
        all(&fixture).await,
        "key first a !, key second a !, name convos-agent-a a !, service s a !, volume v a !"
    );
    let asked = [
        (Belonging::Key, "first".to_owned()),
        (Belonging::Name, "convos-agent-a".to_owned()),
        (Belonging::Inbox, "s".to_owned()),
        (Belonging::Volume, "a zero \0 byte".to_owned()),
    ];
    let owners = belongings::owners(&fixture.db, &asked).await.unwrap();
    assert_eq!(owners.len(), 2);
    assert_eq!(owners[&asked[0]], id());
    assert_eq!(owners[&asked[1]], id());

    // An id that comes back is in use again.
    intended(&fixture, term).await;
    assert!(all(&fixture).await.contains("name convos-agent-a a,"));
}

#[tokio::test]
async fn a_volume_that_was_seen_is_remembered_once_and_by_the_leader_alone() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let seen = [
        ("v".into(), id()),
        ("v".into(), "b".into()),
        ("w".into(), id()),
    ];
    for _ in 0..2 {
        let remembered = belongings::remember_volumes(&fixture.db, term, &seen).await;
        remembered.unwrap();
    }
    assert_eq!(all(&fixture).await, "volume v a, volume w a");
    let stale = belongings::remember_volumes(&fixture.db, Term(term.0 - 1), &seen).await;
    assert!(matches!(stale, Err(pool_db::Error::StaleTerm)));
}

#[tokio::test]
async fn what_was_released_long_ago_is_forgotten_and_what_is_in_use_is_not() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture
        .execute(
            "INSERT INTO belongings (kind, outside_id, instance_id, released_at) VALUES \
             ('key', 'old', 'a', now() - interval '91 days'), \
             ('name', 'old', 'a', now() - interval '92 days'), \
             ('key', 'new', 'b', now()), ('key', 'used', 'c', NULL)",
        )
        .await;
    let keep = Duration::from_secs(90 * 24 * 60 * 60);
    let prune = async |at_most| {
        belongings::prune(&fixture.db, term, keep, at_most)
            .await
            .unwrap()
    };
    assert_eq!([prune(1).await, prune(9).await, prune(9).await], [1, 1, 0]);
    assert_eq!(all(&fixture).await, "key new b !, key used c");
}

#[tokio::test]
async fn only_an_instance_whose_row_was_removed_is_gone_by_the_event_log() {
    let fixture = Fixture::new().await;
    fixture.row("gone", "dead").await;
    fixture.execute("DELETE FROM instances").await;
    fixture.row("there", "claimed").await;
    let asked = ["gone", "there", "nobody"].map(InstanceId::from);
    let removed = events::removed(&fixture.db, &asked).await.unwrap();
    assert_eq!(removed, ["gone".into()].into());
}

#[tokio::test]
async fn what_was_recorded_before_the_migration_is_known_after_it() {
    let fixture = Fixture::new().await;
    let url = fixture.database.url();
    while fixture.text("SELECT to_regclass('belongings')").await != "null" {
        migrations::revert_one(url).await.unwrap();
    }
    fixture
        .execute(
            "INSERT INTO provisions (id, name, openrouter_key_hash) VALUES ('a', 'n', 'k'); \
             INSERT INTO provisions (id, name) VALUES ('b', 'm')",
        )
        .await;
    migrations::run(url).await.unwrap();
    assert_eq!(all(&fixture).await, "key k a, name m b, name n a");
}
