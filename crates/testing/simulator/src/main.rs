//! The `pool-simulator` binary: serves the modelled Railway until it is told to stop. It prints one
//! line of JSON on stdout once it is ready, and logs to stderr.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use pool_simulator::faults::Chaos;
use pool_simulator::world::{LimitBody, ResetFormat};
use pool_simulator::{Options, RateLimits, Settings, Simulator};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A modelled Railway with the agents that run on it.
#[derive(Debug, Parser)]
#[command(name = "pool-simulator", version)]
struct Arguments {
    /// Where GraphQL and the control API listen; loopback only, port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What randomness starts from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The shortest time that a deployment takes, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    deploy_ms_min: u64,
    /// The longest.
    #[arg(long, default_value_t = 5_000)]
    deploy_ms_max: u64,
    /// How long an agent boots after its deployment succeeded, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    boot_ms: u64,
    /// For how long new services and volumes are missing from listings, in milliseconds.
    #[arg(long, default_value_t = 0)]
    read_lag_ms: u64,
    /// For how long deleted services still stand in listings, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delete_lag_ms: u64,
    /// How many agents may have a port at once; as many as the limit of open files allows if left
    /// out.
    #[arg(long)]
    agents_max: Option<usize>,
    /// How many volumes a project may have; no limit if left out.
    #[arg(long)]
    volumes_per_project: Option<usize>,
    /// How many services a project may have; no limit if left out.
    #[arg(long)]
    services_per_project: Option<usize>,
    /// How long after one volume was created the next is too quick, in milliseconds.
    #[arg(long, default_value_t = 0)]
    volume_cooldown_ms: u64,
    /// How far the clock is ahead of the machine's, in milliseconds; behind it when negative.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_skew_ms: i64,
    /// Requests an hour; 0 is no limit, and no headers.
    #[arg(long, default_value_t = 10_000)]
    requests_per_hour: u32,
    /// Requests a second; 0 is no limit.
    #[arg(long, default_value_t = 50)]
    requests_per_second: u32,
    /// How X-RateLimit-Reset tells the time.
    #[arg(long, value_enum, default_value = "seconds")]
    rate_reset: ResetFormat,
    /// What the body of Railway's own 429 is.
    #[arg(long, value_enum, default_value = "json")]
    rate_body: LimitBody,
    /// How likely a request meets a random fault, 0 to 1.
    #[arg(long)]
    chaos: Option<f64>,
}

impl Arguments {
    fn options(&self) -> Options {
        let limit = |count: u32| (count > 0).then_some(count);
        Options {
            listen: self.listen,
            seed: self.seed,
            settings: Settings {
                deploy_min: Duration::from_millis(self.deploy_ms_min),
                deploy_max: Duration::from_millis(self.deploy_ms_max),
                boot: Duration::from_millis(self.boot_ms),
                read_lag: Duration::from_millis(self.read_lag_ms),
                delete_lag: Duration::from_millis(self.delete_lag_ms),
                volumes_per_project: self.volumes_per_project,
                services_per_project: self.services_per_project,
                volume_cooldown: Duration::from_millis(self.volume_cooldown_ms),
                limits: RateLimits {
                    per_hour: limit(self.requests_per_hour),
                    per_second: limit(self.requests_per_second),
                    reset: self.rate_reset,
                    body: self.rate_body,
                },
                ..Settings::default()
            },
            agents_max: self.agents_max,
            clock_skew_ms: self.clock_skew_ms,
            chaos: self.chaos.map(|probability| Chaos { probability }),
            ..Options::default()
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let simulator = Simulator::start(arguments.options())
        .await
        .context("cannot start the simulator")?;
    println!("{}", announcement(&simulator));
    tracing::info!(
        simulator.url = simulator.graphql_url(),
        "the simulator is ready"
    );
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    tracing::info!("the simulator stops");
    Ok(())
}

fn announcement(simulator: &Simulator) -> serde_json::Value {
    json!({
        "graphqlUrl": simulator.graphql_url(),
        "controlUrl": simulator.control_url(),
        "projectId": simulator.project_id(),
        "environmentId": simulator.environment_id(),
        "environmentName": simulator.environment_name(),
        "token": simulator.token(),
        "projectToken": simulator.project_token(),
        "openrouterUrl": simulator.openrouter_url(),
        "openrouterKey": simulator.openrouter_key(),
        "agentmailUrl": simulator.agentmail_url(),
        "agentmailKey": simulator.agentmail_key(),
    })
}
