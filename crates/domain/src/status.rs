//! THE STATE MACHINE: which status an instance has, and what may happen to it.
//!
//! `docs/LIFECYCLE.md` holds the same table in words, and the trigger of the `instances` table
//! enforces it in the database; tests compare all three.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Event;

/// The status of an instance, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Exists on Railway; not, or no longer, proven ready.
    Starting,
    /// Proven ready, nobody's. The only status that can be claimed.
    Idle,
    /// Leased to exactly one claimer.
    Claiming,
    /// Somebody was given it.
    Claimed,
    /// Was claimed, or may have been; it was given up, since its deployment died or its service is
    /// gone, for example. Stays until a person dismisses it or it recovers.
    Crashed,
    /// To be destroyed outside, after which its row goes.
    Dead,
}

impl Status {
    /// Every status, in the order in which lists and counts show them.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Idle,
        Self::Claiming,
        Self::Claimed,
        Self::Crashed,
        Self::Dead,
    ];

    /// As stored and as sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Claiming => "claiming",
            Self::Claimed => "claimed",
            Self::Crashed => "crashed",
            Self::Dead => "dead",
        }
    }

    /// The status with this name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A status with what else of the row decides where it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The status as it is stored.
    pub status: Status,
    /// A person asked for its destruction while it was claimed or crashed.
    pub delete_requested: bool,
    /// Its ownership is unverified: nobody knows whether it is somebody's until its agent says so.
    pub unasked: bool,
    /// Claims that surely failed on it, in a row.
    pub failed_claims: u8,
}

/// An event that the state does not allow. It names both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} an instance that is {from}")]
pub struct IllegalTransition {
    /// The state from which nothing leads there.
    pub from: State,
    /// The event that was attempted.
    pub verb: Event,
}

/// Where an event leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The row stays, in this state.
    To(State),
    /// The row is removed.
    Gone,
}

type Transition = Result<State, IllegalTransition>;

/// At the second sure failure in a row the instance must prove itself ready again. No claim gives it up
/// for that: a server may reach nobody, while the leader's probes do.
const FAILED_CLAIMS_UNTIL_STARTING: u8 = 2;

impl State {
    /// The plain state of a status: asked, no failed claims, no delete request.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            delete_requested: false,
            unasked: false,
            failed_claims: 0,
        }
    }

    /// Where the event leads from here, by the one method that decides it.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`], with the state and the event, where nothing leads there. It never
    /// passes by itself: whoever asks has to look at the state anew.
    pub fn apply(self, event: Event) -> Result<Next, IllegalTransition> {
        match event {
            Event::Ready => self.prove_ready(),
            Event::ConversationFound => self.take_over(),
            Event::Restored => self.doubt(),
            Event::Stuck => self.give_up(),
            Event::DeploymentFailed => self.fail(),
            Event::ProbesFailed => self.fail_probes(),
            Event::NotServing => self.stop_serving(),
            Event::Missing => self.vanish(),
            Event::Drain => self.drain(),
            Event::Kill => self.kill(),
            Event::Dismiss => self.dismiss(),
            Event::Lease => self.lease(),
            Event::Confirm => self.confirm(),
            Event::Bound => self.bind(),
            Event::Release => self.release(),
            Event::Abandon => self.abandon(),
            Event::Remove => return self.remove().map(|()| Next::Gone),
        }
        .map(Next::To)
    }

    /// Starting becomes idle once it was asked; crashed becomes claimed again, where it was before.
    fn prove_ready(self) -> Transition {
        match self.status {
            // Whoever proves itself ready is forgiven the claims that failed on it.
            Status::Starting if !self.unasked => Ok(Self {
                failed_claims: 0,
                ..self.to(Status::Idle)
            }),
            Status::Crashed if !self.delete_requested && !self.unasked => {
                Ok(self.to(Status::Claimed))
            }
            _ => Err(self.refuse(Event::Ready)),
        }
    }

    /// One of unverified ownership turns out to be somebody's.
    fn take_over(self) -> Transition {
        match self.status {
            Status::Starting | Status::Crashed if self.unasked => Ok(self.to(Status::Claimed)),
            _ => Err(self.refuse(Event::ConversationFound)),
        }
    }

    /// The records may be older than the world: whatever they call free may be somebody's by now.
    fn doubt(self) -> Transition {
        let status = match self.status {
            Status::Starting | Status::Idle => Status::Starting,
            Status::Claiming => Status::Claiming,
            _ => return Err(self.refuse(Event::Restored)),
        };
        Ok(self.unverified(status))
    }

    /// Starting for too long.
    fn give_up(self) -> Transition {
        match self.status {
            Status::Starting => Ok(self.lose()),
            _ => Err(self.refuse(Event::Stuck)),
        }
    }

    /// The deployment failed or was stopped.
    fn fail(self) -> Transition {
        match self.status {
            Status::Starting | Status::Idle => Ok(self.lose()),
            Status::Claimed if !self.delete_requested => Ok(self.to(Status::Crashed)),
            _ => Err(self.refuse(Event::DeploymentFailed)),
        }
    }

    /// The agent failed its probes: it must prove itself ready again.
    fn fail_probes(self) -> Transition {
        match self.status {
            Status::Idle => Ok(self.to(Status::Starting)),
            _ => Err(self.refuse(Event::ProbesFailed)),
        }
    }

    /// Railway says that it is in progress, going or asleep.
    fn stop_serving(self) -> Transition {
        match self.status {
            Status::Idle => Ok(self.to(Status::Starting)),
            _ => Err(self.refuse(Event::NotServing)),
        }
    }

    /// The service is gone.
    fn vanish(self) -> Transition {
        match self.status {
            Status::Starting | Status::Idle => Ok(self.lose()),
            Status::Claimed if !self.delete_requested => Ok(self.to(Status::Crashed)),
            _ => Err(self.refuse(Event::Missing)),
        }
    }

    /// A person retires unclaimed stock.
    fn drain(self) -> Transition {
        match self.status {
            Status::Starting | Status::Idle if !self.unasked => Ok(self.to(Status::Dead)),
            _ => Err(self.refuse(Event::Drain)),
        }
    }

    /// A person destroys this one. Refused while a claim is in progress.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] while a claim is in progress, which passes: the claim ends within its
    /// lease.
    pub fn kill(self) -> Transition {
        match self.status {
            Status::Starting | Status::Idle => Ok(self.to(Status::Dead)),
            Status::Claimed | Status::Crashed => Ok(self.to_be_destroyed()),
            Status::Dead => Ok(self),
            Status::Claiming => Err(self.refuse(Event::Kill)),
        }
    }

    /// A person is done with a crashed one.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] unless it is crashed.
    pub fn dismiss(self) -> Transition {
        match self.status {
            Status::Crashed => Ok(self.to_be_destroyed()),
            _ => Err(self.refuse(Event::Dismiss)),
        }
    }

    /// A claimer takes it.
    fn lease(self) -> Transition {
        match self.status {
            Status::Idle => Ok(self.to(Status::Claiming)),
            _ => Err(self.refuse(Event::Lease)),
        }
    }

    /// The claim succeeded. Also right after the lease ran out, while nobody else has decided.
    fn confirm(self) -> Transition {
        match self.status {
            Status::Claiming => Ok(Self {
                failed_claims: 0,
                ..self.to(Status::Claimed)
            }),
            _ => Err(self.refuse(Event::Confirm)),
        }
    }

    /// The agent is somebody's already, and not the claimer's.
    fn bind(self) -> Transition {
        match self.status {
            Status::Claiming => Ok(Self {
                failed_claims: 0,
                ..self.to(Status::Claimed)
            }),
            _ => Err(self.refuse(Event::Bound)),
        }
    }

    /// The claim surely failed: back to idle, at the second time in a row to starting.
    /// One that became unverified meanwhile has to be asked, however often it failed.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] unless it is being claimed.
    pub fn release(self) -> Transition {
        if self.status != Status::Claiming {
            return Err(self.refuse(Event::Release));
        }
        let failed_claims = self.failed_claims.saturating_add(1);
        if self.unasked {
            return Ok(Self {
                failed_claims,
                ..self.unverified(Status::Starting)
            });
        }
        let status = match failed_claims {
            FAILED_CLAIMS_UNTIL_STARTING.. => Status::Starting,
            _ => Status::Idle,
        };
        Ok(Self {
            failed_claims,
            ..self.to(status)
        })
    }

    /// Nobody can know whether the agent was provisioned: it is never handed to anybody else.
    fn abandon(self) -> Transition {
        match self.status {
            Status::Claiming => Ok(self.lose()),
            _ => Err(self.refuse(Event::Abandon)),
        }
    }

    /// The row may go.
    fn remove(self) -> Result<(), IllegalTransition> {
        if self.is_to_be_destroyed() {
            Ok(())
        } else {
            Err(self.refuse(Event::Remove))
        }
    }

    /// Dead, or a person asked for it: from then on only destruction follows.
    #[must_use]
    pub const fn is_to_be_destroyed(self) -> bool {
        matches!(self.status, Status::Dead) || self.delete_requested
    }

    /// Given up: dead, unless it may be somebody's. Then it waits for a person.
    const fn lose(self) -> Self {
        if self.unasked {
            self.unverified(Status::Crashed)
        } else {
            self.to(Status::Dead)
        }
    }

    const fn to_be_destroyed(self) -> Self {
        Self {
            delete_requested: true,
            unasked: false,
            ..self
        }
    }

    const fn unverified(self, status: Status) -> Self {
        Self {
            status,
            unasked: true,
            ..self
        }
    }

    const fn to(self, status: Status) -> Self {
        Self {
            status,
            unasked: false,
            ..self
        }
    }

    const fn refuse(self, verb: Event) -> IllegalTransition {
        IllegalTransition { from: self, verb }
    }

    /// Every state that differs in where it may go, in the order of `docs/LIFECYCLE.md`.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let plain = Self::new;
        let unasked = |status| plain(status).unverified(status);
        vec![
            plain(Status::Starting),
            unasked(Status::Starting),
            plain(Status::Idle),
            plain(Status::Claiming),
            Self {
                failed_claims: 1,
                ..plain(Status::Claiming)
            },
            unasked(Status::Claiming),
            plain(Status::Claimed),
            Self {
                delete_requested: true,
                ..plain(Status::Claimed)
            },
            plain(Status::Crashed),
            unasked(Status::Crashed),
            Self {
                delete_requested: true,
                ..plain(Status::Crashed)
            },
            plain(Status::Dead),
        ]
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        if self.unasked {
            f.write_str(", unasked")?;
        }
        if self.delete_requested {
            f.write_str(", delete requested")?;
        }
        match self.failed_claims {
            0 => Ok(()),
            1 => f.write_str(", 1 failed claim"),
            n => write!(f, ", {n} failed claims"),
        }
    }
}

/// The changes of stored status that any path may make, as the database's trigger allows them.
#[must_use]
pub fn legal_changes() -> Vec<(Status, Status)> {
    let mut changes: Vec<_> = State::all()
        .into_iter()
        .flat_map(|from| Event::ALL.map(|event| (from, from.apply(event))))
        .filter_map(|(from, next)| match next {
            Ok(Next::To(to)) if to.status != from.status => Some((from.status, to.status)),
            _ => None,
        })
        .collect();
    changes.sort_unstable();
    changes.dedup();
    changes
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
