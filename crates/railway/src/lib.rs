#![doc = include_str!("../README.md")]

mod error;
mod listing;
mod railway;

pub use error::{Error, ErrorClass};
pub use railway::{
    Budget, Environment, EnvironmentClient, EnvironmentRef, Railway, ServicePatch, Settings, Token,
};
