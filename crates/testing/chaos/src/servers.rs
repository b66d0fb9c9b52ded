//! The servers under test, each at a port of its own: started, killed, frozen, and started again.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use super::check::Harm;
use super::stage::{MAX_TOTAL, Stage, TARGET};
use super::trouble::BEHIND_MAX_MS;
use pool_harness::programs::Program;

/// Ticks come quickly, so that much happens.
const TICK_MS: u64 = 1_000;
/// Longer than listings are behind, the simulator's own 300 ms included.
const MISSING_GRACE_MS: u64 = BEHIND_MAX_MS + 1_000;
const PROVISION_TIMEOUT_MS: u64 = 4_000;
const LEASE_MS: u64 = 6_000;
const STUCK_MS: u64 = 15_000;

/// A claim takes 19 s at most, and what is left of a tick 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// All of them.
pub(super) struct Servers<'a> {
    stage: &'a Stage,
    servers: Vec<One>,
}

#[derive(Default)]
struct One {
    life: Option<Life>,
    /// How many lives it had.
    lives: u32,
    /// When it is to be started again, in milliseconds of the run.
    back_at_ms: u64,
}

struct Life {
    program: Program,
    /// Where it is to die.
    armed: Option<String>,
    thaws_at_ms: Option<u64>,
}

impl<'a> Servers<'a> {
    pub(super) fn none(stage: &'a Stage) -> Self {
        let servers = stage.ports.iter().map(|_| One::default()).collect();
        Self { stage, servers }
    }

    pub(super) fn count(&self) -> usize {
        self.servers.len()
    }

    /// Starts those whose time has come, thaws the frozen ones, and sees who died. `armed` says where
    /// a new life is to end.
    pub(super) fn tend(&mut self, mut armed: impl FnMut() -> Option<String>) -> Result<()> {
        let now = self.stage.now_ms();
        for nth in 0..self.servers.len() {
            self.bury(nth)?;
            let one = &mut self.servers[nth];
            match &mut one.life {
                None if one.back_at_ms <= now => self.start(nth, armed())?,
                Some(life) if life.thaws_at_ms.is_some_and(|at| at <= now) => {
                    life.thaws_at_ms = None;
                    life.program.signal(Signal::CONT);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Kills one, as the machine's end would.
    pub(super) fn kill(&mut self, nth: usize, away_ms: u64) {
        if let Some(life) = self.servers[nth].life.take() {
            life.program.kill();
            self.servers[nth].back_at_ms = self.stage.now_ms() + away_ms;
            self.stage.tally.add("kills", "SIGKILL");
        }
    }

    /// Tells one to stop, as a deployment does.
    pub(super) fn stop(&mut self, nth: usize) -> Result<()> {
        match self.servers[nth].life.take() {
            Some(life) if life.armed.is_none() && life.thaws_at_ms.is_none() => {
                self.stage.tally.add("kills", "SIGTERM");
                life.program.stop(STOP_LIMIT)
            }
            // One that is to die at a point might do so meanwhile.
            life => {
                self.servers[nth].life = life;
                Ok(())
            }
        }
    }

    /// Nothing of it runs for so long, and all its connections stand.
    pub(super) fn freeze(&mut self, nth: usize, ms: u64) {
        let thaws_at = self.stage.now_ms() + ms;
        if let Some(life) = &mut self.servers[nth].life
            && life.thaws_at_ms.is_none()
        {
            life.thaws_at_ms = Some(thaws_at);
            life.program.signal(Signal::STOP);
            self.stage.tally.add("kills", "SIGSTOP");
        }
    }

    /// Wakes the frozen ones.
    pub(super) fn thaw(&mut self) {
        for life in self.servers.iter_mut().filter_map(|it| it.life.as_mut()) {
            if life.thaws_at_ms.take().is_some() {
                life.program.signal(Signal::CONT);
            }
        }
    }

    /// All of them up, awake, and none to die.
    pub(super) fn calm(&mut self) -> Result<()> {
        for nth in 0..self.servers.len() {
            self.bury(nth)?;
            if let Some(life) = &mut self.servers[nth].life {
                life.program.signal(Signal::CONT);
                life.thaws_at_ms = None;
                if life.armed.is_none() {
                    continue;
                }
            }
            if let Some(life) = self.servers[nth].life.take() {
                life.program.kill();
            }
            self.start(nth, None)?;
        }
        Ok(())
    }

    pub(super) fn ensure_running(&mut self) -> Result<()> {
        for one in &mut self.servers {
            match &mut one.life {
                Some(life) => life.program.ensure_running()?,
                None => bail!("a server is not running"),
            }
        }
        Ok(())
    }

    /// Stops all of them; each has to go by itself.
    pub(super) fn end(self) -> Result<()> {
        for life in self.servers.into_iter().filter_map(|one| one.life) {
            life.program.stop(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Notes that one has ended, and whether it was to.
    fn bury(&mut self, nth: usize) -> Result<()> {
        let Some(life) = &mut self.servers[nth].life else {
            return Ok(());
        };
        let Some(status) = life.program.ended()? else {
            return Ok(());
        };
        match (&life.armed, status.signal()) {
            (Some(point), Some(9)) => self.stage.tally.add("kills", point.as_str()),
            _ => {
                if let Err(why) = life.program.fail(status) {
                    self.stage
                        .found(Harm::Answer, format!("a server went: {why}"));
                }
            }
        }
        self.servers[nth].life = None;
        self.servers[nth].back_at_ms = self.stage.now_ms();
        Ok(())
    }

    fn start(&mut self, nth: usize, armed: Option<String>) -> Result<()> {
        let one = &mut self.servers[nth];
        one.lives += 1;
        let name = format!("pool-server-{}-{}", nth + 1, one.lives);
        let settings = settings(self.stage, nth, armed.as_deref());
        let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let stage = self.stage;
        let program = Program::start(&name, &stage.server_binary, &[], &settings, &stage.dir)?;
        one.life = Some(Life {
            program,
            armed: armed.map(|point| point.split(':').next().unwrap_or_default().to_owned()),
            thaws_at_ms: None,
        });
        Ok(())
    }
}

fn settings(stage: &Stage, nth: usize, armed: Option<&str>) -> Vec<(&'static str, String)> {
    let railway = &stage.simulated;
    let mut settings = vec![
        ("DATABASE_URL", stage.database_url.clone()),
        ("PORT", stage.ports[nth].to_string()),
        ("POOL_API_KEY", stage.key.clone()),
        ("POOL_ENVIRONMENT", "chaos".to_owned()),
        ("POOL_MIN_IDLE", TARGET.to_string()),
        ("POOL_MAX_TOTAL", MAX_TOTAL.to_string()),
        ("TICK_INTERVAL_MS", TICK_MS.to_string()),
        ("POOL_MISSING_GRACE_MS", MISSING_GRACE_MS.to_string()),
        (
            "POOL_PROVISION_TIMEOUT_MS",
            PROVISION_TIMEOUT_MS.to_string(),
        ),
        ("POOL_CLAIM_LEASE_MS", LEASE_MS.to_string()),
        ("POOL_STUCK_TIMEOUT_MS", STUCK_MS.to_string()),
        ("POOL_IN_PROGRESS_TIMEOUT_MS", STUCK_MS.to_string()),
        ("POOL_AGENT_SCHEME", "http".to_owned()),
        ("RAILWAY_API_URL", railway.graphql_url.clone()),
        ("RAILWAY_API_TOKEN", railway.token.clone()),
        ("RAILWAY_PROJECT_ID", railway.project_id.clone()),
        ("RAILWAY_ENVIRONMENT_ID", railway.environment_id.clone()),
        ("OPENROUTER_API_URL", railway.openrouter_url.clone()),
        ("OPENROUTER_MANAGEMENT_KEY", railway.openrouter_key.clone()),
        ("AGENTMAIL_API_URL", railway.agentmail_url.clone()),
        ("AGENTMAIL_API_KEY", railway.agentmail_key.clone()),
    ];
    settings.extend(armed.map(|point| ("POOL_KILL_AT", point.to_owned())));
    settings
}
