//! What can go wrong: a client that cannot be built, an agent that is not ready, a provision that
//! did not succeed.

use pool_domain::write::FoundConversation;

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client refused to be built.
    #[error("cannot build the HTTP client for agents")]
    BuildClient(#[source] reqwest::Error),
    /// The pool's key cannot stand in a header.
    #[error("the pool's key holds characters that a header cannot hold")]
    PoolKey,
}

/// The agent is not ready, or nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// Why, in a few words for a report or a log.
    pub reason: String,
    /// Whether anything was heard of it.
    pub heard: Heard,
}

/// What was heard of an agent that did not do as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An answer, its own or that of an edge in its place.
    Answer,
    /// Nothing in time: it may be slow, or the network.
    Nothing,
    /// That there is no connection to it.
    NoConnection,
    /// Nothing could be heard: this machine had no means to make a connection.
    NotCalled,
}

/// A provision that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionFailure {
    /// It definitely did not happen: no connection was made, or the agent refused before it began.
    #[error("not provisioned: {reason}")]
    Definite {
        /// Why, in a few words.
        reason: String,
        /// The agent's answer, where there was one.
        status: Option<u16>,
    },
    /// It definitely did not happen, and says nothing of the agent: this machine had no means to make a
    /// connection.
    #[error("not called: {reason}")]
    NotCalled {
        /// Why, in a few words.
        reason: String,
    },
    /// It is in somebody's conversation already: it is neither this caller's nor anybody else's to have.
    #[error("it is somebody's already: {reason}")]
    Bound {
        /// Why, in a few words.
        reason: String,
        /// Its conversation, where the refusal names it.
        conversation: Option<FoundConversation>,
    },
    /// It may have happened, and nobody can know. The agent must never be offered to anybody else.
    #[error("it is unknown whether it was provisioned: {reason}")]
    Indeterminate {
        /// Why, in a few words.
        reason: String,
        /// Whether it was the time that ran out.
        timed_out: bool,
    },
}
