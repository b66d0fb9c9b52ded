//! What came of it, in sentences or as JSON, and the exit code.

use std::error::Error as _;
use std::process::ExitCode;

use pool_db::Error;
use pool_db::migrations::SchemaStatus;
use serde_json::{Value, json};

/// It went well.
#[derive(Debug)]
pub(crate) enum Outcome {
    Up {
        applied: Vec<String>,
        contracted_now: bool,
        status: SchemaStatus,
    },
    Status(SchemaStatus),
    Down(Option<String>),
}

/// It did not.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
}

impl Outcome {
    pub(crate) fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            println!("{}", self.json());
        } else {
            for line in self.lines() {
                println!("{line}");
            }
        }
        ExitCode::SUCCESS
    }

    fn json(&self) -> Value {
        match self {
            Self::Up {
                applied,
                contracted_now,
                status,
            } => json!({
                "applied": applied,
                "contractedNow": contracted_now,
                "contractedAt": contracted_at(status),
                "found": status.found,
            }),
            Self::Status(status) => json!({
                "applied": status.applied,
                "pending": status.pending,
                "unknown": status.unknown,
                "contractedAt": contracted_at(status),
                "found": status.found,
            }),
            Self::Down(reverted) => json!({ "reverted": reverted }),
        }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Up {
                applied,
                contracted_now,
                status,
            } => {
                let mut lines = listed("Applied", applied);
                if applied.is_empty() {
                    lines.push("Nothing was pending.".to_owned());
                }
                lines.push(if *contracted_now {
                    "Contracted now: the Node service must not run any more.".to_owned()
                } else {
                    contraction(status)
                });
                lines.extend(legacy(status));
                lines
            }
            Self::Status(status) => {
                let mut lines = listed("Applied", &status.applied);
                lines.extend(listed("Pending", &status.pending));
                lines.extend(listed("Applied by another build", &status.unknown));
                if status.pending.is_empty() {
                    lines.push("Nothing is pending.".to_owned());
                }
                lines.push(match status.found.as_slice() {
                    [] => "Found: no tables of earlier generations.".to_owned(),
                    tables => format!("Found: {}.", tables.join(", ")),
                });
                lines.push(contraction(status));
                lines.extend(legacy(status));
                lines
            }
            Self::Down(Some(name)) => vec![format!("Took back: {name}")],
            Self::Down(None) => vec!["There was nothing to take back.".to_owned()],
        }
    }
}

impl Failure {
    /// The command line or a setting cannot be used.
    pub(crate) fn usage(sentence: &str) -> Self {
        Self {
            sentence: sentence.to_owned(),
            code: 2,
        }
    }

    pub(crate) fn print(&self, as_json: bool) -> ExitCode {
        if as_json {
            println!("{}", json!({ "error": self.sentence }));
        } else {
            eprintln!("pool-migrate: {}", self.sentence);
        }
        ExitCode::from(self.code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::ReadAddress(_) | Error::LoadCertificates(_) => 2,
            Error::AwaitMigration { .. } => 3,
            error if error.is_unavailable() => 3,
            _ => 1,
        };
        let mut sentence = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            sentence = format!("{sentence}: {error}");
            source = error.source();
        }
        Self { sentence, code }
    }
}

fn listed(what: &str, names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("{what}: {name}")).collect()
}

fn contracted_at(status: &SchemaStatus) -> Option<String> {
    status.contracted_at.map(|at| at.to_rfc3339())
}

fn contraction(status: &SchemaStatus) -> String {
    match contracted_at(status) {
        Some(at) => format!("Contracted at {at}: the Node service must not run any more."),
        None => "Not contracted: the Node service may still run, and our servers refuse claims \
                 until one of them leads or `pool-migrate up --contract` is run."
            .to_owned(),
    }
}

/// Plainly, what this build cannot do yet.
fn legacy(status: &SchemaStatus) -> Option<String> {
    let tables: Vec<_> = status
        .found
        .iter()
        .map(String::as_str)
        .filter(|table| *table != "instances")
        .collect();
    (!tables.is_empty()).then(|| {
        format!(
            "The rows of {} are not taken over by this build, which therefore refuses to contract.",
            tables.join(" and ")
        )
    })
}
