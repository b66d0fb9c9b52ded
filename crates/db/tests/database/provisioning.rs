//! The record of what is made and destroyed outside.

use std::time::Duration;

use pool_db::commands::{self, CommandKind};
use pool_db::provisions::{self, Made, NewProvision};
use pool_db::{Db, Error, instances};
use pool_domain::write::{NewInstance, OwnedResources};
use pool_domain::{CreateStep, DestroyStep, InstanceId, ResourceRecord, Secret, Stage, Term};

use serde_json::json;

use crate::fixture::Fixture;

fn id() -> InstanceId {
    "a".into()
}

async fn intended(fixture: &Fixture, term: Term) {
    let new = NewProvision {
        id: id(),
        name: "convos-agent-a".to_owned(),
        gateway_token: Secret::new("token"),
    };
    let twice = [new.clone(), new];
    let written = provisions::intend(&fixture.db, term, &twice[..1], |_| Vec::new())
        .await
        .unwrap();
    assert_eq!(written, 1);
    let again = provisions::intend(&fixture.db, term, &twice[..1], |_| Vec::new())
        .await
        .unwrap();
    assert_eq!(again, 0);
}

async fn only(db: &Db) -> ResourceRecord {
    let mut all = provisions::load(db).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn belongings() -> OwnedResources {
    OwnedResources {
        id: id(),
        name: "convos-agent-a".to_owned(),
        service_id: Some("another service".into()),
        openrouter_key_hash: None,
        agentmail_inbox_id: Some("inbox".into()),
        volume_ids: vec!["volume".into()],
    }
}

#[tokio::test]
async fn a_command_is_done_with_the_intents_that_it_asked_for_or_not_at_all() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let old = Term(term.0 - 1);
    let db = &fixture.db;
    let command = commands::Command {
        kind: CommandKind::Replenish { count: Some(1) },
        by: "a test".to_owned(),
    };
    let asked = commands::submit(db, &command).await.unwrap();
    let new = [NewProvision {
        id: id(),
        name: "convos-agent-a".to_owned(),
        gateway_token: Secret::new("token"),
    }];
    let answers = |written| vec![(asked, json!({ "created": written }))];

    let refused = provisions::intend(db, old, &new, answers).await;
    assert!(matches!(refused, Err(Error::StaleTerm)));
    assert_eq!(provisions::load(db).await.unwrap(), []);
    assert_eq!(commands::pending(db, term).await.unwrap().len(), 1);

    provisions::intend(db, term, &new, answers).await.unwrap();
    assert_eq!(commands::pending(db, term).await.unwrap(), []);
    let outcome = commands::outcome(db, asked).await.unwrap();
    assert_eq!(outcome, Some(json!({ "created": 1 })));
}

#[tokio::test]
async fn a_creation_that_a_person_ends_has_no_row_and_goes_no_further() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    intended(&fixture, term).await;
    let db = &fixture.db;
    let killed = instances::kill(db, &id(), "api").await.unwrap();
    assert_eq!(killed, instances::Killed::Requested);
    assert_eq!(only(db).await.stage, Stage::Destroying);
    let begun = provisions::begin_step(db, term, &id(), CreateStep::Service).await;
    assert!(!begun.unwrap());
    let row = NewInstance {
        id: id(),
        service_id: "made meanwhile".into(),
        name: "convos-agent-a".to_owned(),
        openrouter_key_hash: None,
        agentmail_inbox_id: None,
        gateway_token: None,
        runtime_image: None,
    };
    assert!(!instances::insert_created(db, term, &row).await.unwrap());
    assert_eq!(instances::most_urgent(db, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_creation_is_recorded_step_by_step() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    intended(&fixture, term).await;
    let db = &fixture.db;
    let fresh = only(db).await;
    assert_eq!(fresh.stage, Stage::Creating(CreateStep::Key));
    assert_eq!(fresh.gateway_token, Some(Secret::new("token")));
    assert!(
        provisions::begin_step(db, term, &id(), CreateStep::Key)
            .await
            .unwrap()
    );
    assert!(only(db).await.step_began_at > fresh.step_began_at);
    for (made, next) in [
        (Made::Key("hash".into()), CreateStep::Inbox),
        (Made::Inbox("inbox".into()), CreateStep::Service),
        (Made::Service("service".into()), CreateStep::Row),
        (Made::Nothing, CreateStep::Volume),
        (Made::Volume("volume".into()), CreateStep::Domain),
        (Made::Nothing, CreateStep::Commit),
    ] {
        let next = Stage::Creating(next);
        assert!(
            provisions::advance(db, term, &id(), made, next)
                .await
                .unwrap()
        );
        assert_eq!(only(db).await.stage, next);
    }
    let whole = only(db).await;
    assert_eq!(whole.openrouter_key_hash, Some("hash".into()));
    assert_eq!(whole.agentmail_inbox_id, Some("inbox".into()));
    assert_eq!(whole.service_id, Some("service".into()));
    assert_eq!(whole.volume_id, Some("volume".into()));
}

#[tokio::test]
async fn a_failure_is_counted_until_the_step_succeeds() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    intended(&fixture, term).await;
    let db = &fixture.db;
    let long = "é".repeat(2_000);
    for _ in 0..2 {
        provisions::failed(db, term, &id(), &long, Duration::from_secs(60))
            .await
            .unwrap();
    }
    let failed = only(db).await;
    assert_eq!(failed.attempts, 2);
    assert_eq!(failed.last_error.unwrap().chars().count(), 500);
    let wait = failed.next_attempt_at.unwrap() - db.now().await.unwrap();
    assert!((55..=60).contains(&wait.num_seconds()), "{wait}");
    let next = Stage::Creating(CreateStep::Inbox);
    provisions::advance(db, term, &id(), Made::Nothing, next)
        .await
        .unwrap();
    let succeeded = only(db).await;
    assert_eq!(succeeded.attempts, 0);
    assert!(succeeded.next_attempt_at.is_some(), "the next step is due");
    assert_eq!(succeeded.last_error, None);
}

#[tokio::test]
async fn a_destruction_keeps_what_is_recorded_and_fills_in_the_rest() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    intended(&fixture, term).await;
    let db = &fixture.db;
    let next = Stage::Creating(CreateStep::Row);
    let made = Made::Service("service".into());
    provisions::advance(db, term, &id(), made, next)
        .await
        .unwrap();
    provisions::begin_destruction(db, term, &belongings())
        .await
        .unwrap();
    let begun = only(db).await;
    assert_eq!(begun.stage, Stage::Destroying);
    assert_eq!(begun.service_id, Some("service".into()));
    assert_eq!(begun.volume_id, Some("volume".into()));
    assert_eq!(begun.agentmail_inbox_id, Some("inbox".into()));
    assert_eq!(begun.gateway_token, Some(Secret::new("token")));
    // Begun again in the next tick, it changes nothing.
    provisions::failed(db, term, &id(), "no", Duration::from_secs(60))
        .await
        .unwrap();
    let failed = only(db).await;
    provisions::begin_destruction(db, term, &belongings())
        .await
        .unwrap();
    assert_eq!(only(db).await, failed);
}

#[tokio::test]
async fn what_is_being_destroyed_is_created_no_further() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let db = &fixture.db;
    provisions::begin_destruction(db, term, &belongings())
        .await
        .unwrap();
    assert!(
        !provisions::begin_step(db, term, &id(), CreateStep::Volume)
            .await
            .unwrap()
    );
    let late = Made::Key("late".into());
    provisions::advance(db, term, &id(), late, Stage::Created)
        .await
        .unwrap();
    let provision = only(db).await;
    assert_eq!(provision.stage, Stage::Destroying);
    assert_eq!(provision.openrouter_key_hash, Some("late".into()));
}

#[tokio::test]
async fn each_step_of_a_destruction_is_marked_once_and_the_services_is_dated() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    let db = &fixture.db;
    provisions::begin_destruction(db, term, &belongings())
        .await
        .unwrap();
    for step in [DestroyStep::Volumes, DestroyStep::Volumes] {
        assert!(
            provisions::mark_destroyed(db, term, &id(), step)
                .await
                .unwrap()
        );
    }
    assert_eq!(only(db).await.service_deleted_at, None);
    provisions::mark_destroyed(db, term, &id(), DestroyStep::Service)
        .await
        .unwrap();
    let provision = only(db).await;
    assert_eq!(
        provision.destroyed,
        [DestroyStep::Volumes, DestroyStep::Service]
    );
    assert!(provision.service_deleted_at.is_some());
    assert_eq!(provisions::remove(db, term, &[id()]).await.unwrap(), 1);
    assert!(
        !provisions::mark_destroyed(db, term, &id(), DestroyStep::Key)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_step_that_only_a_newer_build_knows_is_skipped() {
    let fixture = Fixture::new().await;
    fixture
        .execute("INSERT INTO provisions (id, name, step) VALUES ('x', 'n', 'blessing')")
        .await;
    assert!(provisions::load(&fixture.db).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stale_leader_records_nothing() {
    let fixture = Fixture::new().await;
    let (leader, old) = fixture.leader().await;
    intended(&fixture, old).await;
    drop(leader);
    fixture.execute("SELECT pool_raise_term('another')").await;
    let before = only(&fixture.db).await;
    let db = &fixture.db;
    let refusals = [
        provisions::begin_step(db, old, &id(), CreateStep::Key)
            .await
            .map(drop),
        provisions::advance(db, old, &id(), Made::Nothing, Stage::Created)
            .await
            .map(drop),
        provisions::failed(db, old, &id(), "no", Duration::ZERO)
            .await
            .map(drop),
        provisions::begin_destruction(db, old, &belongings()).await,
        provisions::mark_destroyed(db, old, &id(), DestroyStep::Key)
            .await
            .map(drop),
        provisions::remove(db, old, &[id()]).await.map(drop),
        provisions::intend(
            db,
            old,
            &[NewProvision {
                id: "b".into(),
                name: "n".to_owned(),
                gateway_token: Secret::new("t"),
            }],
            |_| Vec::new(),
        )
        .await
        .map(drop),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(Error::StaleTerm)), "{refusal:?}");
    }
    assert_eq!(only(db).await, before);
}
