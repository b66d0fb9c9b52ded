//! Who may ask: tokens, and what each of them may see.

use pool_domain::{EnvironmentId, ProjectId};

/// The tokens that the world accepts. They are drawn from its seed and protect nothing.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// An account token: `Authorization: Bearer`.
    pub account: String,
    /// A workspace token: `Authorization: Bearer`.
    pub workspace: String,
    /// A project token of the pool's environment: `Project-Access-Token`.
    pub project: String,
}

impl Tokens {
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let mut draw = |kind: &str| format!("sim-{kind}-{:032x}", rng.u128(..));
        Self {
            account: draw("account"),
            workspace: draw("workspace"),
            project: draw("project"),
        }
    }
}

/// What a request showed of itself.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// `Authorization: Bearer …`.
    Bearer(&'a str),
    /// `Project-Access-Token: …`.
    ProjectToken(&'a str),
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person: everything that they see.
    Account,
    Workspace,
    /// One environment of one project.
    Project {
        project: ProjectId,
        environment: EnvironmentId,
    },
}

impl Caller {
    pub(super) fn may_see(&self, environment: &EnvironmentId) -> bool {
        match self {
            Self::Account | Self::Workspace => true,
            Self::Project {
                environment: own, ..
            } => own == environment,
        }
    }
}
