//! The two other accounts that an instance has something in: a key of OpenRouter and an inbox of
//! AgentMail. Pure, like the world that they are part of: time is passed in.

mod agentmail;
mod openrouter;

pub use agentmail::{AgentMail, Inbox, InboxPage, NewInbox};
pub use openrouter::{Key, NewKey, OpenRouter};

use crate::world::{RequestCounts, bump};

/// How many deleted keys, and how many deleted inboxes, are remembered, so that a test can see who
/// still used one: more than an hour of the hardest test deletes.
const DELETED_KEPT: usize = 10_000;

/// Why an account did not do as asked, as its interface says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {message}")]
pub struct AccountRefusal {
    /// The HTTP status.
    pub status: u16,
    /// The sentence.
    pub message: &'static str,
}

impl AccountRefusal {
    pub(crate) const fn new(status: u16, message: &'static str) -> Self {
        Self { status, message }
    }
}

/// Both accounts, and how often they were asked.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The account with OpenRouter.
    pub openrouter: OpenRouter,
    /// The account with AgentMail.
    pub agentmail: AgentMail,
    requests: RequestCounts,
}

impl Accounts {
    pub(crate) fn new(seed: u64) -> Self {
        // Randomness of their own, so that whoever uses no account gets the same world as before.
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xACC0_0175);
        Self {
            openrouter: OpenRouter::new(rng.fork()),
            agentmail: AgentMail::new(rng.fork()),
            requests: RequestCounts::default(),
        }
    }

    /// How many requests were made to the two, refused ones too. Railway's are counted apart.
    #[must_use]
    pub const fn request_counts(&self) -> &RequestCounts {
        &self.requests
    }

    pub(crate) fn reset_request_counts(&mut self) {
        self.requests = RequestCounts::default();
    }

    pub(crate) fn count(&mut self, names: &[&str]) {
        self.requests.total += 1;
        for name in names {
            bump(&mut self.requests.by_operation, name);
        }
    }
}

/// Forgets the items that were deleted first, beyond [`DELETED_KEPT`].
fn forget<T>(items: &mut Vec<T>, is_deleted: impl Fn(&T) -> bool) {
    let deleted = items.iter().filter(|item| is_deleted(item)).count();
    if deleted > DELETED_KEPT
        && let Some(oldest) = items.iter().position(is_deleted)
    {
        items.remove(oldest);
    }
}
