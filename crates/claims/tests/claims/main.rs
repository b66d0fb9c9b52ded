//! Claims against a real Postgres and agents on real sockets.

mod agents;
mod breaker;
mod cuts;
mod failures;
mod handing_out;
mod repeats;
mod stage;
mod statements;
mod wire;
