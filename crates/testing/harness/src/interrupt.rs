//! Ctrl-C and SIGTERM: they are noted, and whoever is at work ends what was started and returns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// The last signal, or 0.
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on a signal no longer ends this process at once.
pub fn listen() -> Result<()> {
    let noted = SIGNAL.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).context("a signal has a negative number")?;
        flag::register_usize(signal, Arc::clone(noted), number)
            .with_context(|| format!("signal {signal} could not be listened for"))?;
    }
    Ok(())
}

/// The signal that came, if one did.
pub fn signal() -> Option<i32> {
    let noted = SIGNAL.get()?.load(Ordering::Relaxed);
    i32::try_from(noted).ok().filter(|signal| *signal != 0)
}

/// An error once a signal came.
pub fn check() -> Result<()> {
    match signal() {
        Some(_) => bail!("interrupted"),
        None => Ok(()),
    }
}

/// Whether it was Ctrl-C, which the terminal gives to our children as well.
#[must_use]
pub fn was_ctrl_c(signal: i32) -> bool {
    signal == SIGINT
}
