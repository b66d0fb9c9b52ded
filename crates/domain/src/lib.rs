#![doc = include_str!("../README.md")]

pub mod agents;
pub mod budget;
mod clock;
pub mod deployment;
mod error_chain;
pub mod event;
pub mod fuse;
mod idempotency;
mod ids;
mod instance;
pub mod joinlink;
mod loops;
mod managers;
pub mod observation;
pub mod open;
mod pace;
mod policy;
mod redactor;
pub mod report;
mod resource_record;
mod secret;
pub mod status;
pub mod sweep;
pub mod write;

pub use agents::AgentsReport;
pub use budget::{BudgetReport, CallPurpose, Spent};
pub use clock::{Clock, Entropy, FixedClock, OsEntropy, SeededEntropy, SystemClock};
pub use deployment::{DeployClass, DeploymentStatus};
pub use error_chain::chain;
pub use event::Event;
pub use fuse::{FuseRecord, FuseReport, HeldLoss, RowCount};
pub use idempotency::{BadKey, Fingerprint, IdempotencyKey};
pub use ids::{
    ClaimToken, DeploymentId, EnvironmentId, Epoch, InboxId, InstanceId, KeyHash, ManagerId,
    ProjectId, ServiceId, ServicePrefix, Term, VolumeId,
};
pub use instance::{Instance, LastEvent};
pub use loops::{LoopReport, LoopsReport};
pub use managers::Managers;
pub use observation::{
    Completeness, Conversation, Listing, ObservedDeployment, ObservedService, ObservedVolume,
    Probe, ServiceVariables,
};
pub use pace::{Creations, Limit, Pace, Stopped, Trouble, Unproven};
pub use policy::{Policy, PolicyError};
pub use redactor::Redactor;
pub use report::Report;
pub use resource_record::{CreateStep, DestroyStep, ResourceRecord, Stage};
pub use secret::Secret;
pub use status::{IllegalTransition, State, Status};
pub use sweep::SweepReport;
