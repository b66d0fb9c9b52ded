//! Which of our crates may depend on which: the proof that what decides cannot do I/O, and that
//! what talks to one outside party does not know the others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pool_harness::checkout::{Dependency, Metadata, Package};

/// A crate of ours, and those of ours that it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("pool-domain", &[]),
    ("pool-failpoints", &[]),
    ("local-postgres", &[]),
    ("pool-planner", &["pool-domain"]),
    ("pool-db", &["pool-domain"]),
    ("pool-http-client", &["pool-domain"]),
    ("pool-legacy-schema", &["pool-domain", "pool-db"]),
    ("pool-railway", &["pool-domain", "pool-http-client"]),
    ("pool-agent", &["pool-domain", "pool-http-client"]),
    ("pool-credentials", &["pool-domain", "pool-http-client"]),
    ("pool-simulator", &["pool-domain"]),
    ("pool-model", &["pool-domain"]),
    (
        "pool-simulation",
        &[
            "pool-domain",
            "pool-db",
            "pool-http-client",
            "pool-legacy-schema",
            "pool-server",
            "pool-simulator",
            "local-postgres",
        ],
    ),
    (
        "pool-claims",
        &["pool-domain", "pool-failpoints", "pool-db", "pool-agent"],
    ),
    (
        "pool-reconciler",
        &[
            "pool-domain",
            "pool-failpoints",
            "pool-planner",
            "pool-db",
            "pool-legacy-schema",
            "pool-railway",
            "pool-agent",
            "pool-credentials",
        ],
    ),
    ("pool-api", &["pool-domain", "pool-db", "pool-claims"]),
    (
        "pool-test-database",
        &["pool-db", "pool-legacy-schema", "local-postgres"],
    ),
    (
        "pool-server",
        &[
            "pool-domain",
            "pool-failpoints",
            "pool-planner",
            "pool-db",
            "pool-http-client",
            "pool-railway",
            "pool-agent",
            "pool-credentials",
            "pool-claims",
            "pool-reconciler",
            "pool-api",
        ],
    ),
    (
        "pool-migrate",
        &[
            "pool-domain",
            "pool-planner",
            "pool-db",
            "pool-legacy-schema",
            "pool-railway",
        ],
    ),
    ("pool-harness", &["local-postgres"]),
    ("pool-chaos", &["local-postgres", "pool-harness"]),
    ("xtask", &["local-postgres", "pool-harness", "pool-chaos"]),
];

/// What the tests of any crate may use on top.
const TESTS_MAY_USE: &[&str] = &[
    "pool-simulator",
    "pool-test-database",
    "pool-legacy-schema",
    "local-postgres",
    "pool-planner",
];

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const FENCE: &str = "```edges";

/// The table as the document must have it, between its fences.
pub(super) fn as_block() -> String {
    let mut block = String::new();
    for (name, allowed) in EDGES {
        let list = if allowed.is_empty() {
            "nothing of ours".to_owned()
        } else {
            allowed.join(", ")
        };
        let _ = writeln!(block, "{name} -> {list}");
    }
    let _ = writeln!(block, "tests of any -> {}", TESTS_MAY_USE.join(", "));
    block
}

/// Complaints about edges that the table does not have.
pub(super) fn check(root: &Path, metadata: &Metadata) -> Vec<String> {
    let ours: Vec<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    metadata
        .packages
        .iter()
        .flat_map(|package| check_package(root, package, &ours))
        .collect()
}

/// Complaints about a document that says something else than the table.
pub(super) fn check_document(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default();
    document_complaint(&text)
}

fn check_package(root: &Path, package: &Package, ours: &[&str]) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
        let place = place(root, package, &package.name);
        return vec![format!(
            "{place}: {} is not in the table of edges",
            package.name
        )];
    };
    let between_ours = package.dependencies.iter().filter(|dependency| {
        ours.contains(&dependency.name.as_str()) && dependency.name != package.name
    });
    between_ours
        .filter(|dependency| !is_allowed(dependency, allowed))
        .map(|dependency| {
            let place = place(root, package, &dependency.name);
            let (from, to) = (&package.name, &dependency.name);
            let tests = if is_for_tests(dependency) {
                " in its tests"
            } else {
                ""
            };
            format!("{place}: {from} depends on {to}{tests}, an edge that the table does not have")
        })
        .collect()
}

fn is_allowed(dependency: &Dependency, allowed: &[&str]) -> bool {
    let name = dependency.name.as_str();
    allowed.contains(&name) || (is_for_tests(dependency) && TESTS_MAY_USE.contains(&name))
}

fn is_for_tests(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
}

/// The line of the manifest that names the dependency.
fn place(root: &Path, package: &Package, dependency: &str) -> String {
    let text = fs::read_to_string(&package.manifest_path).unwrap_or_default();
    let line = text
        .lines()
        .position(|line| line.trim_start().starts_with(dependency));
    let path = package
        .manifest_path
        .strip_prefix(root)
        .unwrap_or(&package.manifest_path);
    format!("{}:{}", path.display(), line.map_or(1, |index| index + 1))
}

fn document_complaint(text: &str) -> Option<String> {
    let expected = as_block();
    let mut lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != FENCE);
    let Some((fence, _)) = lines.next() else {
        return Some(format!(
            "{DOCUMENT}:1: it has no {FENCE} block with what `cargo xtask tidy --print-edges` prints"
        ));
    };
    let block: Vec<&str> = lines
        .map(|(_, line)| line)
        .take_while(|line| line.trim() != "```")
        .collect();
    let wanted: Vec<&str> = expected.lines().collect();
    let same = block
        .iter()
        .zip(&wanted)
        .take_while(|(have, want)| have.trim_end() == **want);
    let index = same.count();
    if index == wanted.len() && index == block.len() {
        return None;
    }
    let (line, want) = (
        fence + index + 2,
        wanted.get(index).unwrap_or(&"the end of the block"),
    );
    Some(format!(
        "{DOCUMENT}:{line}: the edges differ from those that tidy checks; expected here: {want}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependency: &str, kind: Option<&str>) -> Metadata {
        let package = |name: &str, dependencies| Package {
            name: name.to_owned(),
            manifest_path: "/r/crates/x/Cargo.toml".into(),
            dependencies,
        };
        let kind = kind.map(ToOwned::to_owned);
        let dependencies = vec![Dependency {
            name: dependency.to_owned(),
            kind,
        }];
        let packages = vec![package(name, dependencies), package(dependency, Vec::new())];
        Metadata {
            packages,
            target_directory: "/r/target".into(),
        }
    }

    fn complaints(name: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        check(Path::new("/r"), &package(name, dependency, kind))
    }

    #[test]
    fn the_planner_may_not_reach_the_database() {
        assert_eq!(
            complaints("pool-planner", "pool-db", None),
            [
                "crates/x/Cargo.toml:1: pool-planner depends on pool-db, an edge that the table does \
              not have"
            ]
        );
        assert_eq!(complaints("pool-planner", "pool-domain", None), [""; 0]);
    }

    #[test]
    fn tests_may_use_the_simulator_and_the_product_may_not() {
        assert_eq!(
            complaints("pool-server", "pool-simulator", Some("dev")),
            [""; 0]
        );
        assert_eq!(complaints("pool-server", "pool-simulator", None).len(), 1);
        assert_eq!(
            complaints("pool-server", "pool-simulator", Some("build")).len(),
            1
        );
        assert_eq!(complaints("pool-railway", "pool-db", Some("dev")).len(), 1);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_named() {
        let found = complaints("pool-new", "pool-domain", None);
        assert_eq!(
            found,
            ["crates/x/Cargo.toml:1: pool-new is not in the table of edges"]
        );
    }

    #[test]
    fn the_document_must_say_what_is_checked() {
        let good = format!("# Edges\n\n{FENCE}\n{}```\n", as_block());
        assert_eq!(document_complaint(&good), None);

        let wrong = good.replace("pool-planner -> pool-domain", "pool-planner -> pool-db");
        let index = good
            .lines()
            .position(|line| line.starts_with("pool-planner ->"));
        let place = format!("docs/ARCHITECTURE.md:{}: ", index.unwrap() + 1);
        let complaint = document_complaint(&wrong).unwrap();
        assert!(complaint.starts_with(&place), "{complaint}");
        assert!(
            complaint.ends_with("expected here: pool-planner -> pool-domain"),
            "{complaint}"
        );

        let longer = good.replace("\n```\n", "\nmore -> pool-db\n```\n");
        let complaint = document_complaint(&longer).unwrap();
        assert!(
            complaint.ends_with("expected here: the end of the block"),
            "{complaint}"
        );
        assert!(
            document_complaint("")
                .unwrap()
                .contains("has no ```edges block")
        );
    }
}
