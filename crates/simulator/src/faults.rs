//! What can go wrong. A fault is switched on by a rule (for which operations, how often, how
//! likely), or drawn from the world's seed. Where each comes from is in `docs/SIMULATOR.md`.

use serde::{Deserialize, Serialize};

use crate::world::LimitBody;

/// How many rules may be switched on at once. A test needs a handful; the limit bounds the work
/// that each request does.
pub const RULES_MAX: usize = 100;

/// What Railway can do to a request, to a listing or to a deployment. More will come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// Railway's own limiter says 429, with its headers.
    RateLimited {
        /// `Retry-After`.
        retry_after_s: u64,
        /// What the body is.
        body: LimitBody,
    },
    /// The edge says 429 with its page "error code: 1015", without any of Railway's headers.
    EdgeBlock,
    /// A gateway's HTML page instead of an answer; nothing was done.
    Gateway {
        /// 502, 503 or 504.
        status: u16,
    },
    /// The connection is closed before anything was done.
    Dropped,
    /// It is done, and then the answer is lost.
    AnswerLost {
        /// What the client sees instead.
        how: Lost,
    },
    /// The answer breaks off half way; it is done.
    Truncated,
    /// The answer takes this much longer.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// No answer ever comes, and nothing was done.
    Hang,
    /// 200 with an error and no data; nothing was done.
    Error {
        /// The sentence.
        message: String,
        /// `extensions.code`; none leaves out path and extensions as well.
        code: Option<String>,
    },
    /// 200 with the data and an error beside it.
    ErrorBesideData {
        /// The sentence.
        message: String,
    },
    /// 200 with "Problem processing request": no path, no extensions; nothing was done.
    ProblemProcessing,
    /// 200 with "Not Authorized", as a dead token gets it.
    NotAuthorized,
    /// 200 with a web page.
    HtmlOk,
    /// "You are creating volumes too quickly" and the like; nothing was created.
    CreationThrottle,
    /// "resource provision limit exceeded": the plan allows no more.
    ProvisionLimit,
    /// The service instance is not there yet, and Railway says so.
    TooEarly,
    /// A page holds at most this many items, whatever was asked for, without a word.
    ClampPage {
        /// How many.
        max: usize,
    },
    /// A complete listing without any services, while they live.
    EmptyListing,
    /// A complete listing that lacks every so many-th service, while they live.
    PartialListing {
        /// 2 hides every second one.
        every: usize,
    },
    /// Every deployment status is one that no client knows.
    UnknownStatus,
    /// A deployment that begins ends in FAILED.
    DeployFails,
    /// A deployment that begins stays INITIALIZING.
    DeploySticks,
    /// An agent that is born has this fault from the start.
    BornBroken {
        /// Its fault.
        fault: AgentFault,
    },
}

/// What the client sees of an answer that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// The connection is closed without a byte.
    Dropped,
    /// A gateway's page: 504 in HTML.
    Gateway504,
}

/// What an agent can do to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum AgentFault {
    /// Says `{"ready": false}`.
    Unready,
    /// Takes the request and never answers.
    Hang,
    /// Answers after this long.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Answers 500 to everything; nothing was done.
    Error,
    /// Answers 200 with something that is not JSON; nothing was done.
    Garbage,
    /// Closes the connection without an answer; nothing was done.
    Close,
    /// Breaks its answer off half way. A provision was done.
    CloseMidAnswer,
    /// Refuses to be provisioned with this status; healthy otherwise.
    RefuseProvision {
        /// The status, 400 to 599.
        status: u16,
    },
    /// Is provisioned, and answers 500 nevertheless.
    ErrorAfterProvision,
    /// Is provisioned, and closes the connection without an answer.
    LoseProvision,
}

impl AgentFault {
    /// The fault of that name with its usual parameters, or None where there is no such name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "unready" => Self::Unready,
            "hang" => Self::Hang,
            "slow" => Self::Slow { ms: 10_000 },
            "error" => Self::Error,
            "garbage" => Self::Garbage,
            "close" => Self::Close,
            "close-mid-answer" => Self::CloseMidAnswer,
            "refuse-provision" => Self::RefuseProvision { status: 503 },
            "error-after-provision" => Self::ErrorAfterProvision,
            "lose-provision" => Self::LoseProvision,
            _ => return None,
        })
    }
}

/// A fault that is switched on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// For which operations or root fields; empty is all.
    #[serde(default)]
    pub operations: Vec<String>,
    /// How many times; none is until it is switched off.
    #[serde(default)]
    pub count: Option<u32>,
    /// How likely each time, 0 to 1; none is always.
    #[serde(default)]
    pub probability: Option<f64>,
}

impl FaultRule {
    /// Every time, for everything.
    #[must_use]
    pub const fn always(fault: Fault) -> Self {
        Self {
            fault,
            operations: Vec::new(),
            count: None,
            probability: None,
        }
    }

    /// The next time only, for everything.
    #[must_use]
    pub const fn once(fault: Fault) -> Self {
        Self {
            fault,
            operations: Vec::new(),
            count: Some(1),
            probability: None,
        }
    }

    /// Only for this operation or root field, and others that were named before.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operations.push(operation.to_owned());
        self
    }

    /// So many times.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// With this probability, 0 to 1.
    #[must_use]
    pub const fn likely(mut self, probability: f64) -> Self {
        self.probability = Some(probability);
        self
    }

    fn fits(&self, names: &[&str]) -> bool {
        self.operations.is_empty()
            || self
                .operations
                .iter()
                .any(|wanted| names.contains(&wanted.as_str()))
    }
}

/// Faults of the transport drawn for each request, from the world's seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chaos {
    /// How likely a request meets one, 0 to 1.
    pub probability: f64,
}

/// The faults that are switched on.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
    chaos: Option<Chaos>,
}

impl Faults {
    /// Switches one on. False when [`RULES_MAX`] are on already.
    pub fn add(&mut self, rule: FaultRule) -> bool {
        let room = self.rules.len() < RULES_MAX;
        if room {
            self.rules.push(rule);
        }
        room
    }

    /// Draws faults at random, or stops doing so.
    pub const fn set_chaos(&mut self, chaos: Option<Chaos>) {
        self.chaos = chaos;
    }

    /// Switches all off.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.chaos = None;
    }

    /// Those that are on.
    #[must_use]
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Those that strike a request of these names. Each that strikes is counted.
    pub fn strike_request(&mut self, rng: &mut fastrand::Rng, names: &[&str]) -> Vec<Fault> {
        let mut struck = self.strike(rng, names, |fault| !fault.strikes_deployments());
        if self
            .chaos
            .is_some_and(|chaos| rng.f64() < chaos.probability)
        {
            struck.push(draw(rng));
        }
        struck
    }

    /// Those that strike a deployment that begins, or the agent that is born with it.
    pub(crate) fn strike_deployment(&mut self, rng: &mut fastrand::Rng) -> Vec<Fault> {
        self.strike(rng, &[], Fault::strikes_deployments)
    }

    fn strike(
        &mut self,
        rng: &mut fastrand::Rng,
        names: &[&str],
        wanted: impl Fn(&Fault) -> bool,
    ) -> Vec<Fault> {
        let mut struck = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| wanted(&rule.fault)) {
            let fits = names.is_empty() || rule.fits(names);
            if fits && rule.probability.is_none_or(|likely| rng.f64() < likely) {
                rule.count = rule.count.map(|left| left.saturating_sub(1));
                struck.push(rule.fault.clone());
            }
        }
        self.rules.retain(|rule| rule.count != Some(0));
        struck
    }
}

impl Fault {
    const fn strikes_deployments(&self) -> bool {
        matches!(
            self,
            Self::DeployFails | Self::DeploySticks | Self::BornBroken { .. }
        )
    }
}

/// A fault of the transport such as any request may meet on an ordinary day.
fn draw(rng: &mut fastrand::Rng) -> Fault {
    match rng.u8(0..9) {
        0 => Fault::RateLimited {
            retry_after_s: 1,
            body: LimitBody::Text,
        },
        1 => Fault::Gateway { status: 502 },
        2 => Fault::Dropped,
        3 => Fault::AnswerLost { how: Lost::Dropped },
        4 => Fault::AnswerLost {
            how: Lost::Gateway504,
        },
        5 => Fault::Truncated,
        6 => Fault::ProblemProcessing,
        7 => Fault::HtmlOk,
        _ => Fault::Latency {
            ms: rng.u64(50..500),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_its_operations_only_and_as_often_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(
            FaultRule::always(Fault::Dropped)
                .on("serviceCreate")
                .times(2),
        );
        assert!(faults.strike_request(&mut rng, &["environment"]).is_empty());
        for _ in 0..2 {
            assert_eq!(
                faults.strike_request(&mut rng, &["serviceCreate"]),
                [Fault::Dropped]
            );
        }
        assert!(
            faults
                .strike_request(&mut rng, &["serviceCreate"])
                .is_empty()
        );
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_rule_for_deployments_never_strikes_a_request() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(FaultRule::once(Fault::DeployFails));
        assert!(faults.strike_request(&mut rng, &["environment"]).is_empty());
        assert_eq!(faults.strike_deployment(&mut rng), [Fault::DeployFails]);
    }

    #[test]
    fn a_rule_reads_as_json() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"fault": {"kind": "answer_lost", "how": "gateway504"}, "count": 3}"#,
        )
        .unwrap();
        assert_eq!(
            rule,
            FaultRule::always(Fault::AnswerLost {
                how: Lost::Gateway504
            })
            .times(3)
        );
    }
    /// The names of an enum's variants, out of what serde says of one that it does not have.
    fn kinds<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let error = serde_json::from_str::<T>(r#"{"kind": "?"}"#)
            .unwrap_err()
            .to_string();
        error
            .split('`')
            .skip(3)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_fault_is_in_the_documentation() {
        let documented = include_str!("../../../docs/SIMULATOR.md");
        let (railways, agents) = (kinds::<Fault>(), kinds::<AgentFault>());
        assert!(
            railways.len() > 20 && agents.len() >= 10,
            "{railways:?} {agents:?}"
        );
        for kind in railways {
            assert!(
                documented.contains(&format!("`{kind}`")),
                "{kind} is not documented"
            );
        }
        for kind in agents {
            let name = kind.replace('_', "-");
            assert!(
                documented.contains(&format!("| `{name}`")),
                "{name} is not documented"
            );
            assert!(
                AgentFault::named(&name).is_some(),
                "{name} cannot be switched on"
            );
        }
    }
}
