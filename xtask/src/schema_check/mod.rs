//! `cargo xtask schema-check`: whether our SDL and our operations still hold in Railway's schema, as its
//! introspection gives it. It ends with 0 when they do, 1 when something is refused and 2 when it cannot
//! tell. docs/RAILWAY-SCHEMA.md says what to do about each kind.

mod compare;
mod deprecation;
mod finding;
#[cfg(test)]
mod introspected;
mod introspection;
mod live;
mod nullability;
mod operations;
#[cfg(test)]
mod railways_own_tests;
mod report;
mod subset;
#[cfg(test)]
mod tests;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::report::Report;
use self::subset::Ours;
use pool_harness::checkout;

/// Where in a checkout the file is kept when `RAILWAY_INTROSPECTION` does not say otherwise.
const USUAL_PLACE: &str = "introspection.json";

const HOW_TO_FETCH: &str =
    "`cargo xtask schema-check --live --save introspection.json` fetches one";

/// What to check against.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The answer to an introspection of Railway's schema. Without it: the file that
    /// `RAILWAY_INTROSPECTION` names, or introspection.json in the root of the checkout.
    #[arg(value_name = "FILE", conflicts_with = "live")]
    file: Option<PathBuf>,
    /// Ask Railway at `RAILWAY_API_URL`, with `RAILWAY_TOKEN` or `RAILWAY_API_TOKEN` where one is set.
    #[arg(long)]
    live: bool,
    /// Keep what Railway answered.
    #[arg(long, value_name = "FILE", requires = "live")]
    save: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match check_as_told(arguments) {
        Ok(report) => {
            report.print();
            ExitCode::from(u8::from(report.is_refused()))
        }
        Err(error) => {
            eprintln!("schema-check: cannot tell: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The step of `cargo xtask ci`: an error when something is refused; nothing without a file.
pub(crate) fn check_where_present() -> Result<()> {
    let Some(file) = usual_file() else {
        println!(
            "schema-check: skipped: RAILWAY_INTROSPECTION is not set and there is no {USUAL_PLACE}; {HOW_TO_FETCH}"
        );
        return Ok(());
    };
    let report = check_file(&file)?;
    report.print();
    if report.is_refused() {
        bail!("what we use of Railway's schema does not hold in it any more");
    }
    Ok(())
}

fn check_as_told(arguments: &Arguments) -> Result<Report> {
    if !arguments.live {
        let file = arguments.file.clone().or_else(usual_file);
        let file = file.with_context(|| format!("no file is given; {HOW_TO_FETCH}"))?;
        return check_file(&file);
    }
    let endpoint = live::Endpoint::from_environment()?;
    let ours = Ours::read()?;
    let answer = live::fetch(&endpoint)?;
    if let Some(path) = &arguments.save {
        live::save(&answer, path)?;
    }
    Report::new(&answer, &endpoint.url, &ours)
}

fn check_file(file: &Path) -> Result<Report> {
    let place = file.display().to_string();
    Report::new(&introspection::read_file(file)?, &place, &Ours::read()?)
}

/// A file that is named must be there; the one in the usual place may.
fn usual_file() -> Option<PathBuf> {
    match env::var_os("RAILWAY_INTROSPECTION").filter(|path| !path.is_empty()) {
        Some(path) => Some(path.into()),
        None => checkout::root().join(USUAL_PLACE).canonicalize().ok(),
    }
}
