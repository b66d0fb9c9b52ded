//! `cargo xtask test`: every test, with one PostgreSQL server for the run.

use std::process::Command;

use anyhow::Result;
use local_postgres::{Options, Programs, Server};

use pool_harness::{checkout, database, interrupt, postgresql, running};

/// As many tests at once as a big machine has cores, each with a pool of a dozen connections.
const MAX_CONNECTIONS: u16 = 500;

/// What the crate `pool-test-database` reads.
const TEST_SERVER: &str = "POOL_TEST_DATABASE_URL";

/// Further arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to cargo-nextest, or to `cargo test` where that is not installed. With any, the
    /// documentation tests are left out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::listen()?;
    run_tests(&arguments.rest, None)
}

/// All tests, and those in the documentation, whatever fails on the way.
pub(crate) fn run_for_ci() -> Result<()> {
    run_tests(&[], Some("ci"))
}

/// `profile` is one of `.config/nextest.toml`.
fn run_tests(rest: &[String], profile: Option<&str>) -> Result<()> {
    let (server, programs) = if database::given_url().is_some() {
        (None, postgresql::programs_at_hand()?)
    } else {
        let programs = postgresql::programs()?;
        (Some(start_server(programs.clone())?), Some(programs))
    };
    let given = server.as_ref().map(|server| server.url("postgres"));
    let with_server = |mut command: Command| {
        command.envs(given.as_ref().map(|url| (TEST_SERVER, url)));
        // For the tests that start a server of their own: these find no fetched programs.
        command.envs(programs.iter().map(|found| ("PG_BIN_DIR", found.bin_dir())));
        command.envs(profile.map(|profile| ("NEXTEST_PROFILE", profile)));
        command
    };
    running::run(&mut with_server(tests(rest)))?;
    if rest.is_empty() {
        let mut documentation = checkout::cargo();
        documentation.args(["test", "--doc", "--workspace", "--quiet"]);
        running::run(&mut with_server(documentation))?;
    }
    server.map_or(Ok(()), |server| Ok(server.stop()?))
}

fn start_server(programs: Programs) -> Result<Server> {
    let options = Options::temporary(programs);
    Ok(Server::start(&options.max_connections(MAX_CONNECTIONS))?)
}

fn tests(rest: &[String]) -> Command {
    let mut command = checkout::cargo();
    if checkout::has_subcommand("nextest") {
        command.args(["nextest", "run"]);
    } else {
        command.args(["test", "--tests"]);
    }
    // A person who names packages wants these and no others.
    if !rest.iter().any(|argument| names_a_package(argument)) {
        command.arg("--workspace");
    }
    command.args(rest);
    command
}

fn names_a_package(argument: &str) -> bool {
    argument == "--package"
        || argument.starts_with("--package=")
        || (argument.starts_with("-p") && !argument.starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_a_package_leaves_the_others_out() {
        let words = |rest: &[&str]| {
            let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
            running::command_line(&tests(&rest))
        };
        assert!(words(&["claim"]).ends_with("--workspace claim"));
        assert!(words(&["-p", "pool-db"]).ends_with(" -p pool-db"));
        assert!(!words(&["-ppool-db"]).contains("--workspace"));
        assert!(words(&["--profile", "ci"]).contains("--workspace"));
    }
}
