//! Logs: as lines for people or as JSON. A panic is a line too.

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal};
use std::panic;

use tracing_subscriber::EnvFilter;

use crate::log::Log;
use crate::{Config, LogFormat};

/// Starts logging, to this log. A second call changes nothing.
pub fn start(config: &Config, log: Log) {
    let filter = EnvFilter::new(&config.log_filter);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log);
    let started = match config.log_format {
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    // Standard error may block, and what is no line of the log may go unread.
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        tracing::error!(%panic, %backtrace, "a task of this server panicked");
    }));
}
