//! The program as a process of its own, whose log a test reads, or does not read.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::pool::{KEY, PATIENCE, Pool, program};

/// More than an answer takes on a busy machine, and much less than anything hangs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

pub(super) struct Process {
    child: Child,
    http: reqwest::Client,
    base: String,
    /// What it logs. Nobody reads it unless the test does.
    log: Option<Lines<BufReader<ChildStderr>>>,
}

impl Process {
    /// Runs it on this pool until it listens.
    pub(super) async fn start(pool: &Pool, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut child = Command::from(program(pool.database.url(), &pool.railway))
            .env("TICK_INTERVAL_MS", "500")
            .env("POOL_MISSING_GRACE_MS", "2000")
            .env("POOL_LOG_FORMAT", "json")
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let log = child.stderr.take().context("its log is a pipe")?;
        let mut process = Self {
            child,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(ANSWERS_WITHIN)
                .build()?,
            base: String::new(),
            log: Some(BufReader::new(log).lines()),
        };
        let line = process.until_logged("server.address").await?;
        let address = line["server.address"].as_str().unwrap_or_default();
        let (_, port) = address.rsplit_once(':').context("an address has a port")?;
        process.base = format!("http://127.0.0.1:{port}");
        Ok(process)
    }

    /// Reads its log until a line has this field.
    pub(super) async fn until_logged(&mut self, field: &str) -> anyhow::Result<Value> {
        let log = self.log.as_mut().context("its log is closed")?;
        let reading = async {
            while let Some(line) = log.next_line().await? {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if !line[field].is_null() {
                    return Ok(line);
                }
            }
            anyhow::bail!("the log ended without {field}")
        };
        timeout(PATIENCE, reading)
            .await
            .with_context(|| format!("{field} was not logged"))?
    }

    /// Reads its log to its end.
    pub(super) async fn rest_of_log(&mut self) -> anyhow::Result<Vec<Value>> {
        let log = self.log.as_mut().context("its log is closed")?;
        let reading = async {
            let mut lines = Vec::new();
            while let Some(line) = log.next_line().await? {
                lines.push(serde_json::from_str(&line).unwrap_or_default());
            }
            anyhow::Ok(lines)
        };
        timeout(PATIENCE, reading)
            .await
            .context("its log has no end")?
    }

    /// Nobody will ever read its log again.
    pub(super) fn close_log(&mut self) {
        self.log = None;
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<u16> {
        let asked = self.http.get(format!("{}{path}", self.base));
        Ok(asked.send().await?.status().as_u16())
    }

    /// Over a connection of its own.
    pub(super) async fn health_anew(&self) -> anyhow::Result<u16> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWERS_WITHIN);
        let asked = client.build()?.get(format!("{}/healthz", self.base));
        Ok(asked.send().await?.status().as_u16())
    }

    pub(super) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(super) async fn counts(&self) -> anyhow::Result<Value> {
        let asked = self.http.get(format!("{}/api/pool/counts", self.base));
        Ok(asked.send().await?.json().await?)
    }

    /// A claim, and what it was answered.
    pub(super) async fn claim(&self) -> anyhow::Result<(u16, Value)> {
        let body = json!({ "agentName": "Ada", "instructions": "x" });
        self.post("/api/pool/claim", &body).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base));
        let answer = request.bearer_auth(KEY).json(body).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Waits until so many have this status.
    pub(super) async fn until_count(&self, status: &str, count: u64) -> anyhow::Result<()> {
        let began = tokio::time::Instant::now();
        while self.counts().await?[status] != count {
            ensure!(
                began.elapsed() < PATIENCE,
                "never {count} {status}: {}",
                self.counts().await?
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Tells it to stop.
    pub(super) fn terminate(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, Signal::TERM)?)
    }

    pub(super) fn pid(&self) -> anyhow::Result<Pid> {
        let id = self.child.id().context("it has ended")?;
        Pid::from_raw(i32::try_from(id)?).context("a process has a number")
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.context("it does not end")??)
    }
}
