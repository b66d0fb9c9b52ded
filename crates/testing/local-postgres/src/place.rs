//! Where a server that outlives one run keeps its directory.

use std::path::{Path, PathBuf};

/// The directory of application `app` for the checkout (or whatever else) at `near`: inside `near`
/// for an ordinary user; below `/var/lib` for root, whose own directories are closed to the account
/// that the server then runs as. The path of `near` is part of that name, so that two checkouts
/// never share one.
#[must_use]
pub fn state_dir(app: &str, near: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        PathBuf::from(format!("/var/lib/{app}-{:016x}", hash_of(near)))
    } else {
        near.join(app)
    }
}

/// FNV-1a: std's hasher may differ between two versions of the compiler, and then a server would
/// not be found again.
fn hash_of(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_never_share_a_directory() {
        let one = state_dir("app", Path::new("/src/one"));
        let two = state_dir("app", Path::new("/src/two"));
        assert_ne!(one, two);
        assert_eq!(one, state_dir("app", Path::new("/src/one")));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash_of(Path::new("a")), 0xaf63_dc4c_8601_ec8c);
    }
}
