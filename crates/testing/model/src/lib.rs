#![doc = include_str!("../README.md")]

pub mod action;
mod claiming;
pub mod explore;
mod leading;
pub mod protocol;
pub mod rules;
pub mod state;
pub mod world;
