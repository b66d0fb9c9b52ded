//! What goes wrong at this moment, and what it excuses: a bound is suspended while a fault that
//! excuses a delay is on, and for a time after it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_simulator::Fault;
use pool_simulator::faults::FaultRule;
use tokio::time::Instant;

/// What may be in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Servers are killed or stand still, or their connections break.
    Servers,
    /// Listings fail or lie.
    Listing,
    /// Railway does not make what it is asked to make.
    Making,
    /// Railway does not delete what it is asked to delete.
    Ending,
    OpenRouter,
    AgentMail,
    /// Services die or are born broken.
    Services,
}

/// When each kind was last in trouble.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: [Option<Instant>; 7],
    /// How often servers were struck.
    blows: u32,
    /// Nothing goes wrong any more.
    is_over: bool,
}

impl Troubles {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is in trouble now.
    pub(crate) fn note(&self, trouble: Trouble) {
        self.seen().last[trouble as usize] = Some(Instant::now());
    }

    /// Servers were struck so often by now.
    pub(crate) fn note_blows(&self, blows: u32) {
        let mut seen = self.seen();
        if seen.blows != blows {
            seen.blows = blows;
            seen.last[Trouble::Servers as usize] = Some(Instant::now());
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn end(&self) {
        self.seen().is_over = true;
    }

    /// These faults are switched on; and where any request may meet one, all but the servers are.
    pub(crate) fn note_faults(&self, rules: &[FaultRule], is_chaos: bool) {
        use Trouble::{AgentMail, Ending, Listing, Making, OpenRouter};
        if is_chaos && !self.seen().is_over {
            for trouble in [Listing, Making, Ending, OpenRouter, AgentMail] {
                self.note(trouble);
            }
        }
        for rule in rules {
            for trouble in troubled_by(rule) {
                self.note(*trouble);
            }
        }
    }

    /// Whether it is in trouble at this very moment, as far as was noted.
    pub(crate) fn is_on(&self, trouble: Trouble) -> bool {
        self.seen().last[trouble as usize] == Some(Instant::now())
    }

    /// Until when these excuse a delay, each for so long after its end.
    pub(crate) fn excuse_until(&self, excuses: &[(Trouble, Duration)]) -> Option<Instant> {
        let seen = self.seen();
        let ends = excuses
            .iter()
            .filter_map(|(trouble, after)| Some(seen.last[*trouble as usize]? + *after));
        ends.max()
    }
}

fn troubled_by(rule: &FaultRule) -> &'static [Trouble] {
    use Trouble::{AgentMail, Ending, Listing, Making, OpenRouter, Services};
    match (&rule.fault, rule.operations.first().map(String::as_str)) {
        (
            Fault::DeployFails
            | Fault::DeploySticks
            | Fault::DeployHolds { .. }
            | Fault::BornBroken { .. },
            _,
        ) => &[Services],
        (_, None) => &[Listing, Making, Ending],
        (_, Some("environment")) => &[Listing],
        (_, Some("serviceDelete" | "volumeDelete")) => &[Ending],
        (_, Some("openrouter" | "keyCreate" | "keyList" | "keyDelete")) => &[OpenRouter],
        (_, Some("agentmail" | "inboxCreate" | "inboxList" | "inboxDelete")) => &[AgentMail],
        (_, Some(_)) => &[Making],
    }
}
