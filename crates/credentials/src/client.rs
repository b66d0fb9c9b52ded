//! Both accounts in one client, either of which may be missing.

use pool_domain::Redactor;
use pool_http_client::Transport;

use crate::agentmail::{AgentMail, AgentMailSettings};
use crate::error::Sent;
use crate::openrouter::{OpenRouter, OpenRouterSettings};
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

/// Makes, finds and deletes the credentials of instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Credentials {
    openrouter: Option<OpenRouter>,
    agentmail: Option<AgentMail>,
}

impl Credentials {
    /// A client of the accounts that are configured.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Self::with_transport(settings, &Transport::default())
    }

    /// The same, of accounts that are reached in another way than over the network.
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

fn not_configured(operation: &'static str, service: &str) -> Error {
    Error {
        operation,
        host: service.to_owned(),
        status: None,
        class: ErrorClass::NotConfigured,
        message: "no account is configured".to_owned(),
        sent: Sent::No,
    }
}
