//! The state machine of `pool_domain::status` as a table, so that a state is a byte and a step costs
//! nothing. There is no second state machine here.

use std::fmt;
use std::sync::LazyLock;

use pool_domain::status::{Next, legal_changes};
use pool_domain::{Event, State, Status};

/// A row's state, or that there is no row any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u8);

/// What every state and event lead to; none where the event is refused.
static NEXT: LazyLock<Vec<[Option<Code>; Event::ALL.len()]>> = LazyLock::new(|| {
    let to_code = |from: Code, next| match next {
        Next::To(state) => Code::of(state),
        Next::Gone if from.delete_requested() => Code::GONE_BY_A_PERSON,
        Next::Gone => Code::GONE,
    };
    (0..=u8::MAX)
        .map(|byte| {
            let from = Code(byte);
            Event::ALL.map(|event| {
                let next = from.state()?.apply(event).ok()?;
                Some(to_code(from, next))
            })
        })
        .collect()
});

/// What the database's trigger lets pass.
static LEGAL: LazyLock<Vec<(Status, Status)>> = LazyLock::new(legal_changes);

impl Code {
    /// There is no row any more.
    pub const GONE: Self = Self(0xfe);
    /// There is no row any more, because a person asked for that while it was claimed or crashed.
    pub const GONE_BY_A_PERSON: Self = Self(0xff);

    /// The plain state of a status.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self::of(State::new(status))
    }

    #[must_use]
    pub fn of(state: State) -> Self {
        let status = Status::ALL.iter().position(|it| *it == state.status);
        let status = u8::try_from(status.unwrap_or_default()).unwrap_or_default();
        let flags = u8::from(state.delete_requested) << 5 | u8::from(state.unasked) << 6;
        // A dead one's failed claims decide nothing any more.
        let failed_claims = match state.status {
            Status::Dead => 0,
            _ => state.failed_claims.min(3),
        };
        Self(status | failed_claims << 3 | flags)
    }

    /// The state; none when there is no row.
    #[must_use]
    pub fn state(self) -> Option<State> {
        let status = *Status::ALL.get(usize::from(self.0 & 0b111))?;
        Some(State {
            status,
            failed_claims: self.0 >> 3 & 0b11,
            delete_requested: self.0 & 1 << 5 != 0,
            unasked: self.0 & 1 << 6 != 0,
        })
    }

    /// The status; none when there is no row.
    #[must_use]
    pub fn status(self) -> Option<Status> {
        Status::ALL.get(usize::from(self.0 & 0b111)).copied()
    }

    /// Whether it has this status.
    #[must_use]
    pub fn is(self, status: Status) -> bool {
        self.status() == Some(status)
    }

    /// Whether a person asked for the destruction of one that was claimed or crashed.
    #[must_use]
    pub fn delete_requested(self) -> bool {
        self.state().is_some_and(|state| state.delete_requested)
    }

    /// Whether its ownership is unverified.
    #[must_use]
    pub fn is_unasked(self) -> bool {
        self.state().is_some_and(|state| state.unasked)
    }

    /// Whether only destruction follows.
    #[must_use]
    pub fn is_to_be_destroyed(self) -> bool {
        self.state().is_some_and(State::is_to_be_destroyed)
    }

    /// Where the event leads, by `State::apply`; none where it is refused.
    #[must_use]
    pub fn after(self, event: Event) -> Option<Self> {
        let index = Event::ALL.iter().position(|it| *it == event)?;
        NEXT[usize::from(self.0)][index]
    }

    /// Whether the trigger lets this change pass.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        match (self.state(), to.state()) {
            (Some(from), Some(to)) if from.status == to.status => true,
            (Some(from), Some(to)) => {
                let unasked_idle = to.status == Status::Idle && to.unasked;
                let claimed_without_lease = from.status == Status::Starting
                    && to.status == Status::Claimed
                    && !from.unasked;
                let crashed_without_doubt = to.status == Status::Crashed
                    && from.status != Status::Claimed
                    && !(from.unasked && to.unasked);
                let ended_in_doubt =
                    to.unasked && matches!(to.status, Status::Claimed | Status::Dead);
                LEGAL.contains(&(from.status, to.status))
                    && !from.delete_requested
                    && !unasked_idle
                    && !claimed_without_lease
                    && !crashed_without_doubt
                    && !ended_in_doubt
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state() {
            Some(state) => write!(f, "{state}"),
            None if *self == Self::GONE => f.write_str("gone"),
            None => f.write_str("gone, as a person asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_state_machines_own_state() {
        for state in State::all() {
            assert_eq!(Code::of(state).state(), Some(state));
            for event in Event::ALL {
                let after = Code::of(state).after(event);
                match state.apply(event) {
                    Ok(Next::To(next)) => assert_eq!(after, Some(Code::of(next))),
                    Ok(Next::Gone) => assert_eq!(after.and_then(Code::state), None),
                    Err(_) => assert_eq!(after, None),
                }
            }
        }
    }
}
