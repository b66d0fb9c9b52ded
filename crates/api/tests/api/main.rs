//! The contract, call by call, against a real Postgres.

mod bad_requests;
mod budget;
mod claiming;
mod crowds;
mod freshness;
mod fuse;
mod leader;
mod page;
mod people;
mod repeating;
mod shapes;
mod stage;
mod surroundings;
