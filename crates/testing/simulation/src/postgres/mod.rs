//! The real PostgreSQL, in the simulation's time: its SQL, its triggers and its locks are the guards
//! of this product, so the seeds run them and no copy.

mod backends;
mod connect;
mod gate;
mod messages;
mod server;
mod stream;

pub(crate) use connect::{Nowhere, Route, dialer};
pub(crate) use gate::Gate;
pub(crate) use server::{Database, PostgreSql, threads};

/// What makes a session one of a standby.
const READ_ONLY: &str = "SET default_transaction_read_only = on; ";

/// The limits that the database counts in real time: a machine that is busy must not change what a
/// seed does. The gate keeps them in virtual time.
const NO_REAL_LIMITS: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
     SELECT set_config('idle_session_timeout', '0', false) \
     WHERE current_setting('server_version_num')::int >= 140000; ";
