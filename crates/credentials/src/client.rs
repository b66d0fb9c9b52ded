//! Both accounts in one client, either of which may be missing.

use pool_domain::{Redactor, Secret};
use pool_http_client::Transport;

use crate::account::Account;
use crate::error::Sent;
use crate::{Error, ErrorClass};

/// Which accounts are configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Keys of OpenRouter, one for each instance.
    pub openrouter: Option<OpenRouterSettings>,
    /// Inboxes of AgentMail, one for each instance.
    pub agentmail: Option<AgentMailSettings>,
    /// What must not be told even if one of them quotes it. Its own key is known without.
    pub redactor: Redactor,
}

/// The OpenRouter account, in which each instance has a key of its own.
#[derive(Debug, Clone)]
pub struct OpenRouterSettings {
    /// The key that makes and deletes keys.
    pub management_key: Secret,
    /// `https://openrouter.ai`, without a path.
    pub api_url: String,
    /// What each key may spend, in US dollars.
    pub key_limit: f64,
    /// When what was spent is forgotten: `daily`, `weekly` or `monthly`.
    pub limit_reset: Option<String>,
}

/// The AgentMail account, in which each instance has an inbox of its own.
#[derive(Debug, Clone)]
pub struct AgentMailSettings {
    /// The account's key, which makes and deletes inboxes; agents are told it too.
    pub api_key: Secret,
    /// `https://api.agentmail.to`, without a path.
    pub api_url: String,
    /// The domain of new inboxes; none for AgentMail's own.
    pub domain: Option<String>,
}

/// Makes, finds and deletes the credentials of instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Credentials {
    openrouter: Option<OpenRouter>,
    agentmail: Option<AgentMail>,
}

impl Credentials {
    /// A client of the accounts that are configured.
    ///
    /// # Errors
    ///
    /// [`Error`] of class `NotConfigured` for an address that is none, or a key that no header can
    /// hold.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Self::with_transport(settings, &Transport::default())
    }

    /// The same, of accounts that are reached in another way than over the network.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_transport(settings: Settings, transport: &Transport) -> Result<Self, Error> {
        Ok(Self {
            openrouter: settings
                .openrouter
                .map(|openrouter| OpenRouter::new(openrouter, &settings.redactor, transport))
                .transpose()?,
            agentmail: settings
                .agentmail
                .map(|agentmail| AgentMail::new(agentmail, &settings.redactor, transport))
                .transpose()?,
        })
    }

    /// Whether instances have a key of their own.
    #[must_use]
    pub const fn has_openrouter(&self) -> bool {
        self.openrouter.is_some()
    }

    /// Whether instances have an inbox.
    #[must_use]
    pub const fn has_agentmail(&self) -> bool {
        self.agentmail.is_some()
    }

    pub(crate) fn openrouter(&self, operation: &'static str) -> Result<&OpenRouter, Error> {
        let missing = || not_configured(operation, "OpenRouter");
        self.openrouter.as_ref().ok_or_else(missing)
    }

    pub(crate) fn agentmail(&self, operation: &'static str) -> Result<&AgentMail, Error> {
        let missing = || not_configured(operation, "AgentMail");
        self.agentmail.as_ref().ok_or_else(missing)
    }
}

/// The account and what its keys are like.
#[derive(Debug, Clone)]
pub(crate) struct OpenRouter {
    pub(crate) account: Account,
    pub(crate) key_limit: f64,
    pub(crate) limit_reset: Option<String>,
}

impl OpenRouter {
    fn new(
        settings: OpenRouterSettings,
        redactor: &Redactor,
        transport: &Transport,
    ) -> Result<Self, Error> {
        Ok(Self {
            account: Account::new(
                "OpenRouter",
                &settings.api_url,
                &settings.management_key,
                redactor,
                transport,
            )?,
            key_limit: settings.key_limit,
            limit_reset: settings.limit_reset,
        })
    }
}

/// The account and where its inboxes are.
#[derive(Debug, Clone)]
pub(crate) struct AgentMail {
    pub(crate) account: Account,
    pub(crate) domain: Option<String>,
}

impl AgentMail {
    fn new(
        settings: AgentMailSettings,
        redactor: &Redactor,
        transport: &Transport,
    ) -> Result<Self, Error> {
        Ok(Self {
            account: Account::new(
                "AgentMail",
                &settings.api_url,
                &settings.api_key,
                redactor,
                transport,
            )?,
            domain: settings.domain,
        })
    }
}

fn not_configured(operation: &'static str, service: &'static str) -> Error {
    Error {
        service,
        operation,
        host: service.to_owned(),
        status: None,
        class: ErrorClass::NotConfigured,
        message: "no account is configured".to_owned(),
        sent: Sent::No,
    }
}
