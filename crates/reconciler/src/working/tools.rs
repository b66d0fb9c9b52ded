//! What every worker works with, and how a failed step is recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pool_db::provisions;
use pool_domain::{CreateStep, InstanceId, KeyHash, Policy, Secret};
use pool_planner::Halted;
use pool_railway::ErrorClass;

use super::draft::Draft;
use super::lanes::Lanes;
use crate::Error;
use crate::leading::{Leading, lock};

/// What every worker works with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) leading: Arc<Leading>,
    pub(super) lanes: Arc<Lanes>,
    /// What Railway wants no more of, as those heard that were begun together.
    pub(super) halted: Arc<Mutex<Halted>>,
    /// The keys of those in the making: only whoever made one knows it.
    keys: Arc<Mutex<BTreeMap<InstanceId, (KeyHash, Secret)>>>,
}

impl Tools {
    pub(super) fn new(leading: Arc<Leading>) -> Self {
        Self {
            leading,
            lanes: Arc::default(),
            halted: Arc::default(),
            keys: Arc::default(),
        }
    }

    /// Those that were begun before a limit was heard of stay halted; the pace let later ones through.
    pub(super) fn begin_anew(&mut self) {
        if lock(&self.halted).is_halted() {
            self.halted = Arc::default();
        }
    }

    pub(super) fn keep_key(&self, id: &InstanceId, hash: &KeyHash, key: &Secret) {
        lock(&self.keys).insert(id.clone(), (hash.clone(), key.clone()));
    }

    /// The key that this leader made for it, where it is still the one that is recorded.
    pub(super) fn kept_key(&self, draft: &Draft) -> Option<Secret> {
        let keys = lock(&self.keys);
        let (hash, key) = keys.get(&draft.id)?;
        (draft.key_hash.as_ref() == Some(hash)).then(|| key.clone())
    }

    pub(super) fn forget_key(&self, id: &InstanceId) {
        lock(&self.keys).remove(id);
    }

    /// Records a failure and when to try again: not before a listing could show what may have
    /// happened.
    pub(super) async fn note(&self, draft: &Draft, failed: StepFailed) -> Result<(), Error> {
        self.note_uncounted(draft, &failed).await?;
        let mut tally = self.leading.tally();
        tally.creations.failed += 1;
        Ok(())
    }

    /// The same where another failure stands for it.
    pub(super) async fn note_uncounted(
        &self,
        draft: &Draft,
        failed: &StepFailed,
    ) -> Result<(), Error> {
        let Leading { context, term, .. } = &*self.leading;
        if failed.is_limit {
            lock(&self.halted).at(failed.step);
        }
        let wait = Policy::after_failed_step(
            draft.attempts + 1,
            failed
                .may_have_happened
                .then_some(context.policy.missing_grace),
        );
        provisions::failed(&context.db, *term, &draft.id, &failed.why, wait).await?;
        let mut tally = self.leading.tally();
        tally.creations.last_error = Some(failed.why.clone());
        if failed.is_limit {
            tally.creations.limit = Some(failed.why.clone());
        }
        let action = format!("creating: {:?}", failed.step).to_lowercase();
        tally.done.fail(Some(&draft.id), &action, &failed.why);
        self.leading
            .loops
            .building
            .went(Some(format!("{action}: {}", failed.why)));
        Ok(())
    }
}

/// A step that failed, and whether it may have happened all the same.
#[derive(Debug)]
pub(super) struct StepFailed {
    pub(super) step: CreateStep,
    pub(super) why: String,
    pub(super) may_have_happened: bool,
    /// Railway wants no more of what the step makes.
    pub(super) is_limit: bool,
}

impl StepFailed {
    pub(super) fn new(step: CreateStep, error: &pool_railway::Error) -> Self {
        let limits = [ErrorClass::ResourceLimit, ErrorClass::CreationThrottled];
        Self {
            step,
            why: error.to_string(),
            may_have_happened: error.may_have_happened(),
            is_limit: limits.contains(&error.class()),
        }
    }
}
