//! A leader that leads no more writes nothing, whatever it tries: every function of the crate that
//! takes a term is walked, and the list of those that take none is looked through by hand.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_db::commands::{self, Command, CommandId, CommandKind};
use pool_db::provisions::{self, Made, NewProvision};
use pool_db::{Db, Error, belongings, budget, events, fuse, instances, ticks};
use pool_domain::budget::Heard;
use pool_domain::write::{Adoption, NewInstance, OwnedResources, Refresh, StatusChange};
use pool_domain::{
    CreateStep, DestroyStep, Epoch, FuseReport, InstanceId, Report, Secret, Stage, Status, Term,
};
use serde_json::json;

use crate::fixture::Fixture;

/// What writes without a term, and why it may: the claim's side, whose guard is its token; people,
/// whose statements look at the row that they lock; what several processes do under a lock of their
/// own; and what only adds to a record.
const WRITES_WITHOUT_A_TERM: [&str; 20] = [
    "budget::add",
    "claims::abandon",
    "claims::bind",
    "claims::confirm",
    "claims::expire",
    "claims::lease_idle",
    "claims::prune",
    "claims::release",
    "commands::submit",
    "instances::dismiss",
    "instances::drain",
    "instances::insert_adopted_unled",
    "instances::kill",
    "instances::refresh_unled",
    "managers::own",
    "managers::take_over",
    "migrations::revert_one",
    "migrations::run",
    "record::doubt",
    "record::verify",
];

/// What only reads, or only wakes.
const READS: [&str; 25] = [
    "belongings::owners",
    "budget::load",
    "claims::idle_exists",
    "claims::look",
    "claims::next_idle",
    "commands::outcome",
    "commands::wake",
    "events::last_by_service",
    "events::removed",
    "fuse::load",
    "fuse::tripped",
    "instances::counts",
    "instances::each_in_use",
    "instances::each_with_instructions",
    "instances::load",
    "instances::load_probed",
    "instances::most_urgent",
    "instances::newest_in_use",
    "managers::load",
    "migrations::status",
    "provisions::load",
    "record::is_blind",
    "set_aside::reasons",
    "ticks::last",
    "ticks::last_complete_at",
];

/// The public functions of the crate's sources that do something, and whether they take a term.
fn functions() -> Vec<(String, bool)> {
    fn walk(folder: &Path, module: &str, found: &mut Vec<(String, bool)>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = entry.path();
            if path.is_dir() {
                walk(&path, &name, found);
            } else if let Some(file) = name.strip_suffix(".rs") {
                let module = if module.is_empty() { file } else { module };
                let source = std::fs::read_to_string(&path).unwrap();
                for function in source.split("\npub async fn ").skip(1) {
                    let (signature, _) = function.split_once('{').unwrap();
                    let (name, _) = signature.split_once(['(', '<']).unwrap();
                    let takes_term = signature.contains("term: Term");
                    found.push((format!("{module}::{name}"), takes_term));
                }
            }
        }
    }
    let mut found = Vec::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walk(&sources, "", &mut found);
    found
}

fn adoption(created_at: DateTime<Utc>) -> Adoption {
    Adoption {
        id: "b".into(),
        service_id: "service-b".into(),
        name: "convos-agent-b".to_owned(),
        url: None,
        status: Status::Starting,
        deploy_status: None,
        runtime_image: None,
        gateway_token: None,
        agentmail_inbox_id: None,
        created_at,
        claimed_at: None,
        reason: "because".to_owned(),
    }
}

fn refresh() -> Refresh {
    Refresh {
        id: "a".into(),
        epoch: Epoch(0),
        name: "another".to_owned(),
        url: None,
        deploy_status: None,
        runtime_image: None,
        gateway_token: None,
        agentmail_inbox_id: None,
        claimed_at: None,
        missing_since: None,
        unasked: false,
    }
}

/// Each write of a leader, by its name, tried in this term.
async fn writes(db: &Db, term: Term) -> Vec<(&'static str, Result<(), Error>)> {
    let id = || InstanceId::from("a");
    let name = "convos-agent-b".to_owned();
    let change = StatusChange {
        id: id(),
        from: Status::Idle,
        epoch: Epoch(0),
        to: Status::Dead,
        reason: "because".to_owned(),
        conversation: None,
        is_loss: true,
    };
    let created = NewInstance {
        id: "b".into(),
        service_id: "service-b".into(),
        name: name.clone(),
        openrouter_key_hash: None,
        agentmail_inbox_id: None,
        gateway_token: None,
        runtime_image: None,
    };
    let intent = NewProvision {
        id: "b".into(),
        name: name.clone(),
        gateway_token: Secret::new("t"),
    };
    let belongings = OwnedResources {
        id: id(),
        name,
        service_id: Some("service-a".into()),
        openrouter_key_hash: None,
        agentmail_inbox_id: None,
        volume_ids: Vec::new(),
    };
    let now = db.now().await.unwrap();
    let heard = Heard {
        at: now,
        limit: Some(1_000),
        remaining: Some(999),
        resets_at: None,
        block: None,
        edge_blocks: 0,
    };
    let tripped = FuseReport {
        tripped_at: now,
        why: "too many".to_owned(),
        lost: 0,
        waiting: 6,
        limit: 5,
        held: Vec::new(),
    };
    let dead = [("dead".into(), Epoch(0))];
    let volumes = [("volume-a".into(), id())];
    let old = Duration::from_secs(1);
    macro_rules! tried {
        ($($function:path => $write:expr),+ $(,)?) => {
            vec![$((stringify!($function), $write.await.map(drop))),+]
        };
    }
    tried![
        instances::change_statuses => instances::change_statuses(db, term, &[change], "x"),
        instances::refresh => instances::refresh(db, term, &[refresh()]),
        instances::put_last => instances::put_last(db, term, &[(id(), Epoch(0))], old),
        instances::insert_created => instances::insert_created(db, term, &created),
        instances::insert_adopted => instances::insert_adopted(db, term, &[adoption(now)]),
        instances::remove => instances::remove(db, term, &dead, "x"),
        instances::set_url => instances::set_url(db, term, &id(), "http://a"),
        provisions::intend => provisions::intend(db, term, &[intent], |_| Vec::new()),
        provisions::begin_step => provisions::begin_step(db, term, &id(), CreateStep::Key),
        provisions::advance => provisions::advance(db, term, &id(), Made::Nothing, Stage::Created),
        provisions::failed => provisions::failed(db, term, &id(), "no", old),
        provisions::held => provisions::held(db, term, &id(), "not yet", old),
        provisions::begin_destruction => provisions::begin_destruction(db, term, &belongings),
        provisions::mark_destroyed => provisions::mark_destroyed(db, term, &id(), DestroyStep::Key),
        provisions::remove => provisions::remove(db, term, &[id()]),
        commands::pending => commands::pending(db, term),
        commands::finish => commands::finish(db, term, &[CommandId(1)], None, &json!({})),
        belongings::remember_volumes => belongings::remember_volumes(db, term, &volumes),
        belongings::prune => belongings::prune(db, term, old, 10),
        events::prune => events::prune(db, term, old),
        budget::save => budget::save(db, term, &heard),
        fuse::save => fuse::save(db, term, Some(&tripped), 7),
        ticks::record => ticks::record(db, term, now, &Report::default()),
    ]
}

/// Everything that is stored, as text, but for who leads.
async fn everything(fixture: &Fixture) -> String {
    let tables = "SELECT string_agg(format('%s: %s', relname, \
                  query_to_xml(format('SELECT * FROM %I ORDER BY 1', relname), true, false, '')), \
                  E'\n' ORDER BY relname) \
                  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
                  AND relname NOT IN ('leader_terms', '__diesel_schema_migrations')";
    fixture.text(tables).await
}

#[tokio::test]
async fn no_write_of_a_leader_is_made_in_a_stale_term_and_each_is_in_the_newest() {
    let fixture = Fixture::new().await;
    let (leader, old) = fixture.leader().await;
    drop(leader);
    fixture.row("a", "idle").await;
    fixture.row("dead", "dead").await;
    let ask = Command {
        kind: CommandKind::Reconcile,
        by: "api".to_owned(),
    };
    commands::submit(&fixture.db, &ask).await.unwrap();
    fixture
        .execute(
            "INSERT INTO provisions (id, name) VALUES ('a', 'n'); \
             INSERT INTO commands (kind, requested_by, requested_at) \
             VALUES ('reconcile', 'old', now() - interval '8 days'); \
             UPDATE instances SET status = 'starting' WHERE id = 'a'; \
             UPDATE instances SET status = 'idle' WHERE id = 'a'; \
             UPDATE instance_events SET at = now() - interval '1 hour'",
        )
        .await;
    let next = fixture.text("SELECT pool_raise_term('another')").await;
    let newest = Term(next.parse().unwrap());
    let before = everything(&fixture).await;
    for term in [old, Term(newest.0 + 1), Term(0)] {
        for (name, refusal) in writes(&fixture.db, term).await {
            assert!(
                matches!(refusal, Err(Error::StaleTerm)),
                "{name} {refusal:?}"
            );
        }
    }
    assert_eq!(everything(&fixture).await, before);

    // And the newest one ended its term by itself: then nobody leads.
    fixture
        .execute("UPDATE leader_terms SET ended_at = now()")
        .await;
    for (name, refusal) in writes(&fixture.db, newest).await {
        assert!(
            matches!(refusal, Err(Error::StaleTerm)),
            "{name} {refusal:?}"
        );
    }
    assert_eq!(everything(&fixture).await, before);
    fixture
        .execute("UPDATE leader_terms SET ended_at = NULL")
        .await;
    for (name, made) in writes(&fixture.db, newest).await {
        assert!(made.is_ok(), "{name} {made:?}");
    }
    assert_ne!(everything(&fixture).await, before);
}

#[tokio::test]
async fn every_function_that_takes_a_term_is_walked_and_every_other_one_is_known() {
    let fixture = Fixture::new().await;
    let walked = writes(&fixture.db, Term(0)).await;
    let walked: BTreeSet<_> = walked
        .into_iter()
        .map(|(name, _)| name.replace(' ', ""))
        .collect();
    let (led, others): (Vec<_>, Vec<_>) = functions().into_iter().partition(|it| it.1);
    let led: BTreeSet<_> = led.into_iter().map(|(name, _)| name).collect();
    assert_eq!(led, walked);
    let others: BTreeSet<_> = others.into_iter().map(|(name, _)| name).collect();
    let known = WRITES_WITHOUT_A_TERM.iter().chain(&READS);
    let known: BTreeSet<_> = known.map(ToString::to_string).collect();
    assert_eq!(others, known);
}
