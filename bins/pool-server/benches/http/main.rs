//! Claims over HTTP at the program that ships, with agents that answer at once or take a while: as many as a
//! number of callers get who wait for each answer, and what those wait who come whether others were answered
//! or not, by one and one or all at once. Those times are counted from the moment at which a call was to be
//! made, so that a server that keeps callers waiting does not keep its figures good. Run by
//! `cargo xtask bench http`.

#[path = "../../../../crates/db/benches/claims/figures.rs"]
mod figures;
#[path = "../../../../crates/db/benches/claims/pgbench.rs"]
mod pgbench;

mod agents;
mod caller;
mod load;
mod server;

use std::env;
use std::error::Error;
use std::time::Duration;

use figures::Figures;
use load::Load;
use server::Server;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Turns that each load has; the medians of them are told.
const TURNS: usize = 5;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let url = env::var("DATABASE_URL").map_err(|_| "run `cargo xtask bench http`")?;
    let rows: u32 = env::var("BENCH_ROWS").map_or(Ok(100_000), |text| text.parse())?;
    let is_json = env::var_os("BENCH_JSON").is_some();
    let agents = agents::start().await?;
    let server = Server::start(&url, agents.port()).await?;
    if !is_json {
        println!("{rows} idle instances; medians of {TURNS} turns; times in ms");
        println!(
            "agents take  load               claims/s    p50     p99   CPU/claim   to pgbench"
        );
    }
    for agents_take in [Duration::ZERO, Duration::from_millis(500)] {
        agents.take(agents_take);
        let told = Told {
            is_json,
            agents_take,
        };
        // With agents that take their time it is their number that limits the rate.
        let callers: &[usize] = if agents_take.is_zero() {
            &[1, 32, 128]
        } else {
            &[32, 128]
        };
        let mut fastest: f64 = 0.0;
        for &callers in callers {
            server.fill(rows).await?;
            let (mut turns, mut pgbench) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                turns.push(server.measure(Load::Closed { callers }).await?);
                if agents_take.is_zero() {
                    pgbench.push(pgbench::turn(&url, callers)?);
                }
            }
            let pgbench = (!pgbench.is_empty()).then(|| Figures::medians(&pgbench));
            let rate = told.tell(&format!("{callers} callers"), &turns, pgbench);
            fastest = fastest.max(rate);
        }
        for (name, load) in [
            (
                "Poisson, half",
                Load::Poisson {
                    per_second: fastest / 2.0,
                },
            ),
            (
                "bursts of 100",
                Load::Bursts {
                    of: 100,
                    per_second: 2,
                },
            ),
        ] {
            server.fill(rows).await?;
            let mut turns = Vec::new();
            for _ in 0..TURNS {
                turns.push(server.measure(load).await?);
            }
            told.tell(name, &turns, None);
        }
    }
    server.stop().await
}

/// One turn of one load.
pub(crate) struct Turn {
    figures: Figures,
    cpu_ms: f64,
}

struct Told {
    is_json: bool,
    agents_take: Duration,
}

impl Told {
    /// Prints a line, and says how many claims there were in a second.
    fn tell(&self, load: &str, turns: &[Turn], pgbench: Option<Figures>) -> f64 {
        let figures: Vec<Figures> = turns.iter().map(|turn| turn.figures).collect();
        let figures = Figures::medians(&figures);
        let mut cpu: Vec<f64> = turns.iter().map(|turn| turn.cpu_ms).collect();
        cpu.sort_unstable_by(f64::total_cmp);
        let cpu_ms = cpu.get(cpu.len() / 2).copied().unwrap_or_default();
        let ratio = pgbench.map(|it| figures.per_second / it.per_second);
        if self.is_json {
            println!(
                "{}",
                serde_json::json!({
                    "agents_take_ms": self.agents_take.as_millis(),
                    "load": load,
                    "claims_per_second": figures.per_second,
                    "p50_ms": figures.p50_ms,
                    "p99_ms": figures.p99_ms,
                    "server_cpu_ms_per_claim": cpu_ms,
                    "ratio_to_pgbench": ratio,
                })
            );
        } else {
            println!(
                "{:>8} ms  {load:<16} {:>10.0} {:>6.2} {:>7.2} {:>11.3}   {}",
                self.agents_take.as_millis(),
                figures.per_second,
                figures.p50_ms,
                figures.p99_ms,
                cpu_ms,
                ratio.map(|it| format!("{it:.2}x")).unwrap_or_default(),
            );
        }
        figures.per_second
    }
}
