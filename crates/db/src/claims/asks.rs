//! What claims ask of the database, and what they are answered: in batches, by all who ask at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pool_domain::write::FoundConversation;
use pool_domain::{
    ClaimToken, Epoch, Fingerprint, IdempotencyKey, InstanceId, Secret, ServiceId, Status,
};

use crate::batches::Batches;

/// How many statements of one kind are under way at once. One would leave the database waiting for the
/// disk between two of them; with more, each serves fewer.
const STATEMENTS: usize = 2;

/// All who ask at this moment, by what they ask.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) leases: Batches<LeaseAsk, Leased>,
    pub(crate) confirms: Batches<EndAsk<Confirmation>, Passed<Confirmed>>,
    pub(crate) binds: Batches<EndAsk<Bind>, Passed<bool>>,
    pub(crate) releases: Batches<EndAsk<Release>, Passed<Option<Status>>>,
    pub(crate) abandons: Batches<EndAsk<Abandon>, Passed<bool>>,
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            leases: Batches::new(STATEMENTS),
            confirms: Batches::new(STATEMENTS),
            binds: Batches::new(STATEMENTS),
            releases: Batches::new(STATEMENTS),
            abandons: Batches::new(STATEMENTS),
        }
    }
}

/// A lease is asked for.
#[derive(Debug, Clone)]
pub(crate) struct LeaseAsk {
    pub(crate) token: ClaimToken,
    pub(crate) lease: Duration,
    pub(crate) exclude: Vec<InstanceId>,
    pub(crate) request: Option<KeyedRequest>,
}

/// A lease is to end in this way.
#[derive(Debug, Clone)]
pub(crate) struct EndAsk<E> {
    pub(crate) token: ClaimToken,
    /// On which instance, where it ends on no other.
    pub(crate) instance: Option<InstanceId>,
    pub(crate) ending: E,
}

/// What became of a lease, or none where it was passed over, since another statement holds the instance.
pub(crate) type Passed<T> = Option<T>;

/// The instance is somebody's already.
#[derive(Debug, Clone)]
pub(crate) struct Bind {
    pub(crate) instance: InstanceId,
    pub(crate) conversation: Option<FoundConversation>,
}

/// Its agent was surely not provisioned.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) reason: String,
    pub(crate) counts: bool,
}

/// Nobody knows what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Abandon {
    pub(crate) reason: String,
    pub(crate) timed_out: bool,
}

/// A request that its caller may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The `Idempotency-Key` that its caller chose.
    pub key: IdempotencyKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
    /// For how long its outcome is kept, from the end of its lease.
    pub keep: Duration,
    /// The lease that the same claim took before, if any: with it the key goes on to the next one.
    pub leased_before: Option<ClaimToken>,
}

/// A claim in progress: this instance is nobody else's until the lease is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The instance that was taken, the oldest idle one.
    pub id: InstanceId,
    /// Its service on Railway.
    pub service_id: ServiceId,
    /// The service's name, for logs and for people.
    pub name: String,
    /// Where its agent answers.
    pub url: Option<String>,
    /// The token of its gateway, for the claimer.
    pub gateway_token: Option<Secret>,
    /// When it runs out, by the database's clock.
    pub expires_at: DateTime<Utc>,
    /// The epoch that the lease began.
    pub epoch: Epoch,
    /// Claims that surely failed on it before, in a row.
    pub failed_claims: u8,
}

/// What asking for a lease found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leased {
    /// This instance is this claim's, and so is the key, where one was given.
    Yes(Lease),
    /// Every idle instance is taken at this moment. Nothing was written.
    NoneIdle,
    /// Another claim has the key. Nothing was written.
    KeyTaken,
    /// The records may be older than the world: see [`verify`](crate::record::verify). Nothing was
    /// written.
    Unverified,
}

/// What an agent is once it was provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// The instance whose agent was provisioned.
    pub instance: InstanceId,
    /// The name that its claimer gave it.
    pub agent_name: String,
    /// The conversation it is in, where it says.
    pub conversation_id: Option<String>,
    /// How others join it.
    pub invite_url: Option<String>,
    /// What its claimer told it to be.
    pub instructions: Arc<str>,
    /// The branch that this server was built from.
    pub source_branch: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
    /// Whether the invite link is the agent's own answer, and not its claimer's join link.
    pub invited: bool,
}

/// What a confirmation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It is the claimer's, by this call or by an earlier one.
    Done,
    /// The lease was decided otherwise: the instance is not the claimer's.
    Overtaken,
}
