//! What came of it, in sentences or as JSON.

use std::process::ExitCode;

use pool_db::migrations::{Group, SchemaStatus};
use pool_domain::ManagerId;
use pool_legacy_schema::{Generations, LegacyTable, Moved};
use serde_json::{Value, json};

use crate::enrich::Enriched;

#[derive(Debug)]
pub(crate) enum Outcome {
    Up {
        applied: Vec<String>,
        moved: Moved,
        contracted_now: bool,
        status: SchemaStatus,
        found: Vec<String>,
    },
    Status(SchemaStatus, Generations),
    Down(Option<String>),
    Dropped(Vec<LegacyTable>),
    Doubted(u64),
    TookOver(ManagerId),
    Enriched(Enriched),
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
                moved,
                contracted_now,
                status,
                found,
            } => json!({
                "applied": applied,
                "taken": moved.taken,
                "filled": moved.filled,
                "setAside": moved.set_aside,
                "contractedNow": contracted_now,
                "contractedAt": contracted_at(status),
                "found": found,
            }),
            Self::Status(status, left) => status_json(status, left),
            Self::Down(reverted) => json!({ "reverted": reverted }),
            Self::Dropped(tables) => json!({ "dropped": tables_json(tables) }),
            Self::Doubted(instances) => json!({ "unverified": instances }),
            Self::TookOver(manager) => json!({ "tookOver": manager.as_str() }),
            Self::Enriched(done) => enriched_json(done),
        }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Up {
                applied,
                moved,
                contracted_now,
                status,
                found: _,
            } => {
                let mut lines = listed("Applied", applied);
                if applied.is_empty() {
                    lines.push("Nothing was pending.".to_owned());
                }
                if *moved != Moved::default() {
                    lines.push(format!(
                        "Rows of earlier generations: {} taken over, {} filled, {} set aside.",
                        moved.taken, moved.filled, moved.set_aside
                    ));
                }
                lines.push(if *contracted_now {
                    "Contracted now: the Node service must not run any more.".to_owned()
                } else {
                    contraction(status)
                });
                lines
            }
            Self::Status(status, left) => status_lines(status, left),
            Self::Down(Some(name)) => vec![format!("Took back: {name}")],
            Self::Down(None) => vec!["There was nothing to take back.".to_owned()],
            Self::Dropped(tables) if tables.is_empty() => {
                vec!["There was nothing to drop.".to_owned()]
            }
            Self::Dropped(tables) => tables
                .iter()
                .map(|table| format!("Dropped: {} ({} rows)", table.name, table.rows))
                .collect(),
            Self::Doubted(instances) => vec![format!(
                "{instances} instances are handed to nobody until their agents say whose they are."
            )],
            Self::TookOver(manager) => vec![format!(
                "What manager {manager} made until now is ours, and is adopted by the next round."
            )],
            Self::Enriched(done) => enriched_lines(done),
        }
    }
}

fn status_json(status: &SchemaStatus, left: &Generations) -> Value {
    let groups = |groups: &[Group]| -> Value {
        let rows = groups.iter().map(|it| (it.name.clone(), json!(it.rows)));
        Value::Object(rows.collect())
    };
    let forecast: Vec<_> = left
        .forecast
        .iter()
        .map(|it| json!({ "verdict": it.verdict, "reason": it.reason, "rows": it.rows }))
        .collect();
    json!({
        "applied": status.applied,
        "pending": status.pending,
        "unknown": status.unknown,
        "contractedAt": contracted_at(status),
        "found": left.found,
        "legacy": tables_json(&left.tables),
        "forecast": forecast,
        "wouldTake": would(left, "take"),
        "wouldSetAside": would(left, "set aside"),
        "instances": groups(&status.instances),
        "setAside": groups(&status.set_aside),
    })
}

fn status_lines(status: &SchemaStatus, left: &Generations) -> Vec<String> {
    let mut lines = listed("Applied", &status.applied);
    lines.extend(listed("Pending", &status.pending));
    lines.extend(listed("Applied by another build", &status.unknown));
    if status.pending.is_empty() {
        lines.push("Nothing is pending.".to_owned());
    }
    lines.push(match left.found.as_slice() {
        [] => "Found: no tables of earlier generations.".to_owned(),
        tables => format!("Found: {}.", tables.join(", ")),
    });
    for table in &left.tables {
        lines.push(format!("Table {}: {} rows", table.name, table.rows));
    }
    if status.contracted_at.is_none() && !left.tables.is_empty() {
        lines.push(format!("Would take over: {} rows", would(left, "take")));
        lines.push(format!(
            "Would set aside: {} rows",
            would(left, "set aside")
        ));
        for it in &left.forecast {
            if let Some(reason) = &it.reason {
                lines.push(format!("  {}: {reason}", it.rows));
            }
        }
    }
    lines.extend(counted("Instances", &status.instances));
    lines.extend(counted("Set aside", &status.set_aside));
    lines.push(contraction(status));
    lines
}

fn would(left: &Generations, verdict: &str) -> i64 {
    let rows = left.forecast.iter().filter(|it| it.verdict == verdict);
    rows.map(|it| it.rows).sum()
}

fn counted(what: &str, groups: &[Group]) -> Option<String> {
    let each: Vec<_> = groups
        .iter()
        .map(|it| format!("{} {}", it.rows, it.name))
        .collect();
    (!each.is_empty()).then(|| format!("{what}: {}", each.join(", ")))
}

fn tables_json(tables: &[LegacyTable]) -> Value {
    let tables = tables
        .iter()
        .map(|table| json!({ "table": table.name, "rows": table.rows }));
    Value::Array(tables.collect())
}

fn enriched_json(done: &Enriched) -> Value {
    let changes: Vec<_> = done
        .changes
        .iter()
        .flat_map(|(id, differences)| {
            differences.iter().map(move |it| {
                json!({
                    "id": id.as_str(),
                    "column": it.column,
                    "before": it.before,
                    "after": it.after,
                })
            })
        })
        .collect();
    let adopted: Vec<_> = done
        .adoptions
        .iter()
        .map(|it| {
            json!({
                "id": it.id.as_str(),
                "serviceId": it.service_id.as_str(),
                "status": it.status.as_str(),
                "reason": it.reason,
            })
        })
        .collect();
    let foreign: Vec<_> = done
        .foreign
        .iter()
        .map(|(name, why)| json!({ "name": name, "why": why }))
        .collect();
    json!({
        "dryRun": done.dry_run,
        "lookedAt": done.looked_at,
        "unknownToRailway": done.unknown,
        "changes": changes,
        "adopted": adopted,
        "foreign": foreign,
        "heldBack": done.held_back,
        "written": done.written,
        "inserted": done.inserted,
    })
}

fn enriched_lines(done: &Enriched) -> Vec<String> {
    let mut lines = Vec::new();
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    for (id, differences) in &done.changes {
        for it in differences {
            let (before, after) = (shown(&it.before), shown(&it.after));
            lines.push(format!("~ {id} {}: {before} -> {after}", it.column));
        }
    }
    for it in &done.adoptions {
        let status = it.status.as_str();
        lines.push(format!(
            "+ {} ({}): {status}, {}",
            it.id, it.service_id, it.reason
        ));
    }
    for (name, why) in &done.foreign {
        lines.push(format!("Left alone: {name}: {why}"));
    }
    lines.extend(done.held_back.iter().map(|it| format!("Held back: {it}")));
    lines.push(format!(
        "Looked at {} rows; {} of them are unknown to Railway and left alone.",
        done.looked_at, done.unknown
    ));
    lines.push(if done.dry_run {
        "Dry run: nothing was written.".to_owned()
    } else {
        format!("Wrote {} rows, inserted {}.", done.written, done.inserted)
    });
    lines
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
