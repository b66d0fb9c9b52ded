//! Crates that must never get into the lock file: C libraries that would tie the one binary to what
//! is installed on its machine, and a second TLS library.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const FILE: &str = "Cargo.lock";

/// TLS is rustls with ring, and PostgreSQL is spoken without libpq.
const FORBIDDEN: &[&str] = &[
    "openssl-sys",
    "native-tls",
    "aws-lc-sys",
    "aws-lc-rs",
    "pq-sys",
];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("reading {FILE}"))?;
    Ok(complaints(&text))
}

fn complaints(text: &str) -> Vec<String> {
    let named = |line: &str| {
        FORBIDDEN
            .iter()
            .find(|name| line == format!("name = \"{name}\""))
    };
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| Some((index + 1, named(line)?)));
    found
        .map(|(line, name)| {
            format!(
                "{FILE}:{line}: {name} is in the lock file; find who wants it with \
                 `cargo tree --workspace --invert {name}`"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_crate_is_found_by_its_own_entry_only() {
        let text = "[[package]]\nname = \"openssl-sys\"\nversion = \"1\"\n\
                    [[package]]\nname = \"openssl-sys-not\"\ndependencies = [\"pq-sys\"]\n";
        let found = complaints(text);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("Cargo.lock:2: openssl-sys is in the lock file"),
            "{found:?}"
        );
    }
}
