//! The simulator over real sockets, as a client of Railway and of its agents meets it.

mod accounts;
mod agents;
mod cli;
mod faults;
mod limits;
mod lists;
mod node_pool;
mod railway;
mod schema;
mod statuses;
mod support;
mod terraform;
