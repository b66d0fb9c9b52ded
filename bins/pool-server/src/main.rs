//! The warm pool manager. See `pool_server` for how it is put together.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use pool_domain::chain;
use pool_server::{Config, Flags, Log, failpoints, serve, telemetry};

fn main() -> ExitCode {
    let flags = Flags::parse();
    let Ok(log) = Log::to(io::stderr()) else {
        return ExitCode::FAILURE;
    };
    let ended = Config::resolve(&flags, |name| std::env::var(name).ok())
        .map_err(anyhow::Error::from)
        .and_then(|config| {
            telemetry::start(&config, log.clone());
            failpoints::arm_from_environment()?;
            serve::until_told_to_stop(config)
        });
    if let Err(error) = &ended {
        log.say(&format!("pool-server: {}\n", chain(&**error)));
    }
    log.flush();
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
