//! Everything that a demo runs: PostgreSQL, the simulated Railway with its agents, the migrations
//! and the server.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use local_postgres::Options;

use super::pool::{Pool, World};
use pool_harness::checkout::Metadata;
use pool_harness::database::{self, Database};
use pool_harness::postgresql;
use pool_harness::programs::{Program, Simulated, Slot, free_port, new_key};
use pool_harness::stopwatch::{Look, wait_until};

/// The server's own default, which a person knows by heart; any free one when it is taken.
const USUAL_PORT: u16 = 3001;

const PORT_TRIES: u32 = 3;

/// Each of them is up within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The server finishes the claims in flight, which take as long as their agents.
const SERVER_STOP_LIMIT: Duration = Duration::from_secs(20);
const SIMULATOR_STOP_LIMIT: Duration = Duration::from_secs(5);

/// Room above the stock for what a person claims.
const CLAIMED_MAX: u16 = 50;

/// How quickly things happen.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// For a check that nobody watches.
    Quick,
    /// For a person, who wants to see a claim's replacement come.
    Visible,
}

impl Pace {
    const fn tick_interval_ms(self) -> &'static str {
        match self {
            Self::Quick => "500",
            Self::Visible => "2000",
        }
    }

    /// How the simulated Railway behaves. Left alone, it takes some seconds for a deployment.
    const fn simulator(self) -> &'static [&'static str] {
        const LISTEN: &str = "--listen=127.0.0.1:0";
        match self {
            Self::Quick => &[
                LISTEN,
                "--deploy-ms-min=300",
                "--deploy-ms-max=1500",
                "--boot-ms=300",
                "--read-lag-ms=200",
            ],
            Self::Visible => &[LISTEN],
        }
    }

    /// Longer than what the simulated Railway's listings lag behind.
    const fn missing_grace_ms(self) -> &'static str {
        match self {
            Self::Quick => "1000",
            Self::Visible => "5000",
        }
    }
}

/// All of it, running. Dropping it ends it, the server first.
pub(super) struct Stack {
    server: Program,
    simulator: Program,
    database: Database,
    pool: Pool,
    world: World,
}

impl Stack {
    pub(super) fn start(slot: &Slot, idle: u16, pace: Pace) -> Result<Self> {
        let metadata = Metadata::read()?;
        let database = start_database(slot)?;
        let (simulator, simulated) =
            Simulated::start(&metadata, pace.simulator(), slot, START_LIMIT)?;
        let migrate = ("DATABASE_URL", database.url());
        let binary = metadata.binary("pool-migrate");
        Program::start("pool-migrate", &binary, &["up"], &[migrate], slot.dir())?
            .succeed(START_LIMIT)?;

        let binary = metadata.binary("pool-server");
        let settings = Settings {
            idle,
            pace,
            key: new_key()?,
            database: database.url(),
        };
        let (server, pool) = start_server(&binary, &settings, &simulated, slot)?;
        let world = World::new(simulated.control_url);
        Ok(Self {
            server,
            simulator,
            database,
            pool,
            world,
        })
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// An error when one of the programs ended by itself.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        self.server.ensure_running()?;
        self.simulator.ensure_running()
    }

    /// Ends the server first, so that it finds its database and Railway to the last.
    pub(super) fn stop(self) -> Result<()> {
        let server = self.server.stop(SERVER_STOP_LIMIT);
        let simulator = self.simulator.stop(SIMULATOR_STOP_LIMIT);
        let database = self.database.end();
        server.and(simulator).and(database)
    }

    /// What a person needs to try it.
    pub(super) fn introduction(&self, slot: &Slot) -> String {
        let (url, key) = (self.pool.url(), self.pool.key());
        format!(
            "
The pool is filling. Ctrl-C stops everything and leaves nothing.

  page      {url}/
  key       {key}
  claim     curl -sS {url}/api/pool/claim -H 'Authorization: Bearer {key}' \\
              -H 'Content-Type: application/json' \\
              -d '{{\"agentName\": \"Ada\", \"instructions\": \"Answer in one sentence.\"}}'
  counts    curl -sS {url}/api/pool/counts
  Railway   {}/world (simulated)
  database  {}
  logs      {}
",
            self.world.url(),
            self.database.url(),
            slot.dir().display(),
        )
    }
}

fn start_database(slot: &Slot) -> Result<Database> {
    let name = format!("pool_demo_{}", std::process::id());
    if database::given_url().is_some() {
        slot.note_database(&name)?;
    }
    Database::fresh(&name, || {
        Ok(Options::in_dir(postgresql::programs()?, slot.postgres()))
    })
}

/// What the server is told.
struct Settings<'a> {
    idle: u16,
    pace: Pace,
    key: String,
    database: &'a str,
}

/// Starts the server on the usual port or else on a free one. Between our look and the server's
/// start somebody else may take the port; then another one is tried.
fn start_server(
    binary: &Path,
    settings: &Settings<'_>,
    simulated: &Simulated,
    slot: &Slot,
) -> Result<(Program, Pool)> {
    let mut tries = 1;
    let mut port = free_port(USUAL_PORT).or_else(|_| free_port(0))?;
    loop {
        let mut server = start_server_at(port, binary, settings, simulated, slot)?;
        let pool = Pool::new(format!("http://127.0.0.1:{port}"), settings.key.clone());
        match await_up(&mut server, &pool) {
            Ok(()) => return Ok((server, pool)),
            Err(error) => {
                drop(server);
                if tries == PORT_TRIES || free_port(port).is_ok() {
                    return Err(error);
                }
                tries += 1;
                port = free_port(0)?;
            }
        }
    }
}

fn start_server_at(
    port: u16,
    binary: &Path,
    settings: &Settings<'_>,
    simulated: &Simulated,
    slot: &Slot,
) -> Result<Program> {
    let (idle, max_total) = (
        settings.idle.to_string(),
        (settings.idle + CLAIMED_MAX).to_string(),
    );
    let environment = [
        ("DATABASE_URL", settings.database),
        ("PORT", &port.to_string()),
        ("POOL_API_KEY", &settings.key),
        ("POOL_ENVIRONMENT", "demo"),
        ("POOL_MIN_IDLE", &idle),
        ("POOL_MAX_TOTAL", &max_total),
        ("TICK_INTERVAL_MS", settings.pace.tick_interval_ms()),
        ("POOL_MISSING_GRACE_MS", settings.pace.missing_grace_ms()),
        ("POOL_AGENT_SCHEME", "http"),
        ("RAILWAY_API_URL", &simulated.graphql_url),
        ("RAILWAY_API_TOKEN", &simulated.token),
        ("RAILWAY_PROJECT_ID", &simulated.project_id),
        ("RAILWAY_ENVIRONMENT_ID", &simulated.environment_id),
    ];
    Program::start("pool-server", binary, &[], &environment, slot.dir())
}

fn await_up(server: &mut Program, pool: &Pool) -> Result<()> {
    wait_until(START_LIMIT, "the server answering", || {
        server.ensure_running()?;
        let up = pool.is_up();
        Ok(if up {
            Look::Found(())
        } else {
            Look::NotYet("it did not answer".to_owned())
        })
    })
}
