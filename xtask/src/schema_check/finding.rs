//! What the check has to say about one place of ours: a refusal or a note, one sentence each.

use std::fmt;

use apollo_compiler::parser::{LineColumn, SourceMap, SourceSpan};

/// What is the matter. Each has a section in docs/RAILWAY-SCHEMA.md that says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Railway's schema no longer has it.
    Removed,
    /// It is marked to be removed.
    Deprecated,
    /// Railway demands an argument or an input field that ours lacks.
    Required,
    /// An answer may be null, or an input must not be, where ours says otherwise.
    Nullability,
    /// Another name, another depth of lists, another kind of type or another default.
    Type,
    /// An operation that Railway would answer with a validation error.
    Invalid,
    /// A note: nullability differs in the direction that breaks nothing.
    Looser,
    /// A note: Railway may answer with a value that ours does not know by name.
    NewValue,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 8] = [
        Self::Removed,
        Self::Deprecated,
        Self::Required,
        Self::Nullability,
        Self::Type,
        Self::Invalid,
        Self::Looser,
        Self::NewValue,
    ];

    pub(super) fn is_refusal(self) -> bool {
        !matches!(self, Self::Looser | Self::NewValue)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "removed",
            Self::Deprecated => "deprecated",
            Self::Required => "required",
            Self::Nullability => "nullability",
            Self::Type => "type",
            Self::Invalid => "invalid",
            Self::Looser => "note, looser",
            Self::NewValue => "note, new value",
        })
    }
}

/// A place in a file of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    file: String,
    line: Option<usize>,
}

impl Place {
    pub(super) fn new(file: &str, start: Option<LineColumn>) -> Self {
        Self {
            file: file.to_owned(),
            line: start.map(|start| start.line),
        }
    }

    pub(super) fn of(file: &str, at: Option<SourceSpan>, sources: &SourceMap) -> Self {
        let range = at.and_then(|at| at.line_column_range(sources));
        Self::new(file, range.map(|range| range.start))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// One thing to say, printed as `file:line: kind: sentence`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) sentence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.kind, self.sentence)
    }
}
