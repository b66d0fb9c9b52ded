//! The world over HTTP: GraphQL as Railway serves it, a port for each agent, and a control API.
//! Decides nothing: what an answer says comes from the world.

mod accounts;
mod agents;
mod answers;
mod connection;
mod control;
mod files;
mod graphql;
mod http;
mod shared;
mod simulator;
mod view;

pub use graphql::sdl;
pub use shared::{SeedServices, SeededService};
pub use simulator::Simulator;
pub use view::{AgentView, InboxView, KeyView, ProvisionView, ServiceView, VolumeView, WorldView};
