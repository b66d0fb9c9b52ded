//! What stands before every request: the token, the limits, the count of requests, and the faults
//! that strike it.

use chrono::{DateTime, Utc};

use super::counts::bump;
use super::{Caller, Credential, LimitBody, RateHeaders, Refusal, RequestCounts, World};
use crate::faults::Fault;

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
    pub(crate) fn edge_blocks(&mut self, operation: Option<&str>, fields: &[String]) -> bool {
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
    pub(crate) fn admit_account(&mut self, names: &[&str]) -> Vec<Fault> {
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
