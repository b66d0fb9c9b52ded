//! Tells a seed's story, or runs many seeds and says how they ended.

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use pool_simulation::{BadDay, Kind, Options, Outcome, TROUBLE_TICKS, run_many, run_one};

/// The whole manager in one process and in virtual time, with faults drawn from a seed.
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Arguments {
    /// Tell the story of this seed.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, the last one not included: 0..1000.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Tick intervals of trouble.
    #[arg(long, default_value_t = TROUBLE_TICKS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    ticks: u32,
    /// Begin no more of them once one has failed.
    #[arg(long, requires = "seeds")]
    until_one_fails: bool,
    /// Nothing goes wrong but this, whatever the seed says: `bad-image`, for example.
    #[arg(long, value_parser = day)]
    day: Option<BadDay>,
    /// Every statement of the database, too.
    #[arg(long, requires = "seed")]
    statements: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let options = Options {
        trouble_ticks: arguments.ticks,
        is_told: arguments.seed.is_some(),
        day: arguments.day,
    };
    let passed = match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => tell(&run_one(seed, options)?, arguments.statements),
        (None, Some(seeds)) => {
            let summary = run_many(seeds, options, arguments.until_one_fails)?;
            print!("{summary}");
            summary.failed.is_empty()
        }
        (None, None) => true,
    };
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tell(outcome: &Outcome, statements: bool) -> bool {
    println!("seed {}: {}\n", outcome.seed, outcome.scenario);
    for line in &outcome.story {
        if statements || line.kind != Kind::Statement {
            println!("{line}");
        }
    }
    println!("\n{:?}", outcome.counts);
    println!(
        "fingerprint {:016x}; took {:.2} s",
        outcome.fingerprint,
        outcome.took.as_secs_f64()
    );
    match (outcome.violations.as_slice(), outcome.settled_after) {
        ([], Some(ticks)) => {
            println!(
                "seed {}: all holds; settled {ticks} ticks after the trouble",
                outcome.seed
            );
            true
        }
        (violations, _) => {
            println!("seed {} fails:", outcome.seed);
            for violation in violations {
                println!("  {violation}");
            }
            false
        }
    }
}

fn day(name: &str) -> Result<BadDay, String> {
    BadDay::named(name).ok_or_else(|| {
        let names = BadDay::ALL.map(|(name, _)| name);
        format!("one of {}", names.join(", "))
    })
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wanted = "two numbers, as in 0..1000";
    let (start, end) = text.split_once("..").ok_or(wanted)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wanted.to_owned());
    let range = number(start)?..number(end)?;
    if range.is_empty() {
        return Err("the range is empty".to_owned());
    }
    Ok(range)
}
