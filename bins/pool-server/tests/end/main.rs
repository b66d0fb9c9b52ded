//! The whole server over real sockets: real Postgres, the simulated Railway, real HTTP clients.

mod adoption;
mod agents;
mod bad_days;
mod bad_input;
mod budget;
mod claims;
mod creation;
mod database;
mod destruction;
mod failover;
mod floods;
mod interrupted;
mod kill_points;
mod leaders;
mod leftovers;
mod liar;
mod migrating;
mod pool;
mod proxy;
mod read_only;
mod secrets;
mod seeds;
mod shutdown;
mod starting;
mod sweep;
mod takeover;
