#![doc = include_str!("../README.md")]

use pool_domain::{InboxId, KeyHash, Secret};

mod error;

pub use error::Error;

/// Which accounts are configured. Either may be missing.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Keys of OpenRouter, one for each instance.
    pub openrouter: Option<OpenRouterSettings>,
    /// Inboxes of AgentMail, one for each instance.
    pub agentmail: Option<AgentMailSettings>,
}

/// The OpenRouter account.
#[derive(Debug, Clone)]
pub struct OpenRouterSettings {
    /// The key that makes and deletes keys.
    pub management_key: Secret,
    /// `https://openrouter.ai`, without a path.
    pub api_url: String,
    /// What each key may spend, in US dollars.
    pub key_limit: f64,
    /// When what was spent is forgotten: `monthly`, `weekly`, `daily`.
    pub limit_reset: String,
}

/// The AgentMail account.
#[derive(Debug, Clone)]
pub struct AgentMailSettings {
    /// The account's key.
    pub api_key: Secret,
    /// `https://api.agentmail.to`, without a path.
    pub api_url: String,
    /// The domain of new inboxes; none for AgentMail's own.
    pub domain: Option<String>,
}

/// A key that was just made. The secret is told only now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKey {
    /// By which it is deleted.
    pub hash: KeyHash,
    /// The key itself.
    pub key: Secret,
}

/// Makes, finds and deletes the credentials of instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Credentials;

#[expect(
    missing_docs,
    clippy::unused_async,
    clippy::todo,
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "signatures only"
)]
impl Credentials {
    pub fn new(settings: Settings) -> Result<Self, Error> {
        todo!("{settings:?}")
    }
    #[must_use]
    pub fn has_openrouter(&self) -> bool {
        todo!()
    }
    #[must_use]
    pub fn has_agentmail(&self) -> bool {
        todo!()
    }
    pub async fn make_key(&self, name: &str) -> Result<MadeKey, Error> {
        todo!("{name}")
    }
    pub async fn find_keys(&self, name: &str) -> Result<Vec<KeyHash>, Error> {
        todo!("{name}")
    }
    pub async fn delete_key(&self, hash: &KeyHash) -> Result<(), Error> {
        todo!("{hash}")
    }
    pub async fn make_inbox(&self, name: &str) -> Result<InboxId, Error> {
        todo!("{name}")
    }
    pub async fn find_inbox(&self, client_id: &str) -> Result<Option<InboxId>, Error> {
        todo!("{client_id}")
    }
    pub async fn delete_inbox(&self, inbox: &InboxId) -> Result<(), Error> {
        todo!("{inbox}")
    }
}
