//! The warm pool manager. See `pool_server` for how it is put together.

use std::process::ExitCode;

use clap::Parser;
use pool_domain::chain;
use pool_server::{Config, Flags, failpoints, serve, telemetry};

fn main() -> ExitCode {
    let flags = Flags::parse();
    let started = Config::resolve(&flags, |name| std::env::var(name).ok())
        .map_err(anyhow::Error::from)
        .and_then(|config| {
            telemetry::start(&config);
            failpoints::arm_from_environment()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(serve::until_told_to_stop(config))
        });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool-server: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}
