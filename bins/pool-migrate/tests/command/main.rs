//! The program as an operator runs it.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with an error"
)]

mod enriching;
mod killed;

use std::process::{Command, Output};

use pool_test_database::TestDatabase;

fn migrate(url: &str, arguments: &[&str]) -> Result<Output, std::io::Error> {
    Command::new(env!("CARGO_BIN_EXE_pool-migrate"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("DATABASE_URL", url)
        .output()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn up_status_and_down_say_what_they_did_and_end_with_0() {
    let database = TestDatabase::empty().await;
    let run = |arguments: &[&str]| {
        let output = migrate(database.url(), arguments).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let before = run(&["status"]);
    assert!(
        before.contains("Pending: ") && !before.contains("Applied: "),
        "{before}"
    );
    assert!(before.contains("Found: no tables of earlier generations."));
    let up = run(&[]);
    assert!(
        up.starts_with("Applied: ") && up.contains("Not contracted"),
        "{up}"
    );
    let again = run(&["up", "--contract"]);
    assert!(
        again.starts_with("Nothing was pending.\nContracted now"),
        "{again}"
    );
    let after = run(&["status"]);
    assert!(
        after.contains("Nothing is pending.") && after.contains("Contracted at "),
        "{after}"
    );
    let down = run(&["down"]);
    assert!(down.starts_with("Took back: "), "{down}");
    while run(&["down"]).starts_with("Took back: ") {}
    assert_eq!(run(&["down"]), "There was nothing to take back.\n");
}

#[tokio::test]
async fn json_is_one_object_for_each() {
    let database = TestDatabase::empty().await;
    let run = |arguments: &[&str]| -> serde_json::Value {
        let output = migrate(database.url(), arguments).unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let status = run(&["status", "--json"]);
    assert_eq!(status["applied"], serde_json::json!([]));
    let up = run(&["up", "--contract", "--json"]);
    assert_eq!(up["applied"], status["pending"]);
    assert_eq!(up["contractedNow"], true);
    assert!(run(&["--json", "status"])["contractedAt"].is_string());
    assert!(run(&["down", "--json"])["reverted"].is_string());
}

#[test]
fn what_cannot_be_done_is_one_sentence_and_an_exit_code_without_the_password() {
    for (url, code, sentence) in [
        ("", 2, "pool-migrate: DATABASE_URL is not set\n"),
        (
            "mysql://u:hunter2@h/d",
            2,
            "pool-migrate: DATABASE_URL must begin with postgres://",
        ),
        (
            "postgres://u:hunter2@h/d?sslmode=x",
            2,
            "pool-migrate: DATABASE_URL: sslmode must be",
        ),
        (
            "postgres://u:hunter2@127.0.0.1:1/d",
            3,
            "pool-migrate: the database cannot be reached: ",
        ),
    ] {
        let output = migrate(url, &["status"]).unwrap();
        assert_eq!(output.status.code(), Some(code), "{url}");
        let said = stderr(&output);
        assert!(said.starts_with(sentence), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let output = migrate("", &["up", "--json"]).unwrap();
    assert_eq!(stdout(&output), "{\"error\":\"DATABASE_URL is not set\"}\n");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_wrong_setting_and_no_reason_to_wait() {
    let database = TestDatabase::empty().await;
    let url = database.url().replace(database.name(), "no_such_database");
    let output = migrate(&url, &["status"]).unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let sentence = "pool-migrate: the database does not let us in: ";
    assert!(stderr(&output).starts_with(sentence), "{}", stderr(&output));
}

#[test]
fn the_help_documents_the_exit_codes_and_shows_no_secret() {
    let output = migrate("postgres://u:hunter2@h/d", &["--help"]).unwrap();
    let help = stdout(&output);
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(!help.contains("hunter2"), "{help}");
}

/// Of the first generation: enough rows that a run can be killed in the middle.
const MANY: &str = "CREATE TABLE pool_instances (id text PRIMARY KEY, railway_service_id text NOT \
     NULL, railway_url text, status text NOT NULL DEFAULT 'provisioning', claimed_by text, \
     claimed_at timestamptz, created_at timestamptz NOT NULL DEFAULT now()); \
     INSERT INTO pool_instances (id, railway_service_id, status, claimed_by) \
     SELECT 'n' || n, 's' || n, CASE WHEN n % 4 = 0 THEN 'idle' ELSE 'claimed' END, \
     CASE WHEN n % 4 > 0 THEN 'agent ' || n END FROM generate_series(1, 12000) AS n";

#[tokio::test]
async fn status_says_what_it_would_take_over_and_set_aside_and_drop_legacy_asks() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(MANY).await.unwrap();
    let url = database.url();
    let status = stdout(&migrate(url, &["status"]).unwrap());
    for line in [
        "Found: pool_instances.",
        "Table pool_instances: 12000 rows",
        "Would take over: 9000 rows",
        "Would set aside: 3000 rows",
        "  3000: never claimed",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let early = migrate(url, &["drop-legacy", "--yes"]).unwrap();
    assert_eq!(early.status.code(), Some(1), "{}", stdout(&early));
    let up = migrate(url, &["up", "--contract"]).unwrap();
    assert!(
        stderr(&up).contains("copying rows: 12000 of 12000"),
        "{}",
        stderr(&up)
    );
    let said = stdout(&up);
    assert!(
        said.contains("9000 taken over, 0 filled, 3000 set aside"),
        "{said}"
    );
    let after = stdout(&migrate(url, &["status"]).unwrap());
    assert!(after.contains("Instances: 9000 claimed"), "{after}");
    assert!(after.contains("Set aside: 3000 never claimed"), "{after}");
    // Nobody is there to answer.
    let unasked = migrate(url, &["drop-legacy"]).unwrap();
    assert_eq!(unasked.status.code(), Some(1));
    assert!(stderr(&unasked).contains("Would drop: pool_instances (12000 rows)"));
    let dropped = migrate(url, &["drop-legacy", "--yes", "--json"]).unwrap();
    let dropped: serde_json::Value = serde_json::from_slice(&dropped.stdout).unwrap();
    let expected = serde_json::json!([{ "table": "pool_instances", "rows": 12000 }]);
    assert_eq!(dropped["dropped"], expected);
}

#[tokio::test]
async fn four_at_once_do_the_work_once_and_all_end_with_0() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client.batch_execute(MANY).await.unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(env!("CARGO_BIN_EXE_pool-migrate"))
                .args(["up", "--contract", "--json"])
                .env_remove("RUST_LOG")
                .env("DATABASE_URL", database.url())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut contracted = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        contracted += u32::from(said["contractedNow"] == true);
        assert!(said["contractedAt"].is_string());
    }
    assert_eq!(contracted, 1);
}

#[tokio::test]
async fn after_a_restore_nothing_is_handed_out_until_its_agent_was_asked() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let rows = "INSERT INTO instances (id, service_id, name, status) \
                SELECT status, status, status, status \
                FROM unnest('{starting,idle,claiming,claimed,crashed,dead}'::text[]) AS status";
    client.batch_execute(rows).await.unwrap();
    let output = migrate(database.url(), &["after-restore"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "3 instances are handed to nobody until their agents say whose they are.\n"
    );
    let marked = "SELECT string_agg(id || ' ' || status, ', ' ORDER BY id) \
                  FROM instances WHERE unasked";
    let marked: String = client.query_one(marked, &[]).await.unwrap().get(0);
    assert_eq!(
        marked,
        "claiming claiming, idle starting, starting starting"
    );
}

#[tokio::test]
async fn a_postgresql_that_is_too_old_is_refused_in_one_sentence() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let name = database.name();
    client.batch_execute(&thirteen(name)).await.unwrap();
    for arguments in [["up"], ["status"], ["down"]] {
        let output = migrate(database.url(), &arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(
            stderr(&output),
            "pool-migrate: the database is PostgreSQL 13.14, and 14 is the oldest that will do: upgrade \
             it, or name another one in DATABASE_URL\n"
        );
    }
}

/// Has a database say that it is one of that version.
fn thirteen(name: &str) -> String {
    format!(
        "CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS $$ \
         SELECT CASE name WHEN 'server_version' THEN '13.14' WHEN 'server_version_num' THEN '130014' \
         ELSE pg_catalog.current_setting(name) END $$; \
         ALTER DATABASE {name} SET search_path = public, pg_catalog"
    )
}

/// Records of a version that could not tell that they were restored.
#[tokio::test]
async fn who_brings_up_an_older_dump_is_told_what_it_does_not_know() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let run = |arguments: &[&str]| {
        let output = migrate(database.url(), arguments).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    assert_eq!(run(&["up"]), "");
    let tells = "SELECT to_regclass('record_identity') IS NOT NULL";
    while client.query_one(tells, &[]).await.unwrap().get(0) {
        run(&["down"]);
    }
    let rows =
        "INSERT INTO instances (id, service_id, name, status) VALUES ('a', 'a', 'a', 'idle')";
    client.batch_execute(rows).await.unwrap();
    let said = run(&["up"]);
    assert!(said.contains("run `pool-migrate after-restore`"), "{said}");
    assert_eq!(run(&["up"]), "");
}
