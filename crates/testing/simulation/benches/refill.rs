//! How soon missing agents are there again, in virtual time: `cargo xtask bench refill [--json] [CASE…]`.

use anyhow::Result;
use pool_simulation::{Refill, Refilled, refill};
use serde_json::json;

const CASES: [(&str, Refill); 8] = [
    ("first-100", of(0, 100, 0.0)),
    ("100", of(10, 100, 0.0)),
    ("1000", of(10, 1_000, 0.0)),
    ("100-failing", of(10, 100, 0.1)),
    ("1000-failing", of(10, 1_000, 0.1)),
    ("100-slow", slowly(of(10, 100, 0.0))),
    ("100-slow-failing", slowly(of(10, 100, 0.1))),
    ("1000-slow", slowly(of(10, 1_000, 0.0))),
];

const fn of(idle: usize, missing: usize, failing: f64) -> Refill {
    Refill {
        idle,
        missing,
        failing,
        starts_slowly: false,
    }
}

const fn slowly(of: Refill) -> Refill {
    Refill {
        starts_slowly: true,
        ..of
    }
}

fn main() -> Result<()> {
    let (flags, wanted): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|it| it.starts_with("--"));
    let is_json = flags.iter().any(|it| it == "--json");
    if !is_json {
        println!(
            "{:<16} {:>8} {:>8} {:>6} {:>15} {:>6} {:>22}",
            "missing",
            "asked s",
            "full s",
            "made",
            "requests / one",
            "pages",
            "ready→idle s, worst"
        );
    }
    for (name, case) in CASES {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            tell(name, &refill(case)?, is_json);
        }
    }
    Ok(())
}

fn tell(name: &str, went: &Refilled, is_json: bool) {
    if is_json {
        let told = json!({
            "case": name,
            "missing": went.missing,
            "failing": went.failing,
            "asked_s": went.asked_s,
            "full_s": went.full_s,
            "made": went.made,
            "requests_per_instance": went.requests_per_instance,
            "pages": went.pages,
            "ready_to_idle_median_s": went.ready_to_idle_median_s,
            "ready_to_idle_worst_s": went.ready_to_idle_worst_s,
        });
        println!("{told}");
        return;
    }
    println!(
        "{name:<16} {:>8.1} {:>8.1} {:>6} {:>15.2} {:>6} {:>13.2}, {:>7.2}",
        went.asked_s,
        went.full_s,
        went.made,
        went.requests_per_instance,
        went.pages,
        went.ready_to_idle_median_s,
        went.ready_to_idle_worst_s,
    );
}
