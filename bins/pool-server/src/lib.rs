#![doc = include_str!("../README.md")]

mod config;
mod connections;
pub mod failpoints;
mod flags;
pub mod serve;
pub mod telemetry;
mod wiring;

pub use config::{BadSetting, Config, LogFormat};
pub use flags::Flags;

/// An error with its sources, on one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
