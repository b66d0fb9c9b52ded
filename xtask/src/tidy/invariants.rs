//! The tests and files that the tables of docs/INVARIANTS.md and docs/SECURITY.md name exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::sources;

const DOCUMENTS: &[&str] = &["docs/INVARIANTS.md", "docs/SECURITY.md"];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut tests = HashSet::new();
    for file in sources::files(root)? {
        if file.extension().is_some_and(|kind| kind == "rs") {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            tests.extend(tests_of(&text));
        }
    }
    let mut found = Vec::new();
    for name in DOCUMENTS {
        let text =
            fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"))?;
        found.extend(complaints(name, &text, &tests, |path| {
            root.join(path).exists()
        }));
    }
    Ok(found)
}

/// Functions under a test attribute.
fn tests_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let name = line.strip_prefix("async ").unwrap_or(line);
        if let Some(name) = name.strip_prefix("fn ") {
            let name: String = name.chars().take_while(|c| is_of_name(*c)).collect();
            found.extend(is_test.then_some(name));
            is_test = false;
        } else if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        }
    }
    found
}

/// Of the tables of three columns whose last one holds tests, the second may name files.
fn complaints(
    name: &str,
    text: &str,
    tests: &HashSet<String>,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut in_table, mut rows) = (false, 0);
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        let (true, [_, makes, last]) = (line.starts_with('|'), &cells[..]) else {
            in_table = false;
            continue;
        };
        if !in_table {
            in_table = last.trim().ends_with("tests");
            continue;
        }
        if last.trim().starts_with("---") {
            continue;
        }
        rows += 1;
        if quoted(last).next().is_none() {
            complaints.push(format!("{place}: no test is named"));
        }
        for test in quoted(last).filter(|test| !tests.contains(*test)) {
            complaints.push(format!("{place}: there is no test {test}"));
        }
        let paths = quoted(makes).filter(|path| path.contains('/'));
        for path in paths.filter(|path| !exists(path)) {
            complaints.push(format!("{place}: there is no file {path}"));
        }
    }
    if rows == 0 {
        complaints.push(format!("{name}:1: there is no table of tests"));
    }
    complaints
}

/// What stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| what | by | tests |\n| --- | --- | --- |\n";

    fn about(rows: &str) -> Vec<String> {
        let tests = ["it_holds".to_owned()].into();
        let text = format!("{HEAD}{rows}");
        complaints("docs/A.md", &text, &tests, |path| path == "a/b.rs")
    }

    #[test]
    fn a_row_whose_tests_and_files_exist_is_not_mentioned() {
        assert_eq!(
            about("| a | b (`a/b.rs`, `word`) | `it_holds` |\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_test_or_a_file_that_is_none_is_named_with_its_line() {
        assert_eq!(
            about("| a | `a/c.rs` | `it_holds`, `it_does_not` |\n"),
            [
                "docs/A.md:3: there is no test it_does_not",
                "docs/A.md:3: there is no file a/c.rs"
            ]
        );
    }

    #[test]
    fn a_row_without_tests_and_a_document_without_rows_are_refused() {
        assert_eq!(about("| a | b | none |\n").len(), 1);
        assert_eq!(
            complaints("docs/A.md", "", &HashSet::new(), |_| true).len(),
            1
        );
    }

    #[test]
    fn only_what_is_under_a_test_attribute_is_a_test() {
        let code = "fn a() {}\n#[test]\nfn b() {}\n\
                    #[tokio::test(start_paused = true)]\nasync fn c() {}\nfn d() {}\n";
        assert_eq!(tests_of(code), ["b", "c"]);
    }
}
