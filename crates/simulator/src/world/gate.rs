//! What stands before every request: the token, the limits, the count of requests, and the faults
//! that strike it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use pool_domain::{EnvironmentId, ProjectId};
use serde::{Deserialize, Serialize};

use super::{LimitBody, RateHeaders, Refusal, World};
use crate::faults::Fault;

/// How many names of operations are counted apart; more are counted under `other`. A client has a
/// few dozen, and the limit keeps a stranger from filling the memory.
const NAMES_MAX: usize = 200;

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
    /// Nothing.
    None,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person: everything that they see.
    Account,
    /// A workspace.
    Workspace,
    /// One environment of one project.
    Project {
        /// The project.
        project: ProjectId,
        /// The environment.
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

/// How many requests were made, refused ones too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestCounts {
    /// HTTP requests in all.
    pub total: u64,
    /// By the name of the operation, else by its first root field.
    pub by_operation: BTreeMap<String, u64>,
    /// By each root field.
    pub by_field: BTreeMap<String, u64>,
}

impl RequestCounts {
    /// How many requests had this operation name or root field.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        let count = self
            .by_operation
            .get(name)
            .or_else(|| self.by_field.get(name));
        count.copied().unwrap_or(0)
    }
}

/// What becomes of a request before it is carried out.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Who asks, or why they may not.
    pub caller: Result<Caller, Refusal>,
    /// The headers of the answer.
    pub rate: Option<RateHeaders>,
    /// Refused by Railway's limiter for so many seconds.
    pub refused_for_s: Option<u64>,
    /// What the body of that refusal is.
    pub limit_body: LimitBody,
    /// The faults that strike it.
    pub faults: Vec<Fault>,
}

impl World {
    /// Judges a request: counts it, spends from the limits, and draws its faults.
    pub fn admit(
        &mut self,
        now: DateTime<Utc>,
        operation: Option<&str>,
        fields: &[String],
        credential: Credential<'_>,
    ) -> Admission {
        self.step(now);
        self.count(operation, fields);
        let mut names: Vec<&str> = fields.iter().map(String::as_str).collect();
        names.extend(operation);
        let faults = self.faults.strike_request(&mut self.rng, &names);
        let caller = self.authenticate(credential);
        let (mut rate, refused_for_s) = match &caller {
            // A block at the edge is spent from nobody's budget, nor is a dead token.
            Ok(_) if !faults.contains(&Fault::EdgeBlock) => {
                let fields = u32::try_from(fields.len()).unwrap_or(u32::MAX).max(1);
                let points = if self.settings.spend_per_field {
                    fields
                } else {
                    1
                };
                self.limiter.spend(self.now, &self.settings.limits, points)
            }
            _ => (None, None),
        };
        let limited = faults
            .iter()
            .any(|fault| matches!(fault, Fault::RateLimited { .. }));
        if let Some(rate) = rate.as_mut().filter(|_| limited) {
            rate.remaining = 0;
        }
        let limit_body = self.settings.limits.body;
        Admission {
            caller,
            rate,
            refused_for_s,
            limit_body,
            faults,
        }
    }

    /// Whether the edge before Railway blocks a request that comes now and has no query string.
    /// One that it blocks is counted, and spent from nobody's budget.
    pub fn edge_blocks(&mut self, operation: Option<&str>, fields: &[String]) -> bool {
        let Some(limit) = self.settings.edge else {
            return false;
        };
        let blocked = self.edge.blocks(self.now, &limit);
        if blocked {
            self.count(operation, fields);
        }
        blocked
    }

    /// Judges a request to OpenRouter or AgentMail: counts it, and draws its faults. Its names are
    /// those by which a rule may mean it.
    pub fn admit_account(&mut self, names: &[&str]) -> Vec<Fault> {
        self.accounts.count(names);
        self.faults.strike_account(&mut self.rng, names)
    }

    /// How many requests were made.
    #[must_use]
    pub const fn request_counts(&self) -> &RequestCounts {
        &self.requests
    }

    /// Counts requests from zero again.
    pub fn reset_request_counts(&mut self) {
        self.requests = RequestCounts::default();
        self.accounts.reset_request_counts();
    }

    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, Refusal> {
        match credential {
            Credential::Bearer(token) if token == self.tokens.account => Ok(Caller::Account),
            Credential::Bearer(token) if token == self.tokens.workspace => Ok(Caller::Workspace),
            Credential::ProjectToken(token) if token == self.tokens.project => {
                Ok(Caller::Project {
                    project: self.home.project.clone(),
                    environment: self.home.environment.clone(),
                })
            }
            _ => Err(Refusal::NotAuthorized),
        }
    }

    fn count(&mut self, operation: Option<&str>, fields: &[String]) {
        self.requests.total += 1;
        let name = operation
            .or(fields.first().map(String::as_str))
            .unwrap_or("unreadable");
        bump(&mut self.requests.by_operation, name);
        for field in fields {
            bump(&mut self.requests.by_field, field);
        }
    }
}

pub(crate) fn bump(counts: &mut BTreeMap<String, u64>, name: &str) {
    let name = if counts.len() < NAMES_MAX || counts.contains_key(name) {
        name
    } else {
        "other"
    };
    *counts.entry(name.to_owned()).or_default() += 1;
}
