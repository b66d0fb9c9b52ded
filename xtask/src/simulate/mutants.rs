//! Faults that were in this product once, or in the one that it replaces, or that a guard of it is
//! there for. Put back one at a time, each has to be found by some seed; one that is not shows what
//! the seeds do not look at.

use std::path::Path;

use anyhow::{Result, ensure};
use pool_harness::interrupt;

use super::tree::{Found, Tree};

/// How many seeds a fault may take to be found.
const SEEDS: u64 = 150;

/// A fault: in this file, this text in the place of that.
struct Mutant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    shown_by: Shown,
}

/// Where it shows.
#[derive(Clone, Copy)]
enum Shown {
    /// Where a little of everything goes wrong; in this seed among others.
    By(u64),
    /// On days of this name, in this seed among others.
    On(&'static str, u64),
}
use Shown::{By, On};

/// Those of one crate stand together: what is built between two of them is little.
const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the fuse holds nothing back",
        file: "crates/planner/src/fuse.rs",
        from: "let Some((why, limit)) = tripped else {",
        to: "let Some((why, limit)) = tripped.filter(|_| false) else {",
        shown_by: By(5),
    },
    Mutant {
        name: "what people ask for may exceed the cap",
        file: "crates/planner/src/replenish.rs",
        from: "let create = wanted.min(room);",
        to: "let create = wanted;",
        shown_by: By(1),
    },
    Mutant {
        name: "what is intended does not count towards the target",
        file: "crates/planner/src/replenish.rs",
        from: "(rows + self.proven_late + self.open_intents() +",
        to: "(rows + self.proven_late +",
        shown_by: By(5),
    },
    Mutant {
        name: "what is claimed counts as stock",
        file: "crates/planner/src/replenish.rs",
        from: "            Status::Idle => true,\n            Status::Starting => self",
        to: "            Status::Idle | Status::Claimed => true,\n            Status::Starting => self",
        shown_by: By(0),
    },
    Mutant {
        name: "an interrupted creation is never finished",
        file: "crates/planner/src/plan.rs",
        from: "plan.resumes = resume::resumes(snapshot, index, policy, allowed, report);",
        to: "let _ = resume::resumes(snapshot, index, policy, allowed, report);",
        shown_by: By(0),
    },
    Mutant {
        name: "an instance that was deployed is patched again",
        file: "crates/planner/src/resume.rs",
        from: "is_committed: is_committed(provision, service, index),",
        to: "is_committed: false && is_committed(provision, service, index),",
        shown_by: By(3),
    },
    Mutant {
        name: "an agent that answers is ready, whatever it says",
        file: "crates/planner/src/transition.rs",
        from: "(serves && probe == Some(&Probe::Ready))",
        to: "(serves && probe.is_some())",
        shown_by: By(0),
    },
    Mutant {
        name: "what one listing lacks is lost at once",
        file: "crates/planner/src/transition.rs",
        from: "let grace = TimeDelta::from_std(policy.missing_grace).unwrap_or(TimeDelta::MAX);",
        to: "let grace = TimeDelta::from_std(policy.missing_grace / 1_000).unwrap_or(TimeDelta::MAX);",
        shown_by: By(8),
    },
    Mutant {
        name: "a ready agent waits for the next round",
        file: "crates/planner/src/promoting.rs",
        from: "rows.iter().filter_map(prove).collect()",
        to: "rows.iter().take(0).filter_map(prove).collect()",
        shown_by: By(27),
    },
    Mutant {
        name: "a row goes before its service is gone",
        file: "crates/planner/src/destroy.rs",
        from: "if self.snapshot.listing.is_complete() && self.is_gone_outside() {",
        to: "if self.snapshot.listing.is_complete() || self.is_gone_outside() {",
        shown_by: By(1),
    },
    Mutant {
        name: "a key is made anew beside the old one",
        file: "crates/reconciler/src/working/making.rs",
        from: "    if let Some(hash) = &draft.key_hash\n        && credentials.delete_key",
        to: "    if draft.attempts < 99 {\n        return Ok(());\n    }\n    if let Some(hash) = &draft.key_hash\n        && credentials.delete_key",
        shown_by: By(4),
    },
    Mutant {
        name: "a destruction waits for the account of its key",
        file: "crates/reconciler/src/working/ending.rs",
        from: "        let lane = &self.tools.lanes.ending;\n",
        to: "        let keys = &self.tools.lanes.ending_keys;\n        if let Some(failed) = self.step(DestroyStep::Key, keys, ACCOUNT_STEP).await? {\n            return Ok(Some(failed));\n        }\n        let lane = &self.tools.lanes.ending;\n",
        shown_by: On("account-hangs", 4),
    },
    Mutant {
        name: "the volumes of a service stay",
        file: "crates/reconciler/src/working/ending.rs",
        from: "for volume in &owned.volume_ids {",
        to: "for volume in owned.volume_ids.iter().take(0) {",
        shown_by: By(1),
    },
    Mutant {
        name: "no server ends leases that ran out",
        file: "crates/claims/src/claims.rs",
        from: "            self.expire_leases().await;\n",
        to: "",
        shown_by: By(1),
    },
    Mutant {
        name: "whoever fails is to blame, though all fail alike",
        file: "crates/claims/src/attempts.rs",
        from: "let is_to_blame = stands_out && says_something && !self.pass.is_trial();",
        to: "let is_to_blame = stands_out | says_something;",
        shown_by: On("agents-refuse", 58),
    },
    Mutant {
        name: "a 500 of an agent counts as surely not provisioned",
        file: "crates/agent/src/provision.rs",
        from: "        _ => false,\n    };\n    if definite {",
        to: "        (500, _) => true,\n        _ => false,\n    };\n    if definite {",
        shown_by: By(7),
    },
    Mutant {
        name: "an agent that says it is somebody's is given up",
        file: "crates/agent/src/provision.rs",
        from: "        (409, _) => {\n",
        to: "        (599, _) => {\n",
        shown_by: On("agents-bound", 2),
    },
    Mutant {
        name: "a starting instance is claimed",
        file: "crates/db/src/claims/lease_idle.sql",
        from: "WHERE status = 'idle' AND id <> ALL ($3)",
        to: "WHERE status IN ('idle', 'starting') AND id <> ALL ($3)",
        shown_by: By(0),
    },
    Mutant {
        name: "a drain retires claimed instances",
        file: "crates/db/src/instances/drain.sql",
        from: "WHERE status IN ('idle', 'starting')",
        to: "WHERE status IN ('idle', 'starting', 'claimed')",
        shown_by: By(13),
    },
    Mutant {
        name: "an adopted agent is idle before it was asked",
        file: "crates/db/src/instances/insert.rs",
        from: "            unasked: adoption.status == Status::Starting,",
        to: "            unasked: false,",
        shown_by: By(43),
    },
    Mutant {
        name: "a session that can only read is kept",
        file: "crates/db/src/pool.rs",
        from: "if statement(may_write).execute(connection).await? != 1 {",
        to: "if statement(may_write).execute(connection).await? > 1 {",
        shown_by: On("read-only", 0),
    },
    Mutant {
        name: "a crashed instance is destroyed",
        file: "crates/domain/src/status.rs",
        from: "matches!(self.status, Status::Dead) || self.delete_requested",
        to: "matches!(self.status, Status::Dead | Status::Crashed) || self.delete_requested",
        shown_by: By(5),
    },
];

/// Puts back those whose names contain one of these words, or all; says which none of the seeds found.
pub(super) fn run(words: &[String]) -> Result<Vec<String>> {
    let chosen: Vec<_> = MUTANTS
        .iter()
        .filter(|it| words.is_empty() || words.iter().any(|word| it.name.contains(word.as_str())))
        .collect();
    ensure!(!chosen.is_empty(), "no mutant has a name like that");
    let tree = Tree::copy()?;
    let mut missed = Vec::new();
    for mutant in chosen {
        interrupt::check()?;
        let (said, is_found) = match put_back(&tree, mutant) {
            Ok(Found::By { seed, rule, took }) => {
                let took = took.as_secs_f64();
                (format!("seed {seed:>3}  {rule}  ({took:.0} s)"), true)
            }
            Ok(Found::Nowhere) => (format!("not found by {SEEDS} seeds"), false),
            // The others say what they have to say nevertheless.
            Err(error) => (format!("{error:#}"), false),
        };
        println!("{:<56} {said}", mutant.name);
        if !is_found {
            missed.push(mutant.name.to_owned());
        }
    }
    Ok(missed)
}

fn put_back(tree: &Tree, mutant: &Mutant) -> Result<Found> {
    let file = Path::new(mutant.file);
    let before = tree.replace(file, mutant.from, mutant.to)?;
    let found = tree.build().and_then(|()| hunt(tree, mutant.shown_by));
    tree.restore(file, &before)?;
    found
}

/// The seed that is known to find it, and then all.
fn hunt(tree: &Tree, shown: Shown) -> Result<Found> {
    let (day, seed) = match shown {
        By(seed) => (None, seed),
        On(day, seed) => (Some(day), seed),
    };
    match tree.hunt(seed..seed + 1, day)? {
        Found::Nowhere => tree.hunt(0..SEEDS, day),
        found @ Found::By { .. } => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pool_harness::checkout;

    use super::*;

    #[test]
    fn every_fault_can_be_put_back() {
        for mutant in MUTANTS {
            let text = fs::read_to_string(checkout::root().join(mutant.file)).unwrap();
            let times = text.matches(mutant.from).count();
            assert_eq!(times, 1, "{}: {}", mutant.file, mutant.name);
        }
    }
}
