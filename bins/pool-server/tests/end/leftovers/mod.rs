//! For every step of a birth and of a death: it fails, its answer is lost, the process is killed
//! before it, the process is killed after it. Then, within some ticks, everything outside and
//! inside matches exactly, and the table says so:
//! `cargo xtask test -p pool-server leaves_anything --success-output immediate`

mod ledger;
mod steps;
mod world;

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use steps::{Cell, Fault, Step};
use world::{PROCESSES_AT_ONCE, TICK, World};

/// Within so many ticks after the fault is over everything must match: a failed step is tried again
/// after 5 s, and what became of a lost answer is known after the grace.
const TICKS_MAX: i64 = 40;
/// And it must go on to match for so many.
const TICKS_AFTER: u32 = 3;

/// How one cell of the table went.
struct Went {
    cell: Cell,
    ticks: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_birth_or_a_death_leaves_anything_whatever_befalls_it() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let room = std::sync::Arc::new(Semaphore::new(PROCESSES_AT_ONCE));
    let mut running = JoinSet::new();
    for cell in Cell::all() {
        let room = std::sync::Arc::clone(&room);
        running.spawn(async move {
            let _one = room.acquire().await;
            let went = play(cell).await;
            went.with_context(|| format!("{}, {}", cell.step.name, cell.fault.in_words()))
        });
    }
    let (mut went, mut failed) = (Vec::new(), Vec::new());
    while let Some(played) = running.join_next().await {
        match played? {
            Ok(cell) => went.push(cell),
            Err(why) => failed.push(format!("{why:#}")),
        }
    }
    print!("{}", table(&went));
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// One fault at one step in a world of its own; then nothing may be left over or missing.
async fn play(cell: Cell) -> anyhow::Result<Went> {
    let mut world = World::new().await?;
    world.start(&cell.arming())?;
    if cell.step.is_of_a_death() {
        world.until_exact().await?;
        world.inject(&cell)?;
        world.drain_one().await?;
    } else {
        world.inject(&cell)?;
    }
    if cell.fault.kills() {
        world.until_killed().await?;
        world.start(&[])?;
    } else {
        world.until_struck(&cell).await?;
    }
    let since = world.ticks().await?;
    world.until_exact().await?;
    let ticks = world.ticks().await? - since;
    ensure!(ticks <= TICKS_MAX, "it took {ticks} ticks");
    tokio::time::sleep(TICK * TICKS_AFTER).await;
    let left = world.left().await?;
    ensure!(left.is_empty(), "and later: {}", left.join("; "));
    Ok(Went { cell, ticks })
}

/// Steps × faults, in each cell what is left over or missing, and after how many ticks.
fn table(went: &[Went]) -> String {
    let mut text = String::new();
    let tick = TICK.as_millis();
    let _ = writeln!(text, "left over or missing / ticks of {tick} ms until then");
    let _ = write!(text, "{:<18}", "step");
    for fault in Fault::ALL {
        let _ = write!(text, "{:>16}", fault.in_words());
    }
    let _ = writeln!(text);
    for step in Step::ALL {
        let _ = write!(text, "{:<18}", step.name);
        for fault in Fault::ALL {
            let cell = Cell { step, fault };
            let ticks = went.iter().find(|it| it.cell == cell).map(|it| it.ticks);
            let shown = ticks.map_or_else(|| "FAILED".to_owned(), |ticks| format!("0 / {ticks}"));
            let _ = write!(text, "{shown:>16}");
        }
        let _ = writeln!(text);
    }
    text
}
