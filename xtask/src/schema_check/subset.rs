//! The files of ours that must hold in Railway's schema: SDL and operations. One that cannot be read
//! is an error, since half a check says nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use apollo_compiler::validation::DiagnosticList;
use apollo_compiler::{Schema, ast};

use pool_harness::checkout;

const OUR_SDL: &str = "crates/railway/schema/railway.graphql";
const OUR_OPERATIONS: &str = "crates/railway/operations";

/// A part of Railway's schema, as a file of ours has it.
pub(super) struct Subset {
    pub(super) file: String,
    pub(super) schema: Schema,
}

/// One file of operations.
pub(super) struct Operations {
    pub(super) file: String,
    pub(super) document: ast::Document,
}

/// All that is checked.
pub(super) struct Ours {
    pub(super) subset: Subset,
    pub(super) operations: Vec<Operations>,
}

impl Ours {
    /// What this checkout has.
    pub(super) fn read() -> Result<Self> {
        let root = checkout::root();
        Ok(Self {
            subset: Subset::parse(&read(&root.join(OUR_SDL), OUR_SDL)?, OUR_SDL)?,
            operations: read_operations(&root.join(OUR_OPERATIONS), OUR_OPERATIONS)?,
        })
    }
}

impl Subset {
    pub(super) fn parse(text: &str, shown: &str) -> Result<Self> {
        let schema = Schema::builder()
            .ignore_builtin_redefinitions()
            .parse(text, shown)
            .build()
            .and_then(Schema::validate)
            .map_err(|problem| first_of(&problem.errors, shown))?
            .into_inner();
        Ok(Self {
            file: shown.to_owned(),
            schema,
        })
    }
}

impl Operations {
    pub(super) fn parse(text: &str, shown: &str) -> Result<Self> {
        let document = ast::Document::parse(text, shown)
            .map_err(|problem| first_of(&problem.errors, shown))?;
        Ok(Self {
            file: shown.to_owned(),
            document,
        })
    }

    pub(super) fn count(&self) -> usize {
        let definitions = self.document.definitions.iter();
        definitions
            .filter(|definition| definition.as_operation_definition().is_some())
            .count()
    }
}

fn read_operations(folder: &Path, shown: &str) -> Result<Vec<Operations>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{shown} cannot be listed"))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("{shown} cannot be listed"))?;
        let name = name.file_name().to_string_lossy().into_owned();
        if Path::new(&name)
            .extension()
            .is_some_and(|kind| kind == "graphql")
        {
            names.push(name);
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{shown} holds no operation");
    let parse = |name: &String| {
        let shown = format!("{shown}/{name}");
        Operations::parse(&read(&folder.join(name), &shown)?, &shown)
    };
    names.iter().map(parse).collect()
}

fn read(path: &Path, shown: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))
}

fn first_of(problems: &DiagnosticList, shown: &str) -> anyhow::Error {
    let Some(first) = problems.iter().next() else {
        return anyhow::anyhow!("{shown} cannot be understood");
    };
    let line = first
        .line_column_range()
        .map_or(1, |range| range.start.line);
    anyhow::anyhow!("{shown}:{line}: {}", first.error)
}
