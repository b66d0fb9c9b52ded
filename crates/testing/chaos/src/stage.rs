//! What all the threads of a run share: where everybody is, and what was seen so far.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_postgres::{Options, Server};
use serde_json::json;

use super::check::{Harm, Violation};
use super::history::Ask;
use super::http::{Http, Reply};
use super::tally::Tally;
use pool_harness::checkout::Metadata;
use pool_harness::programs::{Program, Simulated, Slot, new_key};
use pool_harness::stopwatch::Stopwatch;
use pool_harness::{database, interrupt, postgresql};

/// Agents that are kept idle: enough that several callers meet.
pub(super) const TARGET: usize = 6;

/// Agents that run before the first server does.
const ADOPTED: usize = 20;

/// What the name of everything outside begins with.
pub(super) const PREFIX: &str = "convos-agent-";

/// Room for what callers hold and for what waits for its end.
pub(super) const MAX_TOTAL: usize = 60;

/// Everything is up within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The servers hold about 30 connections each.
const CONNECTIONS_MAX: u16 = 200;

/// How soon a thread notices that the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const DATABASE: &str = "pool_chaos";

/// A Railway where things happen quickly, and whose budget is no concern here.
const SIMULATOR: &[&str] = &[
    "--listen=127.0.0.1:0",
    "--deploy-ms-min=200",
    "--deploy-ms-max=1000",
    "--boot-ms=200",
    "--read-lag-ms=300",
    "--delete-lag-ms=300",
    "--requests-per-hour=1000000",
    "--requests-per-second=500",
];

/// What all the threads share.
pub(super) struct Stage {
    pub(super) watch: Stopwatch,
    pub(super) key: String,
    pub(super) dir: PathBuf,
    pub(super) server_binary: PathBuf,
    pub(super) postgres: Mutex<Server>,
    pub(super) database_url: String,
    pub(super) simulated: Simulated,
    pub(super) ports: Vec<u16>,
    pub(super) tally: Tally,
    pub(super) asks: Mutex<Vec<Ask>>,
    /// Which instances people asked to be destroyed.
    pub(super) unwanted: Mutex<BTreeSet<String>>,
    /// What was seen to be wrong on the way.
    pub(super) wrong: Mutex<Vec<Violation>>,
    over: AtomicBool,
    simulator: Mutex<Program>,
}

/// The value, also when a thread that had it has died: that death is an error of the run already.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub(super) fn set(slot: &Slot, ports: Vec<u16>, seed: u64) -> Result<Self> {
        let metadata = Metadata::read()?;
        // What is committed has to survive the blows; a crash of the machine is none of them.
        let options = Options::in_dir(postgresql::programs()?, slot.postgres())
            .max_connections(CONNECTIONS_MAX)
            .setting("synchronous_commit", "on");
        let postgres = Server::start(&options)?;
        database::sql(
            &postgres.url("postgres"),
            &format!("CREATE DATABASE {DATABASE}"),
        )?;
        let seed = format!("--seed={seed}");
        let arguments: Vec<&str> = SIMULATOR.iter().copied().chain([seed.as_str()]).collect();
        // A copy: whoever builds meanwhile must not change what is under test.
        let server_binary = slot.dir().join("pool-server");
        fs::copy(metadata.binary("pool-server"), &server_binary)?;
        let (simulator, simulated) = Simulated::start(&metadata, &arguments, slot, START_LIMIT)?;
        Ok(Self {
            watch: Stopwatch::start(),
            key: new_key()?,
            dir: slot.dir().to_path_buf(),
            server_binary,
            database_url: postgres.url(DATABASE),
            postgres: Mutex::new(postgres),
            simulated,
            ports,
            tally: Tally::default(),
            asks: Mutex::default(),
            unwanted: Mutex::default(),
            wrong: Mutex::default(),
            over: AtomicBool::new(false),
            simulator: Mutex::new(simulator),
        })
    }

    /// Agents that run already, and that the servers have to adopt: from the first second there is
    /// something to claim.
    pub(super) fn seed(&self) -> Result<()> {
        let url = format!("{}/services", self.simulated.control_url);
        let services = json!({
            "count": ADOPTED,
            "prefix": PREFIX,
            "idLength": 12,
            "variables": { "POOL_API_KEY": self.key },
            "image": "runtime:1",
            "mountPath": "/data",
        });
        let reply = Http::new("").post(&url, &services);
        let is_done = reply.is_ok_and(|reply| reply.status == 200);
        ensure!(is_done, "the simulator did not make {ADOPTED} services");
        Ok(())
    }

    /// From now on nothing more is begun.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || interrupt::signal().is_some()
    }

    /// Sleeps, but not beyond the end. False when the run is over.
    pub(super) fn pause(&self, ms: u64) -> bool {
        let until = self.watch.elapsed() + Duration::from_millis(ms);
        while !self.is_over() {
            let left = until.saturating_sub(self.watch.elapsed());
            if left.is_zero() {
                return true;
            }
            sleep(LOOK_EVERY.min(left));
        }
        false
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The address of a server.
    pub(super) fn url(&self, server: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[server])
    }

    pub(super) fn found(&self, harm: Harm, sentence: impl Into<String>) {
        lock(&self.wrong).push(Violation::new(harm, sentence));
    }

    /// Notes an answer that the API does not promise to somebody whose request is in order.
    pub(super) fn judge(&self, call: &str, reply: &Reply) {
        let fine = match reply.status {
            200 | 404 => true,
            409 | 503 => reply.has_retry_after,
            _ => false,
        };
        if !fine {
            let Reply { status, body, .. } = reply;
            self.found(
                Harm::Answer,
                format!("{call} was answered {status}: {body}"),
            );
        }
    }

    /// Ends the simulator and PostgreSQL.
    pub(super) fn strike(self) -> Result<()> {
        let simulator = self.simulator.into_inner();
        let simulator = simulator.unwrap_or_else(PoisonError::into_inner);
        let stopped = simulator.stop(START_LIMIT);
        let postgres = self.postgres.into_inner();
        let ended = postgres.unwrap_or_else(PoisonError::into_inner).stop();
        stopped.and(ended.map_err(Into::into))
    }
}
