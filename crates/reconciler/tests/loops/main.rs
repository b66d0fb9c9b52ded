//! The loops of a leader, over real sockets: a real PostgreSQL, the simulated Railway and accounts,
//! the real clients. What these tests assert is what goes on while something hangs, and in which
//! order; never how fast.

mod promoting;
mod stage;
mod trouble;
