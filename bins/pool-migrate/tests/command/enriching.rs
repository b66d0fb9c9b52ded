//! `enrich` against a simulated Railway.

use std::process::{Command, Output};

use pool_simulator::{Fault, FaultRule, Options, SeedServices, SeededService, Simulator};
use pool_test_database::TestDatabase;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::killed::{SOMEBODY_WAITS, until};
use super::{migrate, stderr, stdout};

const KEY: &str = "the-pools-key";
const GATEWAY_TOKEN: &str = "a-gateway-token-of-these-tests";

/// A database of the second generation whose rows are for services of a simulated Railway, taken
/// over and contracted.
struct Stage {
    database: TestDatabase,
    client: Client,
    railway: Simulator,
    /// Each has a row that lacks what Railway knows.
    known: Vec<SeededService>,
    /// A service of ours without a row.
    ours: SeededService,
}

impl Stage {
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let client = database.client().await;
        let railway = Simulator::start(Options::default()).await.unwrap();
        let seed = |count, key: &str| {
            let variables = [
                ("POOL_API_KEY".to_owned(), key.to_owned()),
                (
                    "OPENCLAW_GATEWAY_TOKEN".to_owned(),
                    GATEWAY_TOKEN.to_owned(),
                ),
                ("AGENTMAIL_INBOX_ID".to_owned(), "inbox@mail".to_owned()),
            ];
            let variables = variables.into();
            let seed = SeedServices {
                count,
                variables,
                ..SeedServices::default()
            };
            railway.seed_services(&seed).unwrap()
        };
        let known = seed(2, KEY);
        let ours = seed(1, KEY).remove(0);
        seed(1, "somebody-elses-key");
        let rows = known.iter().map(|service| {
            let id = service.name.trim_start_matches("convos-agent-");
            format!("('{id}', '{}', 'Ada')", service.service_id)
        });
        let rows: Vec<_> = rows.collect();
        let tables = format!(
            "CREATE TABLE agent_metadata (id text PRIMARY KEY, railway_service_id text NOT NULL, \
             agent_name text NOT NULL, conversation_id text, invite_url text, instructions text, \
             created_at timestamptz NOT NULL DEFAULT now(), claimed_at timestamptz DEFAULT now()); \
             INSERT INTO agent_metadata (id, railway_service_id, agent_name) \
             VALUES {}, ('lost', 'no-service', 'Eve')",
            rows.join(", ")
        );
        client.batch_execute(&tables).await.unwrap();
        Self {
            database,
            client,
            railway,
            known,
            ours,
        }
    }

    fn contract(&self) {
        let output = migrate(self.database.url(), &["up", "--contract"]).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pool-migrate"));
        command
            .arg("enrich")
            .args(arguments)
            .env_remove("RUST_LOG")
            .env_remove("RAILWAY_TOKEN")
            .env("DATABASE_URL", self.database.url())
            .env("POOL_API_KEY", KEY)
            .env("POOL_AGENT_SCHEME", "http")
            .env("RAILWAY_API_TOKEN", self.railway.token())
            .env("RAILWAY_API_URL", self.railway.graphql_url())
            .env("RAILWAY_PROJECT_ID", self.railway.project_id().as_str())
            .env(
                "RAILWAY_ENVIRONMENT_ID",
                self.railway.environment_id().as_str(),
            );
        command
    }

    fn enrich(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    async fn rows(&self) -> String {
        let rows = "SELECT coalesce(string_agg(concat_ws(' ', id, status, name, url, deploy_status, \
                    runtime_image, gateway_token, agentmail_inbox_id, unasked), E'\\n' \
                    ORDER BY id), '') FROM instances";
        self.client.query_one(rows, &[]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_change_with_secrets_masked_and_writes_nothing() {
    let stage = Stage::new().await;
    let early = stage.enrich(&["--dry-run"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(stderr(&early).contains("only after contraction"));
    stage.contract();
    let before = stage.rows().await;
    stage.railway.reset_request_counts();
    let dry = stage.enrich(&["--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", stderr(&dry));
    let said = stdout(&dry);
    println!("{said}");
    let id = stage.known[0].name.trim_start_matches("convos-agent-");
    for line in [
        format!("~ {id} url: (none) -> http://{}", stage.known[0].domain),
        format!("~ {id} deploy_status: (none) -> SUCCESS"),
        format!("~ {id} gateway_token: (none) -> (secret)"),
        format!("~ {id} agentmail_inbox_id: (none) -> inbox@mail"),
        "of them are unknown to Railway and left alone".to_owned(),
        "Dry run: nothing was written.".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}: {said}");
    }
    assert_eq!(said.matches("\n+ ").count(), 1, "{said}");
    assert_eq!(said.matches("Left alone: ").count(), 1, "{said}");
    let everything = said + &stderr(&dry);
    assert!(!everything.contains(GATEWAY_TOKEN) && !everything.contains(KEY));
    assert_eq!(stage.rows().await, before);
    // The environment is asked for once; then one listing, and one read of all variables.
    let counts = stage.railway.request_counts();
    assert!(counts.total <= 3, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fills_rows_inserts_what_is_ours_and_leaves_alone_what_railway_does_not_know() {
    let stage = Stage::new().await;
    stage.contract();
    let output = stage.enrich(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(done["unknownToRailway"], 1, "{done}");
    assert_eq!(done["written"], 2, "{done}");
    assert_eq!(done["inserted"], 1, "{done}");
    assert_eq!(done["adopted"][0]["serviceId"], stage.ours.service_id);
    assert!(!done.to_string().contains(GATEWAY_TOKEN), "{done}");
    let rows = stage.rows().await;
    for service in &stage.known {
        let filled = format!(
            "claimed {} http://{} SUCCESS ghcr.io/xmtplabs/convos-runtime:latest {GATEWAY_TOKEN} \
             inbox@mail f",
            service.name, service.domain
        );
        assert!(rows.contains(&filled), "{filled}: {rows}");
    }
    let inserted = format!("starting {} http://{}", stage.ours.name, stage.ours.domain);
    assert!(rows.contains(&inserted), "{inserted}: {rows}");
    assert!(rows.contains("lost claimed convos-agent-lost f"), "{rows}");
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let again = stage.enrich(&["--all", "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["changes"], json!([]), "{again}");
    assert_eq!(
        (&again["written"], &again["inserted"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(again["lookedAt"], 4, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_listing_and_a_refusal_change_nothing_and_say_why() {
    let stage = Stage::new().await;
    stage.contract();
    let before = stage.rows().await;
    for (fault, code, why) in [
        (
            Fault::NullDeployment { every: 1 },
            3,
            "listing is incomplete",
        ),
        (Fault::NotAuthorized, 2, "Not Authorized"),
    ] {
        stage.railway.inject(FaultRule::always(fault)).unwrap();
        let output = stage.enrich(&[]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        stage.railway.clear_faults();
    }
    assert_eq!(stage.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_writes_it_is_done_by_the_next_run() {
    let stage = Stage::new().await;
    stage.contract();
    let before = stage.rows().await;
    let holder = stage.database.client().await;
    let last = "BEGIN; SELECT FROM instances ORDER BY id DESC FOR UPDATE LIMIT 2";
    holder.batch_execute(last).await.unwrap();
    let mut child = stage.command(&[]).spawn().unwrap();
    until(&stage.client, SOMEBODY_WAITS).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    stage.client.query_one(end, &[]).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(stage.rows().await, before, "half of it was written");
    let again = stage.enrich(&["--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["written"], 2, "{again}");
    assert_eq!(again["inserted"], 1, "{again}");
}

/// Whose servers are gone, and whose services are to be ours: as a person finds it out and does it.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_manager_made_is_reported_until_it_is_taken_over() {
    let stage = Stage::new().await;
    stage.contract();
    let variables = [
        ("POOL_API_KEY".to_owned(), KEY.to_owned()),
        ("POOL_MANAGER_ID".to_owned(), "the-other-manager".to_owned()),
    ];
    let theirs = stage.railway.seed_services(&SeedServices {
        count: 2,
        variables: variables.into(),
        ..SeedServices::default()
    });
    let theirs: Vec<_> = theirs.unwrap().into_iter().map(|it| it.name).collect();
    let foreign = |output: &Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
        let said: Value = serde_json::from_str(&stdout(output)).unwrap();
        let foreign = said["foreign"].as_array().cloned().unwrap_or_default();
        let is_theirs = |it: &&Value| theirs.iter().any(|name| it["name"] == name.as_str());
        foreign
            .iter()
            .filter(is_theirs)
            .map(|it| it["why"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let why = foreign(&stage.enrich(&["--json"]));
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(
        why.iter().all(|why| why.contains("the-other-manager")),
        "{why:?}"
    );

    let taken = migrate(stage.database.url(), &["take-over", "the-other-manager"]).unwrap();
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    println!("{}", stdout(&taken));
    assert!(stdout(&taken).contains("the-other-manager"));
    assert_eq!(foreign(&stage.enrich(&["--json"])), Vec::<String>::new());
    let adopted = "SELECT count(*) FROM instances WHERE name = ANY ($1) AND unasked";
    let adopted = stage.client.query_one(adopted, &[&theirs]).await.unwrap();
    assert_eq!(adopted.get::<_, i64>(0), 2);
}
