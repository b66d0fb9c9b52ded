//! What our source files must and must not say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where our sources are.
const FOLDERS: &[&str] = &["crates", "bins", "xtask", "migrations"];

/// The kinds of file that hold code.
const KINDS: &[&str] = &["rs", "sql", "sh", "graphql"];

/// Names under which everything and nothing gathers.
const VAGUE_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers"];

/// Marks of unfinished work, put together here so that this file does not carry them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

const EXCEPTION_WITHOUT_REASON: &[&str] = &[concat!("#[al", "low("), concat!("#![al", "low(")];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in files(root)? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        complaints.extend(complaints_about(
            file.strip_prefix(root).unwrap_or(&file),
            &text,
        ));
    }
    Ok(complaints)
}

/// Every file of ours that holds code.
pub(super) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in FOLDERS
        .iter()
        .map(|folder| root.join(folder))
        .filter(|folder| folder.is_dir())
    {
        collect(&folder, &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
        {
            files.push(path);
        }
    }
    Ok(())
}

fn complaints_about(file: &Path, text: &str) -> Vec<String> {
    let place = file.display();
    let mut complaints = Vec::new();
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let folder = file
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    let name = if stem == "mod" {
        folder.unwrap_or_default()
    } else {
        stem
    };
    if VAGUE_NAMES.contains(&name) {
        complaints.push(format!(
            "{place}:1: a module named {name} says nothing about its purpose"
        ));
    }
    let is_rust = file.extension().is_some_and(|kind| kind == "rs");
    if is_rust && !opens_with_its_purpose(text) {
        complaints.push(format!(
            "{place}:1: the module does not open with //! and its purpose"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(mark) = UNFINISHED.iter().find(|mark| has_word(line, mark)) {
            complaints.push(format!("{place}:{number}: {mark} marks unfinished work"));
        }
        if EXCEPTION_WITHOUT_REASON
            .iter()
            .any(|attribute| line.contains(attribute))
        {
            let remedy = "a lint exception is #[expect(…, reason = \"…\")]";
            complaints.push(format!("{place}:{number}: {remedy}"));
        }
    }
    complaints
}

/// A crate's root may take its README instead.
fn opens_with_its_purpose(text: &str) -> bool {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    first.starts_with("//! ") || first.starts_with("#![doc = include_str!(")
}

/// Whether `word` stands in `line` alone: in a longer run of letters it is somebody's test data.
fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(in_word) && (word.ends_with('!') || !after.is_some_and(in_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(file: &str, text: &str) -> Vec<String> {
        complaints_about(Path::new(file), text)
    }

    #[test]
    fn a_file_that_keeps_the_rules_is_not_mentioned() {
        assert_eq!(
            about("crates/a/src/lease.rs", "//! Leases.\n\nfn lease() {}\n"),
            [""; 0]
        );
        let readme = "#![doc = include_str!(\"../README.md\")]\n";
        assert_eq!(about("crates/a/src/lib.rs", readme), [""; 0]);
        assert_eq!(about("migrations/1/up.sql", "SELECT 1;\n"), [""; 0]);
    }

    #[test]
    fn a_module_without_a_purpose_is_named() {
        let found = about("crates/a/src/lease.rs", "use std::fs;\n");
        assert_eq!(
            found,
            ["crates/a/src/lease.rs:1: the module does not open with //! and its purpose"]
        );
    }

    #[test]
    fn a_vague_name_is_refused_for_a_file_and_for_a_folder() {
        assert_eq!(about("crates/a/src/util.rs", "//! Things.\n").len(), 1);
        assert_eq!(
            about("crates/a/tests/common/mod.rs", "//! Things.\n").len(),
            1
        );
        assert_eq!(
            about("crates/common_sense/src/x.rs", "//! Things.\n"),
            [""; 0]
        );
    }

    #[test]
    fn marks_of_unfinished_work_are_found_with_their_line() {
        for mark in UNFINISHED {
            let found = about(
                "crates/a/src/x.rs",
                &format!("//! Things.\n// {mark}(me) later\n"),
            );
            assert_eq!(
                found,
                [format!("crates/a/src/x.rs:2: {mark} marks unfinished work")]
            );
        }
        let longer = format!("//! Things.\n// a{0} {0}b\n", UNFINISHED[2]);
        assert_eq!(about("crates/a/src/x.rs", &longer), [""; 0]);
    }

    #[test]
    fn a_lint_exception_without_a_reason_is_refused() {
        let text = format!("//! Things.\n{}dead_code)]\n", EXCEPTION_WITHOUT_REASON[0]);
        assert_eq!(about("crates/a/src/x.rs", &text).len(), 1);
    }
}
