//! The tables of `docs/SIMULATOR.md` against the code: every fault, setting and verb is in them, with
//! a source and with tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pool_simulator::faults::{AgentFault, Fault};
use serde::de::DeserializeOwned;

const DOCUMENT: &str = include_str!("../../../../docs/SIMULATOR.md");

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The rows of the table under a heading, cell by cell, without its head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = DOCUMENT.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| !line.starts_with('#'));
    let lines = section.filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split(" | ");
        inner.map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The names in the first cells, each with how often it stands there.
fn named(rows: &[Vec<String>]) -> BTreeMap<&str, usize> {
    let mut names = BTreeMap::new();
    for row in rows {
        let name = row[0].split(" (").next().unwrap_or_default();
        for name in quoted(name) {
            *names.entry(name).or_default() += 1;
        }
    }
    names
}

/// The names that serde expects where it meets one that it does not know.
fn expected<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> BTreeSet<String> {
    let error = serde_json::from_str::<T>(json).map_err(|error| error.to_string());
    let error = error.err().unwrap_or_default();
    let names = error.split('`').skip(3).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_fault_is_in_the_table_and_nothing_else_is() {
    let faults = rows("## Faults");
    let kinds = expected::<Fault>(r#"{"kind": "?"}"#);
    assert!(kinds.len() > 30, "{kinds:?}");
    let listed = named(&faults);
    assert_eq!(
        listed
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        kinds
    );
    assert!(listed.values().all(|count| *count == 1), "{listed:?}");
}

#[test]
fn every_ailment_of_an_agent_is_in_the_table_and_nothing_else_is() {
    let ailments = rows("### What an agent does to its callers");
    let kinds = expected::<AgentFault>(r#"{"kind": "?"}"#);
    let kinds: BTreeSet<_> = kinds.iter().map(|kind| kind.replace('_', "-")).collect();
    let listed = named(&ailments);
    assert_eq!(
        listed
            .keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        kinds
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_and_verb_is_in_its_table_and_nothing_else_is() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let simulator = pool_simulator::Simulator::start(pool_simulator::Options::default()).await?;
    let http = reqwest::Client::new();
    let ask = async |path: &str, body: &'static str| -> Result<String> {
        let url = format!("{}/{path}", simulator.control_url());
        let answer: serde_json::Value = http.post(url).body(body).send().await?.json().await?;
        Ok(answer["error"].as_str().unwrap_or_default().to_owned())
    };
    let refused = ask("settings", r#"{"?": 1}"#).await?;
    let known: BTreeSet<_> = refused.split('`').skip(3).step_by(2).collect();
    assert!(known.len() > 10, "{refused}");
    let listed = rows("### How the world behaves");
    assert_eq!(named(&listed).into_keys().collect::<BTreeSet<_>>(), known);
    let refused = ask("services/x/dance", "").await?;
    let known = refused
        .trim_start_matches("the verbs are ")
        .replace(" and ", ", ");
    let listed = rows("### What befalls a service");
    let listed = named(&listed).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(listed, known.split(", ").collect());
    Ok(())
}

#[test]
fn every_row_has_a_source_and_tests_that_exist() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["tests", "tests/http"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                code.push_str(&std::fs::read_to_string(path)?);
            }
        }
    }
    let headings = DOCUMENT.lines().filter(|line| line.starts_with('#'));
    let tables: Vec<_> = headings.map(rows).filter(|rows| !rows.is_empty()).collect();
    assert!(tables.len() >= 6, "{} tables", tables.len());
    for row in tables.iter().flatten() {
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let tests = row.last().map(|cell| quoted(cell)).unwrap_or_default();
        assert!(!tests.is_empty(), "no test in {row:?}");
        for test in tests {
            assert!(
                code.contains(&format!("fn {test}()")),
                "there is no test {test}"
            );
        }
    }
    Ok(())
}
