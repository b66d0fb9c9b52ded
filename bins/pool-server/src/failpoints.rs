//! Lets a test kill this process at a named point, as `kill -9` would, or have the step there fail.
//! Only in builds with the feature `failpoints`; in any other the points are not there, and asking
//! for one is refused.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail, ensure};
use rustix::process::{Signal, getpid, kill_process};

/// `name`, or `name:n` for the n-th time that the point is reached.
const KILL_VARIABLE: &str = "POOL_KILL_AT";
/// The name of a point at which a step may fail: the first time that it is reached, it does.
const FAIL_VARIABLE: &str = "POOL_FAIL_AT";

/// Arms the points that the environment names, where it names any.
///
/// # Errors
///
/// Where a variable is set that this build, without failpoints, cannot heed, or is no number.
pub fn arm_from_environment() -> anyhow::Result<()> {
    if let Some(wanted) = named_by(KILL_VARIABLE)? {
        arm_killing(&wanted)?;
    }
    if let Some(name) = named_by(FAIL_VARIABLE)? {
        let armed = pool_failpoints::arm_failing(&name);
        armed.or_else(|why| bail!("{FAIL_VARIABLE}: {why}"))?;
    }
    Ok(())
}

fn named_by(variable: &str) -> anyhow::Result<Option<String>> {
    let wanted = std::env::var(variable).ok().filter(|it| !it.is_empty());
    ensure!(
        wanted.is_none() || pool_failpoints::COMPILED,
        "{variable} is set, and this build has no failpoints"
    );
    Ok(wanted)
}

fn arm_killing(wanted: &str) -> anyhow::Result<()> {
    let (name, nth) = match wanted.split_once(':') {
        Some((name, nth)) => {
            let nth: u32 = nth
                .parse()
                .with_context(|| format!("{KILL_VARIABLE}: {nth} is no number"))?;
            (name, nth.max(1))
        }
        None => (wanted, 1),
    };
    let reached = AtomicU32::new(0);
    let armed = pool_failpoints::arm_calling(name, move || {
        if reached.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            die();
        }
    });
    armed.or_else(|why| bail!("{KILL_VARIABLE}: {why}"))
}

fn die() {
    tracing::warn!("killed at a failpoint");
    if let Err(error) = kill_process(getpid(), Signal::KILL) {
        tracing::error!(%error, "cannot kill this process");
    }
}
