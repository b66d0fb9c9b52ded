//! The same work by PostgreSQL's own benchmark: prepared, one row a statement, nothing asked beside it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use local_postgres::Programs;

use crate::Failure;
use crate::figures::{Figures, TURN};

const LEASE: &str = "UPDATE instances SET status = 'claiming', status_actor = 'claim', \
    status_reason = 'leased', claim_token = gen_random_uuid(), \
    claim_expires_at = now() + interval '1 hour' \
    WHERE id = (SELECT id FROM instances WHERE status = 'idle' \
    ORDER BY coalesce(put_back_at, created_at), id LIMIT 1 FOR UPDATE SKIP LOCKED) \
    RETURNING id, service_id, name, url, gateway_token, claim_expires_at, epoch, failed_claims;\n";

/// One turn of so many callers, each with a connection of its own.
pub(crate) fn turn(url: &str, callers: usize) -> Result<Figures, Failure> {
    let folder = std::env::temp_dir().join(format!("pool-pgbench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder, url, callers);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &std::path::Path, url: &str, callers: usize) -> Result<Figures, Failure> {
    let script = folder.join("lease.sql");
    fs::write(&script, LEASE)?;
    let program = Programs::find(&[])?.bin_dir().join("pgbench");
    let ran = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared", "--log"])
        .arg(format!("--log-prefix={}", folder.join("log").display()))
        .arg(format!("--time={}", TURN.as_secs()))
        .arg(format!("--client={callers}"))
        .arg(format!("--jobs={}", callers.min(2)))
        .arg(format!("--file={}", script.display()))
        .arg(url)
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into());
    }
    let mut took = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path != script {
            for line in fs::read_to_string(&path)?.lines() {
                let microseconds = line.split(' ').nth(2).ok_or("a line without a time")?;
                took.push(Duration::from_micros(microseconds.parse()?));
            }
        }
    }
    Ok(Figures::of(took))
}
