//! The program as an operator runs it.

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

#[test]
fn the_help_documents_the_exit_codes_and_shows_no_secret() {
    let output = migrate("postgres://u:hunter2@h/d", &["--help"]).unwrap();
    let help = stdout(&output);
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(!help.contains("hunter2"), "{help}");
}

#[tokio::test]
async fn rows_of_generations_that_it_cannot_take_over_keep_it_from_contracting() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    client
        .batch_execute("CREATE TABLE pool_instances (id text PRIMARY KEY)")
        .await
        .unwrap();
    let up = migrate(database.url(), &["up"]).unwrap();
    assert_eq!(up.status.code(), Some(0));
    assert!(stdout(&up).contains("The rows of pool_instances are not taken over"));
    let contract = migrate(database.url(), &["up", "--contract"]).unwrap();
    assert_eq!(contract.status.code(), Some(1));
    assert!(
        stderr(&contract).contains("pool_instances"),
        "{}",
        stderr(&contract)
    );
}
