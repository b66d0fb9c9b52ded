//! Which of our crates may depend on which, as docs/ARCHITECTURE.md says it: the proof that what
//! decides cannot do I/O, and that what talks to one outside party does not know the others.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use pool_harness::checkout::{Dependency, Metadata, Package};

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const FENCE: &str = "```edges";

/// What the tests of any crate may use on top stands in the last line, under this name.
const TESTS: &str = "tests of any";

/// A crate of ours, and those of ours that it may depend on.
type Edges<'a> = HashMap<&'a str, Vec<&'a str>>;

/// Complaints about edges that the document does not have.
pub(super) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(root.join(DOCUMENT)).with_context(|| format!("reading {DOCUMENT}"))?;
    Ok(complaints(root, metadata, &edges_in(&text)))
}

/// The lines between the fences: `pool-db -> pool-domain`.
fn edges_in(text: &str) -> Edges<'_> {
    let lines = text.lines().skip_while(|line| line.trim() != FENCE);
    let lines = lines.skip(1).take_while(|line| line.trim() != "```");
    let edges = lines.filter_map(|line| line.split_once(" -> "));
    edges
        .map(|(name, allowed)| (name, allowed.split(',').map(str::trim).collect()))
        .collect()
}

fn complaints(root: &Path, metadata: &Metadata, edges: &Edges<'_>) -> Vec<String> {
    let is_ours = |name: &str| (metadata.packages.iter()).any(|package| package.name == name);
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let from = &package.name;
        let Some(allowed) = edges.get(from.as_str()) else {
            let place = place(root, package, from);
            complaints.push(format!(
                "{place}: {from} is not among the edges of {DOCUMENT}"
            ));
            continue;
        };
        let ours = package.dependencies.iter();
        let ours = ours.filter(|to| is_ours(&to.name) && to.name != *from);
        for to in ours.filter(|to| !is_allowed(to, allowed, edges)) {
            let place = place(root, package, &to.name);
            let tests = if is_for_tests(to) {
                " in its tests"
            } else {
                ""
            };
            complaints.push(format!(
                "{place}: {from} depends on {}{tests}, an edge that {DOCUMENT} does not have",
                to.name
            ));
        }
    }
    complaints
}

fn is_allowed(dependency: &Dependency, allowed: &[&str], edges: &Edges<'_>) -> bool {
    let name = dependency.name.as_str();
    let of_tests = edges.get(TESTS).filter(|_| is_for_tests(dependency));
    allowed.contains(&name) || of_tests.is_some_and(|tests| tests.contains(&name))
}

fn is_for_tests(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
}

/// The line of the manifest that names the dependency.
fn place(root: &Path, package: &Package, dependency: &str) -> String {
    let manifest = &package.manifest_path;
    let text = fs::read_to_string(manifest).unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.position(|line| line.trim_start().starts_with(dependency));
    let path = manifest.strip_prefix(root).unwrap_or(manifest);
    format!("{}:{}", path.display(), line.map_or(1, |index| index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pool-none -> nothing\n```edges\npool-domain -> nothing of ours\n\
        pool-planner -> pool-domain\npool-server -> pool-domain, pool-db\n\
        tests of any -> pool-simulator\n```\npool-planner -> pool-db\n";

    fn about(name: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let package = |name: &str, dependencies| Package {
            name: name.to_owned(),
            manifest_path: "/r/crates/x/Cargo.toml".into(),
            dependencies,
        };
        let dependencies = vec![Dependency {
            name: dependency.to_owned(),
            kind: kind.map(ToOwned::to_owned),
        }];
        let metadata = Metadata {
            packages: vec![package(name, dependencies), package(dependency, Vec::new())],
            target_directory: "/r/target".into(),
        };
        let mut edges = edges_in(TEXT);
        edges.entry("pool-db").or_default();
        edges.entry("pool-simulator").or_default();
        complaints(Path::new("/r"), &metadata, &edges)
    }

    #[test]
    fn the_planner_may_not_reach_the_database() {
        let told = "crates/x/Cargo.toml:1: pool-planner depends on pool-db, an edge that \
                    docs/ARCHITECTURE.md does not have";
        assert_eq!(about("pool-planner", "pool-db", None), [told]);
        assert_eq!(about("pool-planner", "pool-domain", None), [""; 0]);
        assert_eq!(about("pool-server", "pool-db", None), [""; 0]);
    }

    #[test]
    fn tests_may_use_the_simulator_and_the_product_may_not() {
        let complaints = |kind| about("pool-server", "pool-simulator", kind).len();
        assert_eq!(complaints(Some("dev")), 0);
        assert_eq!(complaints(None), 1);
        assert_eq!(complaints(Some("build")), 1);
        assert_eq!(about("pool-planner", "pool-db", Some("dev")).len(), 1);
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_named() {
        let told = "crates/x/Cargo.toml:1: pool-new is not among the edges of docs/ARCHITECTURE.md";
        assert_eq!(about("pool-new", "pool-domain", None), [told]);
        assert_eq!(about("pool-none", "pool-domain", None).len(), 1);
    }
}
