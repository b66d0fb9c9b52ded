//! What is begun and not finished, for the report: a person who wonders why something takes long
//! finds the step, how often it failed, and when it is tried again.

use pool_domain::open::{OpenInstance, OpenWork};
use pool_domain::{DestroyStep, ResourceRecord, Stage};

use crate::{Accounts, Snapshot};

pub(crate) fn open_work(snapshot: &Snapshot, accounts: Accounts) -> OpenWork {
    let mut open = OpenWork::default();
    for provision in &snapshot.provisions {
        match provision.stage {
            Stage::Creating(_) => {
                let left = vec![provision.stage.as_str().to_owned()];
                open.creating.push(instance(provision, left, snapshot));
            }
            Stage::Destroying => {
                let left: Vec<_> = DestroyStep::ALL
                    .into_iter()
                    .filter(|step| !provision.is_destroyed(*step))
                    .collect();
                let waits = !left.is_empty() && left.iter().all(|step| lacks(accounts, *step));
                let left = left.iter().map(|step| step.as_str().to_owned()).collect();
                open.destroying.push(OpenInstance {
                    waits_for_account: waits,
                    since: provision.step_began_at,
                    ..instance(provision, left, snapshot)
                });
            }
            Stage::Created => {}
        }
    }
    for list in [&mut open.creating, &mut open.destroying] {
        list.sort_by_key(|it| std::cmp::Reverse(it.attempts));
    }
    open
}

const fn lacks(accounts: Accounts, step: DestroyStep) -> bool {
    match step {
        DestroyStep::Key => !accounts.openrouter,
        DestroyStep::Inbox => !accounts.agentmail,
        DestroyStep::Volumes | DestroyStep::Service => false,
    }
}

fn instance(provision: &ResourceRecord, left: Vec<String>, snapshot: &Snapshot) -> OpenInstance {
    OpenInstance {
        id: provision.id.clone(),
        left,
        since: provision.created_at,
        attempts: provision.attempts,
        last_error: provision.last_error.clone(),
        // Due at once after each step: that is not waiting.
        try_at: provision
            .next_attempt_at
            .filter(|at| provision.attempts > 0 || *at > snapshot.now),
        waits_for_account: false,
    }
}
