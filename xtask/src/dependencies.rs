//! `cargo-machete` and `cargo-deny`, two programs that a developer's machine may lack: what is unused
//! among the dependencies, and what must not be among them.

use std::env;

use anyhow::{Result, bail};

use pool_harness::{checkout, running};

/// Refuses a dependency that no source names.
pub(crate) fn unused() -> Result<()> {
    run(&["machete"])
}

/// Refuses what `deny.toml` does, and a line of it that nothing needs. A crate whose manifest leaves its
/// licence out is judged by its licence file.
pub(crate) fn denied() -> Result<()> {
    run(&[
        "deny",
        "--locked",
        "check",
        "-D",
        "warnings",
        "-A",
        "no-license-field",
        "bans",
        "licenses",
        "sources",
    ])
}

/// The first argument is cargo's subcommand.
fn run(arguments: &[&str]) -> Result<()> {
    if checkout::has_subcommand(arguments[0]) {
        return running::run(checkout::cargo().args(arguments));
    }
    skip(
        arguments[0],
        env::var_os("CI").is_some_and(|value| value == "true"),
    )
}

/// CI must have the program; anybody else is told what was not checked.
fn skip(subcommand: &str, in_ci: bool) -> Result<()> {
    let missing = format!(
        "cargo-{subcommand} is not installed; `cargo install --locked cargo-{subcommand}` does it"
    );
    if in_ci {
        bail!(missing);
    }
    println!("{subcommand}: skipped: {missing}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_skipped_everywhere_but_in_ci() {
        skip("machete", false).unwrap();
        let error = skip("machete", true).unwrap_err().to_string();
        assert!(
            error.contains("`cargo install --locked cargo-machete`"),
            "{error}"
        );
    }
}
