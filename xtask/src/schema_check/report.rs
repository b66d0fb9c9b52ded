//! All that one check has to say, and its last line.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use apollo_compiler::Schema;

use super::finding::{Finding, Kind};
use super::subset::{Operations, Ours};
use super::{compare, introspection, operations};

/// What was found in one check.
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// Why the operations could not be checked, although something else was found.
    unchecked: Option<String>,
    checked: String,
}

impl Report {
    /// `place` is where the introspection comes from, for the words.
    pub(super) fn new(answer: &[u8], place: &str, ours: &Ours) -> Result<Self> {
        let railway = introspection::schema(answer).with_context(|| place.to_owned())?;
        let checked = checked(ours, &railway, place);
        let mut findings = compare::compare(&ours.subset, &railway);
        let mut unchecked = None;
        match railway.validate() {
            Ok(railway) => {
                let files = ours.operations.iter();
                findings.extend(files.flat_map(|file| operations::check(file, &railway)));
            }
            Err(problem) => {
                let first = problem.errors.iter().next();
                let first = first.map_or_else(String::new, |first| first.error.to_string());
                let sentence = format!("{place} describes a schema that is not valid: {first}");
                // A type that was taken out alone leaves such a schema, and is found all the same.
                if !findings.iter().any(|finding| finding.kind.is_refusal()) {
                    return Err(anyhow!(sentence));
                }
                unchecked = Some(sentence);
            }
        }
        findings.sort();
        findings.dedup();
        Ok(Self {
            findings,
            unchecked,
            checked,
        })
    }

    pub(super) fn is_refused(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.kind.is_refusal())
    }

    /// Refusals go to standard error, all else to standard output.
    pub(super) fn print(&self) {
        for finding in &self.findings {
            if finding.kind.is_refusal() {
                eprintln!("{finding}");
            } else {
                println!("{finding}");
            }
        }
        if let Some(reason) = &self.unchecked {
            eprintln!("the operations were not checked: {reason}");
        }
        if self.is_refused() {
            eprintln!("{}", self.summary());
        } else {
            println!("{}", self.summary());
        }
    }

    pub(super) fn summary(&self) -> String {
        let (refusals, notes): (Vec<_>, Vec<_>) = self
            .findings
            .iter()
            .map(|finding| finding.kind)
            .partition(|kind| kind.is_refusal());
        let notes = counted(notes.len(), "note");
        let checked = &self.checked;
        if refusals.is_empty() {
            return format!("schema-check: fine: {checked}; {notes}");
        }
        let refusals = by_kind(&refusals);
        format!(
            "schema-check: refused: {refusals}; {notes}; {checked}; docs/RAILWAY-SCHEMA.md says what to do"
        )
    }
}

/// `2 removed, 1 invalid`.
fn by_kind(kinds: &[Kind]) -> String {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_insert(0_usize) += 1;
    }
    let each = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    each.collect::<Vec<_>>().join(", ")
}

fn checked(ours: &Ours, railway: &Schema, place: &str) -> String {
    let operations = ours.operations.iter().map(Operations::count);
    format!(
        "{} and {} against the {} of {place}",
        counted(own_types(&ours.subset.schema), "type"),
        counted(operations.sum(), "operation"),
        counted(own_types(railway), "type"),
    )
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn own_types(schema: &Schema) -> usize {
    schema.types.values().filter(|ty| !ty.is_built_in()).count()
}
