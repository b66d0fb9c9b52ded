//! How Railway says no. The sentences are its own, because clients can tell them apart only by
//! their text: the code is `INTERNAL_SERVER_ERROR` for nearly all of them.

/// An answer of Railway's API that is an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No access, a dead token, or a thing that is gone: Railway does not say which.
    #[error("Not Authorized")]
    NotAuthorized,
    /// Bad input, a deleted nested object, or a hiccup: Railway does not say which.
    #[error("Problem processing request")]
    ProblemProcessing,
    /// The project has no such id.
    #[error("Project not found")]
    ProjectNotFound,
    /// `projectToken` was asked without a project token.
    #[error("Project Token not found")]
    ProjectTokenNotFound,
    /// The service has no instance in that environment (yet).
    #[error("ServiceInstance not found")]
    ServiceInstanceNotFound,
    /// Names are unique in a project.
    #[error("A service named \"{0}\" already exists in this project")]
    NameTaken(String),
    /// The plan allows no more.
    #[error(
        "Free plan resource provision limit exceeded. Please upgrade to provision more resources!"
    )]
    ProvisionLimit,
    /// The service has a volume already.
    #[error("Service already has a volume mounted")]
    VolumeMounted,
    /// A domain could not be made just now.
    #[error("Failed to create service domain")]
    DomainFailed,
    /// Something else is being done to the same thing.
    #[error("An operation is already in progress")]
    Busy,
    /// The account has to prove itself first.
    #[error("Two Factor Authentication Required")]
    TwoFactorRequired,
    /// Too many of these were created lately.
    #[error("Whoa there pal! You are creating {0} too quickly. Try again in a sec")]
    TooQuickly(&'static str),
    /// Anything else, word for word.
    #[error("{message}")]
    Said {
        message: String,
        code: Option<String>,
    },
}

impl Refusal {
    /// The `extensions.code` that Railway gives with it.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::ProblemProcessing => None,
            Self::Said { code, .. } => code.as_deref(),
            _ => Some("INTERNAL_SERVER_ERROR"),
        }
    }

    /// A sentence with Railway's usual code.
    #[must_use]
    pub fn said(message: impl Into<String>) -> Self {
        Self::Said {
            message: message.into(),
            code: Some("INTERNAL_SERVER_ERROR".to_owned()),
        }
    }
}
