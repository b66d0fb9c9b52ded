//! What can go wrong. A fault is switched on by a rule (for which operations, how often, how
//! likely, for how long), or drawn from the world's seed. Where each comes from, and which test
//! shows it, is in `docs/SIMULATOR.md`.

mod draw;
mod kinds;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use draw::draw_any;
pub use kinds::{AgentFault, Fault, Lost};

/// How many rules may be switched on at once. A test needs a handful; the limit bounds the work
/// that each request does.
pub const RULES_MAX: usize = 100;

/// A fault that is switched on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
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
    /// For how long, in milliseconds; none is until it is switched off.
    #[serde(default)]
    pub for_ms: Option<u64>,
    #[serde(skip)]
    ends_at: Option<DateTime<Utc>>,
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
            for_ms: None,
            ends_at: None,
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
            for_ms: None,
            ends_at: None,
        }
    }

    /// Only for this operation or root field, and others that were named before.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operations.push(operation.to_owned());
        self
    }

    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// For so many milliseconds.
    #[must_use]
    pub const fn lasting(mut self, ms: u64) -> Self {
        self.for_ms = Some(ms);
        self
    }

    fn names_one_of(&self, names: &[&str]) -> bool {
        let mut wanted = self.operations.iter();
        wanted.any(|wanted| names.contains(&wanted.as_str()))
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

    #[must_use]
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }

    /// Those that strike a request of these names. Each that strikes is counted.
    pub(crate) fn strike_request(&mut self, rng: &mut fastrand::Rng, names: &[&str]) -> Vec<Fault> {
        let struck = self.strike(rng, |rule| {
            let fits = rule.operations.is_empty() || rule.names_one_of(names);
            fits && !rule.fault.strikes_deployments()
        });
        self.with_chaos(rng, struck)
    }

    /// Those that strike a request to one of the other accounts: only rules that name it, since one
    /// that names nothing is about Railway.
    pub(crate) fn strike_account(&mut self, rng: &mut fastrand::Rng, names: &[&str]) -> Vec<Fault> {
        let struck = self.strike(rng, |rule| rule.names_one_of(names));
        self.with_chaos(rng, struck)
    }

    /// Those that strike a deployment that begins, or the agent that is born with it.
    pub(crate) fn strike_deployment(&mut self, rng: &mut fastrand::Rng) -> Vec<Fault> {
        self.strike(rng, |rule| rule.fault.strikes_deployments())
    }

    /// Switches off those whose time is over. The time of a new one begins now.
    pub(crate) fn expire(&mut self, now: DateTime<Utc>) {
        self.rules.retain_mut(|rule| {
            let Some(ms) = rule.for_ms else {
                return true;
            };
            *rule.ends_at.get_or_insert(now + Duration::from_millis(ms)) > now
        });
    }

    fn strike(
        &mut self,
        rng: &mut fastrand::Rng,
        wanted: impl Fn(&FaultRule) -> bool,
    ) -> Vec<Fault> {
        let mut struck = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| wanted(rule)) {
            if rule.probability.is_none_or(|likely| rng.f64() < likely) {
                rule.count = rule.count.map(|left| left.saturating_sub(1));
                struck.push(rule.fault.clone());
            }
        }
        self.rules.retain(|rule| rule.count != Some(0));
        struck
    }

    fn with_chaos(&self, rng: &mut fastrand::Rng, mut struck: Vec<Fault>) -> Vec<Fault> {
        let strikes = |chaos: Chaos| rng.f64() < chaos.probability;
        if self.chaos.is_some_and(strikes) {
            struck.push(draw::draw(rng));
        }
        struck
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

    #[test]
    fn a_rule_ends_when_its_time_is_over() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(FaultRule::always(Fault::EdgeBlock).lasting(60_000));
        let begin = DateTime::UNIX_EPOCH;
        for (second, strikes) in [(0, true), (59, true), (60, false)] {
            faults.expire(begin + Duration::from_secs(second));
            let struck = faults.strike_request(&mut rng, &["environment"]);
            assert_eq!(!struck.is_empty(), strikes, "after {second} s");
        }
    }

    #[test]
    fn a_rule_about_nothing_in_particular_is_about_railway() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut faults = Faults::default();
        faults.add(FaultRule::always(Fault::Dropped));
        assert!(
            faults
                .strike_account(&mut rng, &["openrouter", "keyCreate"])
                .is_empty()
        );
        faults.add(FaultRule::always(Fault::Dropped).on("openrouter"));
        let struck = faults.strike_account(&mut rng, &["openrouter", "keyCreate"]);
        assert_eq!(struck, [Fault::Dropped]);
    }
}
