//! A server of the pool: the program that ships, with the simulation around it in place of the
//! network, and a life after each death.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::poll_fn;
use pool_db::{Db, DbSettings};
use pool_domain::SeededEntropy;
use pool_http_client::Transport;
use pool_server::serve::Server;
use pool_server::{Config, Flags, Surroundings};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::life::Life;
use crate::node::Node;
use crate::pool::{API_KEY, PREFIX};
use crate::postgres::{Route, dialer};
use crate::stage::Stage;
use crate::trace::Kind;
use crate::wire::Wire;

/// A supervisor starts a killed server again after this.
const RESTARTED_AFTER: Duration = Duration::from_secs(3);

/// A server that could not start tries again after this, as the one that ships does.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs a server for ever: each time it is killed, another life begins.
pub(crate) async fn run(stage: Arc<Stage>, number: usize) {
    loop {
        let mut begun = None;
        stage.begin_life(number, |seed| {
            let scenario = &stage.scenario;
            let node = Node::new(
                number,
                seed,
                Arc::clone(&stage.clock),
                Arc::clone(&stage.trace),
                if stage.is_healed() {
                    0.0
                } else {
                    scenario.rates.cuts
                },
                scenario.statement_takes_max,
            );
            let life = Life {
                node,
                app: Arc::default(),
            };
            begun = Some((life.clone(), seed));
            life
        });
        let Some((life, seed)) = begun else { return };
        stage.tell(Kind::Outside, || format!("server {} starts", number + 1));
        live(&stage, &life, seed).await;
        stage.end_life(number);
        sleep(RESTARTED_AFTER).await;
    }
}

/// Until it is killed.
async fn live(stage: &Arc<Stage>, life: &Life, seed: u64) {
    let killed = life.node.killed.clone();
    let stop = CancellationToken::new();
    let living = async {
        loop {
            match start(stage, life, seed, &stop).await {
                Ok(server) => {
                    *life.app.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(server.app.clone());
                    // It ends by itself only when something is badly wrong.
                    stop.cancelled().await;
                    stage
                        .trace
                        .violated("server-runs", "a server ended by itself");
                }
                Err(error) => {
                    stage.tell(Kind::Log, || {
                        format!("{}: cannot start: {error:#}", life.node.number + 1)
                    });
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    };
    let mut living = std::pin::pin!(living);
    let frozen_or_not = poll_fn(|cx| {
        std::task::ready!(life.node.poll_alive(cx));
        living.as_mut().poll(cx)
    });
    tokio::select! {
        biased;
        () = killed.cancelled() => {}
        () = frozen_or_not => {}
    }
}

async fn start(
    stage: &Arc<Stage>,
    life: &Life,
    seed: u64,
    stop: &CancellationToken,
) -> anyhow::Result<Server> {
    let config = config(stage)?;
    let surroundings = Surroundings {
        dialer: Some(dialer(Route {
            nowhere: stage.nowhere,
            gate: Arc::clone(&stage.gate),
            node: Arc::clone(&life.node),
        })),
        transport: Transport::in_process(Wire {
            service: stage.service.clone(),
            node: Arc::clone(&life.node),
            oracle: Arc::clone(&stage.oracle),
            trace: Arc::clone(&stage.trace),
        }),
        entropy: Arc::new(SeededEntropy::new(seed)),
        holder: format!("server {}", life.node.number + 1),
        suspend: Some(Arc::clone(&life.node) as _),
    };
    let settings = DbSettings {
        pool_size: POOL_SIZE,
        leader_pool_size: POOL_SIZE,
        claim_pool_size: CLAIM_POOL_SIZE,
        dialer: surroundings.dialer.clone(),
        ..DbSettings::new(config.database_url.clone())
    };
    let db = Db::connect(&settings).await?;
    Server::start(config, db, surroundings, stop)
}

/// Fewer than the program's: transactions take turns here, and each connection costs a process.
const POOL_SIZE: usize = 3;
const CLAIM_POOL_SIZE: usize = 2;

/// The settings, resolved as the program does.
fn config(stage: &Stage) -> anyhow::Result<Config> {
    let scenario = &stage.scenario;
    let simulator = &stage.simulator;
    let millis = |duration: Duration| Some(duration.as_millis().to_string());
    let flags = Flags {
        pool_environment: Some("simulated".to_owned()),
        pool_service_prefix: Some(PREFIX.to_owned()),
        pool_agent_scheme: Some("http".to_owned()),
        pool_min_idle: Some(scenario.target.to_string()),
        pool_max_total: Some(scenario.cap.to_string()),
        tick_interval_ms: millis(scenario.tick_interval),
        pool_stuck_timeout_ms: millis(scenario.stuck_timeout),
        pool_in_progress_timeout_ms: millis(scenario.stuck_timeout),
        pool_volume_mount_path: (!scenario.has_volume).then(|| "none".to_owned()),
        railway_api_url: Some(simulator.graphql_url()),
        railway_project_id: Some(simulator.project_id().to_string()),
        railway_environment_id: Some(simulator.environment_id().to_string()),
        openrouter_api_url: Some(simulator.openrouter_url()),
        agentmail_api_url: Some(simulator.agentmail_url()),
        ..Flags::default()
    };
    Config::resolve(&flags, |name| match name {
        "DATABASE_URL" => Some(stage.database_url.clone()),
        "POOL_API_KEY" => Some(API_KEY.to_owned()),
        "RAILWAY_API_TOKEN" => Some(simulator.token()),
        "OPENROUTER_MANAGEMENT_KEY" if scenario.has_openrouter => Some(simulator.openrouter_key()),
        "AGENTMAIL_API_KEY" if scenario.has_agentmail => Some(simulator.agentmail_key()),
        _ => None,
    })
    .context("the simulation's settings are as the program wants them")
}
