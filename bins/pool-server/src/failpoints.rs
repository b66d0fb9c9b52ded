//! Lets a test kill this process at a named point, as `kill -9` would. Only in builds with the
//! feature `failpoints`; in any other the points are not there, and asking for one is refused.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail, ensure};
use rustix::process::{Signal, getpid, kill_process};

/// `name`, or `name:n` for the n-th time that the point is reached.
const VARIABLE: &str = "POOL_KILL_AT";

/// Arms the point that the environment names, where it names one.
pub fn arm_from_environment() -> anyhow::Result<()> {
    let Some(wanted) = std::env::var(VARIABLE).ok().filter(|it| !it.is_empty()) else {
        return Ok(());
    };
    ensure!(
        fail::has_failpoints(),
        "{VARIABLE} is set, and this build has no failpoints"
    );
    let (name, nth) = match wanted.split_once(':') {
        Some((name, nth)) => {
            let nth: u32 = nth
                .parse()
                .with_context(|| format!("{VARIABLE}: {nth} is no number"))?;
            (name.to_owned(), nth.max(1))
        }
        None => (wanted, 1),
    };
    let reached = AtomicU32::new(0);
    let armed = fail::cfg_callback(name, move || {
        if reached.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            die();
        }
    });
    armed.or_else(|why| bail!("{VARIABLE}: {why}"))
}

fn die() {
    tracing::warn!("killed at a failpoint");
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        tracing::error!(%error, "cannot kill this process");
    }
}
