//! What people ask of a round, and what they are answered.

use std::collections::HashSet;

use pool_db::commands::{self, CommandId, CommandKind, PendingCommand};
use pool_domain::{InstanceId, Policy, Report, Term};
use serde_json::{Value, json};

use crate::{Context, Error};

/// How many instances a command asks for; none where it asks for a round.
pub(super) fn requested_creates(command: &PendingCommand) -> usize {
    match &command.command.kind {
        CommandKind::Replenish { count } => count.unwrap_or(0).min(Policy::PERSON_COUNT_MAX),
        CommandKind::Reconcile | CommandKind::ConfirmFuse { .. } | CommandKind::Sweep { .. } => 0,
    }
}

/// The losses that a command lets through.
pub(super) fn confirmed_losses(command: &PendingCommand) -> HashSet<InstanceId> {
    match &command.command.kind {
        CommandKind::ConfirmFuse { ids } => ids.iter().cloned().collect(),
        CommandKind::Reconcile | CommandKind::Replenish { .. } | CommandKind::Sweep { .. } => {
            HashSet::new()
        }
    }
}

/// What came of a command that a whole round answers.
pub(super) fn outcome(command: &PendingCommand, report: &Report) -> Value {
    match &command.command.kind {
        CommandKind::ConfirmFuse { ids } => {
            let done = report.confirmed.iter().filter(|id| ids.contains(id));
            json!({ "confirmed": done.collect::<Vec<_>>(), "report": report })
        }
        CommandKind::Reconcile | CommandKind::Replenish { .. } | CommandKind::Sweep { .. } => {
            json!({ "report": report })
        }
    }
}

pub(super) fn wants_whole_round(command: &PendingCommand) -> bool {
    requested_creates(command) == 0 && !is_sweep(command)
}

/// Whether it asks for a sweep, and whether that is only to look.
pub(super) fn is_sweep(command: &PendingCommand) -> bool {
    matches!(command.command.kind, CommandKind::Sweep { .. })
}

/// What people are answered who asked for a number of instances, of which so many are intended now;
/// making them takes a minute or two.
pub(super) fn replenish_answers(
    asked: &[PendingCommand],
    intended: usize,
) -> Vec<(CommandId, Value)> {
    let mut left = intended;
    let asked = asked.iter().filter(|it| requested_creates(it) > 0);
    asked
        .map(|command| {
            let created = requested_creates(command).min(left);
            left -= created;
            (command.id, json!({ "created": created }))
        })
        .collect()
}

/// Everybody who asked for the round, once it is recorded.
pub(super) async fn answer_round(
    context: &Context,
    term: Term,
    asked: &[PendingCommand],
    tick: i64,
    report: &Report,
) -> Result<(), Error> {
    for command in asked.iter().filter(|it| wants_whole_round(it)) {
        let result = outcome(command, report);
        commands::finish(&context.db, term, &[command.id], Some(tick), &result).await?;
    }
    Ok(())
}
