//! The world over HTTP, by sockets or in process: GraphQL as Railway serves it, a domain for each
//! agent, and a control API.
//! Decides nothing: what an answer says comes from the world.

mod accounts;
mod agents;
mod answers;
mod connection;
mod control;
mod domains;
mod files;
mod graphql;
mod http;
mod in_process;
mod shared;
mod simulator;
mod view;

pub use graphql::sdl;
pub use in_process::InProcess;
pub use shared::{SeedServices, SeededService};
pub use simulator::Simulator;
pub use view::{AgentView, InboxView, KeyView, ProvisionView, ServiceView, VolumeView, WorldView};
