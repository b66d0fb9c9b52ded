//! For every step of a birth and of a death: it fails, its answer is lost, the process is killed
//! before it, the process is killed after it. Then, within some ticks, everything outside and
//! inside matches exactly, and the table says so:
//! `cargo xtask test -p pool-server leaves_anything --success-output immediate`

mod episodes;
mod ledger;
mod steps;
mod world;

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use steps::{Cell, Fault, Step};
use world::{TICK, World};

/// Within so many ticks after the fault is over everything must match: a failed step is tried again
/// after 5 s, and what became of a lost answer is known after the grace.
const TICKS_MAX: i64 = 40;
/// And it must go on to match for so many.
const TICKS_AFTER: u32 = 4;
/// How many worlds there are, each of which plays every so many-th cell, one after another.
const WORLDS: usize = 10;

/// How one cell of the table went.
struct Went {
    cell: Cell,
    ticks: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_birth_or_a_death_leaves_anything_whatever_befalls_it() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut playing = JoinSet::new();
    for first in 0..WORLDS {
        playing.spawn(play_all(Cell::all().skip(first).step_by(WORLDS)));
    }
    let (mut went, mut failed) = (Vec::new(), Vec::new());
    while let Some(played) = playing.join_next().await {
        let (mut of_world, ended) = played?;
        went.append(&mut of_world);
        failed.extend(ended.err().map(|why| format!("{why:#}")));
    }
    print!("{}", table(&went));
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Plays cells in one world, up to the first that goes wrong.
async fn play_all(cells: impl Iterator<Item = Cell>) -> (Vec<Went>, anyhow::Result<()>) {
    let mut went = Vec::new();
    let ended = async {
        let mut world = World::new().await?;
        world.start(&[])?;
        world.until_exact().await?;
        for cell in cells {
            let played = play(&mut world, cell).await;
            let named = || format!("{}, {}", cell.step.name, cell.fault.in_words());
            went.push(played.with_context(named)?);
        }
        tokio::time::sleep(TICK * TICKS_AFTER).await;
        let left = world.left().await?;
        ensure!(left.is_empty(), "in the end: {}", left.join("; "));
        Ok(())
    };
    let ended = ended.await;
    (went, ended)
}

/// One agent is retired and another one is made in its place. The fault strikes one of them at the
/// step; then nothing may be left over or missing.
async fn play(world: &mut World, cell: Cell) -> anyhow::Result<Went> {
    let arming = cell.arming();
    if !arming.is_empty() {
        world.start(&arming)?;
    }
    world.inject(&cell)?;
    world.drain_one().await?;
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
