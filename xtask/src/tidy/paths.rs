//! The files and folders that CONTRIBUTING.md sends a newcomer to exist.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const DOCUMENT: &str = "CONTRIBUTING.md";

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(root.join(DOCUMENT)).with_context(|| format!("reading {DOCUMENT}"))?;
    Ok(complaints(&text, |path| root.join(path).exists()))
}

fn complaints(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = text.lines().enumerate();
    let named = lines.flat_map(|(index, line)| paths(line).map(move |path| (index + 1, path)));
    named
        .filter(|(_, path)| !exists(path))
        .map(|(line, path)| format!("{DOCUMENT}:{line}: there is no {path}"))
        .collect()
}

/// What stands in backticks and looks like a path, and where links lead within the tree.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let quoted = quoted.filter(|word| word.contains('/') && !word.contains(char::is_whitespace));
    let links = line.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split([')', '#']).next());
    let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
    quoted.chain(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_link_that_leads_nowhere_is_named_with_its_line() {
        let text = "See `a/b.rs`, `cargo run a/c` and [this](docs/A.md#words).\n\
                    `a/d.rs` and [that](docs/B.md), [the net](https://example.org/x)\n";
        let found = complaints(text, |path| ["a/b.rs", "docs/A.md"].contains(&path));
        assert_eq!(
            found,
            [
                "CONTRIBUTING.md:2: there is no a/d.rs",
                "CONTRIBUTING.md:2: there is no docs/B.md"
            ]
        );
    }
}
