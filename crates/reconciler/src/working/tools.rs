//! What every worker works with, and how a failed step is recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pool_db::provisions;
use pool_domain::{CreateStep, InstanceId, KeyHash, Limit, Policy, Secret};
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
        let shows_after = failed
            .may_have_happened
            .then_some(context.policy.missing_grace);
        let wait = Policy::after_failed_step(draft.attempts + 1, shows_after);
        let (db, id) = (&context.db, &draft.id);
        if let Some(limit) = &failed.limit {
            lock(&self.halted).at(failed.step);
            let said = limit.wait.unwrap_or_default().min(Policy::LIMIT_HOLDS_MAX);
            provisions::held(db, *term, id, &failed.why, wait.max(said)).await?;
        } else {
            provisions::failed(db, *term, id, &failed.why, wait).await?;
        }
        let mut tally = self.leading.tally();
        tally.creations.last_error = Some(failed.why.clone());
        if failed.limit.is_some() {
            tally.creations.limit.clone_from(&failed.limit);
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
    /// Somebody wants no more of what the step makes.
    pub(super) limit: Option<Limit>,
}

impl StepFailed {
    pub(super) fn new(step: CreateStep, error: &pool_railway::Error) -> Self {
        Self {
            step,
            why: error.to_string(),
            may_have_happened: error.may_have_happened(),
            limit: limit_of(error),
        }
    }

    /// Surely not done: it is looked for by its name before the next try.
    pub(super) fn of_account(step: CreateStep, error: &pool_credentials::Error) -> Self {
        let limit = error.is_limit().then(|| Limit {
            said: error.to_string(),
            wait: error.wait(),
            what_to_do: error.what_to_do().unwrap_or_else(|| PASSES.to_owned()),
        });
        Self {
            step,
            why: error.to_string(),
            may_have_happened: false,
            limit,
        }
    }
}

/// What everything else that is to be made will meet as well.
fn limit_of(error: &pool_railway::Error) -> Option<Limit> {
    let (wait, what_to_do) = match error.class() {
        ErrorClass::ResourceLimit => (None, "raise the limit of Railway's plan"),
        ErrorClass::CreationThrottled => (None, PASSES),
        ErrorClass::RateLimited {
            retry_after: Some(wait),
        } if wait > Policy::TRY_CREATING_EVERY => (Some(wait), PASSES),
        _ => return None,
    };
    Some(Limit {
        said: format!("Railway said: {error}"),
        wait,
        what_to_do: what_to_do.to_owned(),
    })
}

const PASSES: &str = "it passes by itself; where it goes on for long, lower POOL_MIN_IDLE";
