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
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a lease that runs out makes the instance idle again",
        file: "crates/db/src/claims/expire.sql",
        from: "SET status = 'dead',",
        to: "SET status = 'idle',",
    },
    Mutant {
        name: "a 500 of an agent counts as surely not provisioned",
        file: "crates/agent/src/provision.rs",
        from: "        _ => false,\n    };\n    if definite {",
        to: "        (500, _) => true,\n        _ => false,\n    };\n    if definite {",
    },
    Mutant {
        name: "a starting instance is claimed",
        file: "crates/db/src/claims/lease_idle.sql",
        from: "WHERE status = 'idle' AND id <> ALL ($3)",
        to: "WHERE status IN ('idle', 'starting') AND id <> ALL ($3)",
    },
    Mutant {
        name: "no server ends leases that ran out",
        file: "crates/claims/src/claims.rs",
        from: "            self.expire_leases().await;\n",
        to: "",
    },
    Mutant {
        name: "a drain retires claimed instances",
        file: "crates/db/src/instances/drain.sql",
        from: "WHERE status IN ('idle', 'starting')",
        to: "WHERE status IN ('idle', 'starting', 'claimed')",
    },
    Mutant {
        name: "a crashed instance is destroyed",
        file: "crates/domain/src/status.rs",
        from: "matches!(self.status, Status::Dead) || self.delete_requested",
        to: "matches!(self.status, Status::Dead | Status::Crashed) || self.delete_requested",
    },
    Mutant {
        name: "the fuse holds nothing back",
        file: "crates/planner/src/fuse.rs",
        from: "let Some((why, limit)) = tripped else {",
        to: "let Some((why, limit)) = tripped.filter(|_| false) else {",
    },
    Mutant {
        name: "what people ask for may exceed the cap",
        file: "crates/planner/src/replenish.rs",
        from: "let create = wanted.min(room);",
        to: "let create = wanted; let _ = room;",
    },
    Mutant {
        name: "what is intended does not count towards the target",
        file: "crates/planner/src/replenish.rs",
        from: "(rows + self.proven_late + self.open_intents() +",
        to: "(rows + self.proven_late +",
    },
    Mutant {
        name: "an interrupted creation is never finished",
        file: "crates/planner/src/plan.rs",
        from: "plan.resumes = resume::resumes(snapshot, index, policy, allowed, report);",
        to: "let _ = resume::resumes(snapshot, index, policy, allowed, report);",
    },
    Mutant {
        name: "an instance that was deployed is patched again",
        file: "crates/planner/src/resume.rs",
        from: "is_committed: is_committed(provision, service, index),",
        to: "is_committed: false && is_committed(provision, service, index),",
    },
    Mutant {
        name: "an adopted agent is idle before it was asked",
        file: "crates/db/src/instances/insert.rs",
        from: "            unasked: true,",
        to: "            unasked: false,",
    },
    Mutant {
        name: "a key is made anew beside the old one",
        file: "crates/reconciler/src/working/making.rs",
        from: "    if let Some(hash) = &draft.key_hash\n        && credentials.delete_key",
        to: "    if draft.attempts < 99 {\n        return Ok(());\n    }
    if let Some(hash) = &draft.key_hash\n        && credentials.delete_key",
    },
    Mutant {
        name: "an agent that answers is ready, whatever it says",
        file: "crates/planner/src/transition.rs",
        from: "(serves && probe == Some(&Probe::Ready))",
        to: "(serves && probe.is_some())",
    },
    Mutant {
        name: "a ready agent waits for the next round",
        file: "crates/planner/src/promoting.rs",
        from: "rows.iter().filter_map(prove).collect()",
        to: "rows.iter().take(0).filter_map(prove).collect()",
    },
    Mutant {
        name: "a row goes before its service is gone",
        file: "crates/planner/src/destroy.rs",
        from: "if self.snapshot.listing.is_complete() && self.is_gone_outside() {",
        to: "if self.snapshot.listing.is_complete() || self.is_gone_outside() {",
    },
    Mutant {
        name: "what is claimed counts as stock",
        file: "crates/planner/src/replenish.rs",
        from: "        Status::Idle => true,\n",
        to: "        Status::Idle | Status::Claimed => true,\n",
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
    let found = tree.build().and_then(|()| tree.hunt(SEEDS));
    tree.restore(file, &before)?;
    found
}
