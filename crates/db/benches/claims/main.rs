//! How many leases a second this crate gets from the database, and how long each takes, beside `pgbench`
//! with the plainest statement that leases one row of the same table, in turns, so that whatever else this
//! machine does strikes both alike. Then whole claims, a lease and its confirmation, without a key and
//! with one. Run by `cargo xtask bench claims`.

mod figures;
mod pgbench;
mod stage;

use std::env;
use std::error::Error;
use std::sync::Arc;

use pool_db::migrations;

use figures::Figures;
use stage::{Stage, Work};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Turns that each has; the medians of them are told.
const TURNS: usize = 5;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let url = env::var("DATABASE_URL").map_err(|_| "run `cargo xtask bench claims`")?;
    let rows = number("BENCH_ROWS", 100_000)?;
    let claimed = number("BENCH_CLAIMED", 0)?;
    let holds_open = env::var_os("BENCH_HELD_OPEN").is_some();
    let callers: Vec<usize> = env::var("BENCH_CALLERS")
        .unwrap_or_else(|_| "1,8,32".to_owned())
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let is_json = env::var_os("BENCH_JSON").is_some();
    migrations::run(&url).await?;
    pool_legacy_schema::contract_telling(&url, &mut |_| ()).await?;
    let stage = Arc::new(Stage::new(&url, rows, claimed).await?);
    if !is_json {
        println!("{rows} idle instances, {claimed} claimed ones; medians of {TURNS} turns");
        println!(
            "                      leases           pgbench, one row each       claims       with a key"
        );
        println!(
            "callers      /s   p50   p99 ms       /s   p50   p99 ms   ratio       /s   ms       /s   ms"
        );
    }
    for callers in callers {
        let measured = Measured::of(&stage, callers, holds_open).await?;
        if is_json {
            println!("{}", measured.json());
        } else {
            println!("{}", measured.line());
        }
    }
    Ok(())
}

/// What so many callers get.
struct Measured {
    callers: usize,
    leases: Figures,
    pgbench: Figures,
    claims: Figures,
    keyed: Figures,
}

impl Measured {
    async fn of(stage: &Arc<Stage>, callers: usize, holds_open: bool) -> Result<Self, Failure> {
        stage.fill().await?;
        let held = if holds_open {
            Some(stage.hold_open().await?)
        } else {
            None
        };
        let (mut leases, mut pgbench) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            leases.push(stage.turn(callers, Work::Lease).await?);
            pgbench.push(pgbench::turn(stage.url(), callers)?);
        }
        drop(held);
        stage.fill().await?;
        let (mut claims, mut keyed) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            claims.push(stage.turn(callers, Work::Claim).await?);
            keyed.push(stage.turn(callers, Work::KeyedClaim).await?);
        }
        Ok(Self {
            callers,
            leases: Figures::medians(&leases),
            pgbench: Figures::medians(&pgbench),
            claims: Figures::medians(&claims),
            keyed: Figures::medians(&keyed),
        })
    }

    fn line(&self) -> String {
        let Self {
            callers,
            leases,
            pgbench,
            claims,
            keyed,
        } = self;
        format!(
            "{callers:>7} {:>7.0} {:>5.2} {:>8.2}  {:>7.0} {:>5.2} {:>8.2}   {:>4.2}x  {:>7.0} {:>4.2}  {:>7.0} {:>4.2}",
            leases.per_second,
            leases.p50_ms,
            leases.p99_ms,
            pgbench.per_second,
            pgbench.p50_ms,
            pgbench.p99_ms,
            leases.per_second / pgbench.per_second,
            claims.per_second,
            claims.p50_ms,
            keyed.per_second,
            keyed.p50_ms,
        )
    }

    fn json(&self) -> serde_json::Value {
        let Self {
            callers,
            leases,
            pgbench,
            claims,
            keyed,
        } = self;
        serde_json::json!({
            "callers": callers,
            "ratio_to_pgbench": leases.per_second / pgbench.per_second,
            "leases_per_second": leases.per_second,
            "p50_ms": leases.p50_ms,
            "p99_ms": leases.p99_ms,
            "pgbench_per_second": pgbench.per_second,
            "pgbench_p50_ms": pgbench.p50_ms,
            "pgbench_p99_ms": pgbench.p99_ms,
            "claims_per_second": claims.per_second,
            "keyed_claims_per_second": keyed.per_second,
            "ratio_of_a_keyed_claim": claims.per_second / keyed.per_second,
        })
    }
}

fn number(variable: &str, otherwise: u32) -> Result<u32, Failure> {
    Ok(env::var(variable).map_or(Ok(otherwise), |text| text.parse())?)
}
