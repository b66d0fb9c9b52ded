//! The server from start to stop.
//!
//! Start: the port, the schema, the database, then the API; the reconciler as soon as Railway's
//! environment is known. Stop: no new claims, claims in flight finish, the tick ends, the API ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use pool_claims::Claims;
use pool_db::{Db, DbSettings, Room, commands, migrations, record};
use pool_domain::chain;
use pool_reconciler::{Driver, DriverSettings, Loops};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::Config;
use crate::connections::{self, Limits, raise_files};
use crate::wiring::{self, Parts, Surroundings};

/// How long the database may be away at the start before the server gives up, so that whoever
/// started it sees the reason.
const DATABASE_WAIT: Duration = Duration::from_secs(60);
const DATABASE_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Leases that ran out are ended so often by every server.
const EXPIRE_LEASES_EVERY: Duration = Duration::from_secs(5);
/// Claims wake the leader so often at most, however many there are.
const WAKE_LEADER_EVERY: Duration = Duration::from_secs(1);
/// On top of the longest claim: what else a stop may take.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// Open connections and the last tick end within this, after the claims.
const TASK_ENDS_WITHIN: Duration = Duration::from_secs(25);

/// Serves until SIGTERM or SIGINT, on a runtime of its own; a second signal ends it at once. Not an
/// `async fn`, since the compiler builds those where they are awaited: the whole server would be built
/// once more with each program that calls this.
///
/// # Errors
///
/// What [`listen`] and [`serve`] say.
pub fn until_told_to_stop(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(until_signalled(config))
}

async fn until_signalled(config: Config) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = listen(config.port).await?;
    let stop = CancellationToken::new();
    let serving = serve(config, listener, stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping: claims in flight finish first; a second signal ends it at once");
    stop.cancel();
    tokio::select! {
        biased;
        ended = &mut serving => {
            info!("stopped");
            ended
        }
        _ = term.recv() => bail!("stopped by a second signal; claims in flight were cut off"),
        _ = interrupt.recv() => bail!("stopped by a second signal; claims in flight were cut off"),
    }
}

/// Listens on every address, IPv6 and IPv4, or on IPv4 alone where there is no IPv6.
///
/// # Errors
///
/// Where the port is taken, or may not be listened on.
pub async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await;
    let bound = match bound {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await
        }
        bound => bound,
    };
    bound.with_context(|| format!("cannot listen on PORT {port}"))
}

/// Serves on this listener until `stop`.
///
/// # Errors
///
/// Where a client cannot be built from the settings, or the database is not there in time or
/// refuses us; nothing else ends it.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    serve_in(config, listener, Surroundings::default(), stop).await
}

/// The same, of a server that reaches the world in another way.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_in(
    config: Config,
    listener: TcpListener,
    surroundings: Surroundings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let db = prepare_database(&config, &surroundings, &stop).await?;
    let server = Server::start(config, db, surroundings, &stop)?;

    info!(server.address = %address, server.version = env!("CARGO_PKG_VERSION"), "listening");
    let limits = Limits::for_files(raise_files());
    let api = connections::serve(listener, server.app.clone(), limits, stop.clone());
    // Whichever ends by itself ends the others: clients are not served by half a server.
    let ends_all = stop.clone().drop_guard();
    let api = tokio::spawn(async move {
        let _ends_all = ends_all;
        api.await;
        anyhow::Ok(())
    });

    stop.cancelled().await;
    server.finish_claims().await;
    let api = ended("the API", api).await;
    server.ended().await.and(api)
}

/// Everything of a running server but its sockets: the API, and the loops that run beside it.
#[derive(Debug)]
pub struct Server {
    /// The router that answers every request.
    pub app: axum::Router,
    claims: Claims,
    claims_limit: Duration,
    keeper: JoinHandle<()>,
    refills: JoinHandle<()>,
    reconciler: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// Starts one on a database that has this build's schema. It runs until `stop`.
    ///
    /// # Errors
    ///
    /// When a setting cannot be used: a key that no header can hold, for example.
    pub fn start(
        config: Config,
        db: Db,
        surroundings: Surroundings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let parts = wiring::parts(&config, db, &surroundings)?;
        let wake = Arc::new(Notify::new());
        let loops = Arc::new(Loops::default());
        let (told, hindered) = (Arc::clone(&loops), Arc::clone(&loops));
        let app = pool_api::router(pool_api::App {
            db: parts.db.clone(),
            claims: parts.claims.clone(),
            key: config.pool_api_key.clone(),
            environment: config.environment.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tick_interval: config.policy.tick_interval,
            wake: Arc::clone(&wake),
            loops: pool_api::LiveLoops::new(move || told.report(), move || hindered.hindrance()),
        });
        Ok(Self {
            app,
            claims: parts.claims.clone(),
            claims_limit: config.policy.provision_timeout + STOP_MARGIN * 4,
            keeper: keep_claims(&parts, &surroundings, stop),
            refills: refill(&parts, &surroundings, &wake, &loops, stop),
            reconciler: reconcile(config, surroundings, parts, wake, loops, stop.clone()),
        })
    }

    /// Takes no more claims, and waits for those in flight.
    async fn finish_claims(&self) {
        let cut_off = self.claims.drain(self.claims_limit).await;
        if cut_off > 0 {
            warn!(
                claims.in_flight = cut_off,
                "claims did not finish in time; their leases will expire"
            );
        }
    }

    /// Waits a while for the loops, which were told to stop.
    async fn ended(self) -> anyhow::Result<()> {
        let reconciled = ended("the reconciler", self.reconciler).await;
        self.keeper.abort();
        self.refills.abort();
        reconciled
    }
}

/// Waits a while for a task that was told to stop.
async fn ended(what: &str, mut task: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    match timeout(TASK_ENDS_WITHIN, &mut task).await {
        Ok(ended) => ended?,
        Err(_elapsed) => {
            task.abort();
            warn!(
                "{what} did not stop in time and was cut off; the next leader goes on from there"
            );
            Ok(())
        }
    }
}

/// Brings the schema up and connects, waiting a while for a database that is not there, or goes in
/// the middle of this.
async fn prepare_database(
    config: &Config,
    surroundings: &Surroundings,
    stop: &CancellationToken,
) -> anyhow::Result<Db> {
    let settings = wiring::database(config, surroundings);
    let mut last_reason = None;
    let prepared = async {
        loop {
            match migrate_and_connect(&settings).await {
                Ok(db) => break Ok(db),
                Err(error) if error.is_unavailable() => {
                    let reason = chain(&error);
                    warn!(error = %reason, "the database is not available yet");
                    last_reason = Some(reason);
                }
                Err(error) => break Err(error),
            }
            sleep(DATABASE_RETRY_AFTER).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => bail!("stopped before the database was available"),
        prepared = timeout(DATABASE_WAIT, prepared) => {
            let waited = DATABASE_WAIT.as_secs();
            match prepared {
                Ok(prepared) => prepared.context("the schema cannot be brought up to date"),
                Err(_elapsed) => bail!(
                    "no database at DATABASE_URL within {waited} s: {}",
                    last_reason.as_deref().unwrap_or("it did not answer")
                ),
            }
        }
    }
}

async fn migrate_and_connect(settings: &DbSettings) -> Result<Db, pool_db::Error> {
    migrations::run(settings.url.expose()).await?;
    let db = Db::connect(settings).await?;
    if record::is_blind(&db).await? {
        warn!(
            "this role may not call pg_current_wal_lsn() and pg_walfile_name(), so the database does not tell \
             that a standby was promoted: grant it EXECUTE on both, or run `pool-migrate after-restore` \
             after each failover that may have lost commits"
        );
    }
    let room = Room::of(&db).await?;
    if room.for_servers(settings) == 0 {
        warn!(
            "the database has no room for a second server, nor for the next deployment of this one: \
             {room}, and each server takes {}; raise max_connections or run fewer servers, or claims \
             will wait for connections",
            settings.connections(),
        );
    }
    Ok(db)
}

/// Ends leases that ran out, and looks for agents that answer.
fn keep_claims(
    parts: &Parts,
    surroundings: &Surroundings,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (claims, surroundings, stop) = (parts.claims.clone(), surroundings.clone(), stop.clone());
    tokio::spawn(async move {
        let keeping = async {
            tokio::join!(
                claims.expire_leases_every(EXPIRE_LEASES_EVERY),
                claims.keep_looking_for_agents(),
            );
        };
        tokio::select! {
            biased;
            () = surroundings.suspended(keeping) => {}
            () = stop.cancelled() => {}
        }
    })
}

/// Has the leader make up for what claims take from the stock, at once and at most once a second:
/// this server's own loops where it leads, else whichever server does.
fn refill(
    parts: &Parts,
    surroundings: &Surroundings,
    wake: &Arc<Notify>,
    loops: &Arc<Loops>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (db, taken) = (parts.db.clone(), parts.claims.taken());
    let (wake, loops, stop) = (Arc::clone(wake), Arc::clone(loops), stop.clone());
    let surroundings = surroundings.clone();
    let waking = async move {
        loop {
            taken.notified().await;
            if loops.is_leading() {
                wake.notify_one();
            } else if let Err(error) = commands::wake(&db).await {
                debug!(error = %chain(&error), "cannot wake the leader; its next round will see it");
            }
            sleep(WAKE_LEADER_EVERY).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = surroundings.suspended(waking) => {}
            () = stop.cancelled() => {}
        }
    })
}

/// Resolves the environment, then leads wherever this server may. Clients are served meanwhile.
fn reconcile(
    config: Config,
    surroundings: Surroundings,
    parts: Parts,
    wake: Arc<Notify>,
    loops: Arc<Loops>,
    stop: CancellationToken,
) -> JoinHandle<anyhow::Result<()>> {
    let ends_all = stop.clone().drop_guard();
    tokio::spawn(async move {
        let _ends_all = ends_all;
        let railway = wiring::railway(&config, &surroundings)?;
        let environment = tokio::select! {
            biased;
            environment = wiring::environment(&config, &railway, &parts.db, &loops) => environment,
            () = stop.cancelled() => return Ok(()),
        };
        info!(railway.environment = %environment, "reconciling this environment");
        let context = wiring::context(&config, &surroundings, &parts, &railway, environment)?;
        let context = Arc::new(context);
        let settings = DriverSettings {
            database: wiring::database(&config, &surroundings),
            holder: surroundings.holder.clone(),
            keep_events: config.event_retention,
        };
        let driver = Driver::new(context, settings, wake, loops);
        Box::pin(surroundings.suspended(driver.run(stop))).await;
        Ok(())
    })
}
