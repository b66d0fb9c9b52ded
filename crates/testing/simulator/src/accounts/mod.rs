//! The two other accounts that an instance has something in: a key of OpenRouter and an inbox of
//! AgentMail. Pure, like the world that they are part of: time is passed in.

mod agentmail;
mod forgetting;
mod openrouter;
mod refusal;

pub use agentmail::{AgentMail, Inbox, InboxPage, NewInbox};
pub use openrouter::{Key, NewKey, OpenRouter};
pub use refusal::AccountRefusal;

use crate::world::{RequestCounts, bump};

/// Both accounts, and how often they were asked.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub openrouter: OpenRouter,
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
