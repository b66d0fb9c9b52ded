//! How many files the process may have open, and how many agents that allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::SimulatorError;

/// Open files of an agent: its listener, and one connection that was taken and waits its turn.
const FILES_PER_AGENT: u64 = 2;

/// Open files that are not an agent's own: 256 connections to GraphQL and the control API, 256 to
/// agents, each counted twice because a test's client lives in the same process, and 64 others.
const RESERVED_FILES: u64 = 2 * 2 * super::connection::CONNECTIONS_MAX as u64 + 64;

/// What the limit of open files allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// How many agents may have a port at once.
    pub(super) agents: usize,
    /// The limit of open files.
    pub(super) limit: u64,
}

impl Capacity {
    /// Raises the limit as far as the process may, and checks what was asked for against it.
    pub(super) fn claim(asked: Option<usize>) -> Result<Self, SimulatorError> {
        Self::within(raise_limit(), asked)
    }

    fn within(limit: u64, asked: Option<usize>) -> Result<Self, SimulatorError> {
        let allowed = limit.saturating_sub(RESERVED_FILES) / FILES_PER_AGENT;
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        match asked {
            Some(agents) if agents > allowed => {
                let agents_u64 = u64::try_from(agents).unwrap_or(u64::MAX);
                let needed = agents_u64
                    .saturating_mul(FILES_PER_AGENT)
                    .saturating_add(RESERVED_FILES);
                Err(SimulatorError::OpenFileLimit {
                    agents,
                    needed,
                    limit,
                    at_most: allowed,
                })
            }
            Some(agents) => Ok(Self { agents, limit }),
            None => Ok(Self {
                agents: allowed,
                limit,
            }),
        }
    }
}

/// The limit of open files after raising it. No limit at all counts as the largest number.
fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    let reached = if raised.is_ok() { maximum } else { current };
    reached.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_agents_than_open_files_allow_are_refused_with_the_numbers() {
        let refused = Capacity::within(4096, Some(2000)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "2000 agents need 5088 open files, and this process may open 4096; \
             ask for at most 1504 agents, or raise the limit with `ulimit -n 5088`"
        );
        assert_eq!(Capacity::within(4096, Some(1504)).unwrap().agents, 1504);
        assert_eq!(Capacity::within(4096, None).unwrap().agents, 1504);
    }
}
