//! Does what was asked.

use pool_db::migrations;
use secrecy::{ExposeSecret, SecretString};

use crate::cli::{Cli, Command, Up};
use crate::outcome::{Failure, Outcome};

/// Does it, and says what came of it.
pub(crate) async fn run(cli: &Cli) -> Result<Outcome, Failure> {
    let url = cli
        .database_url
        .as_ref()
        .map(SecretString::expose_secret)
        .filter(|url| !url.is_empty())
        .ok_or_else(|| Failure::usage("DATABASE_URL is not set"))?;
    match cli.wanted() {
        Command::Up(how) => up(url, &how).await,
        Command::Status => Ok(Outcome::Status(migrations::status(url).await?)),
        Command::Down => Ok(Outcome::Down(migrations::revert_one(url).await?)),
    }
}

async fn up(url: &str, how: &Up) -> Result<Outcome, Failure> {
    let applied = migrations::run(url).await?.migrations;
    let contracted_now = how.contract && migrations::contract(url).await?;
    let status = migrations::status(url).await?;
    Ok(Outcome::Up {
        applied,
        contracted_now,
        status,
    })
}
