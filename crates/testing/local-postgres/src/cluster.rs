//! The directory of a server on disk: made once, with its password and certificate. Runs `initdb`,
//! never the server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::postmaster::made_by;
use crate::{Certificate, Error, Options, Programs};

/// 128 bits, as hexadecimal digits.
const PASSWORD_BYTES: usize = 16;

/// The one user of every server here.
pub(crate) const SUPERUSER: &str = "postgres";

/// The directory of one server: `data`, `password`, `log`, `lock`, and `used`, whose age tells when
/// somebody last wanted the server.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    account: Account,
}

impl Cluster {
    /// Makes the directory where it is missing; not yet the cluster in it.
    pub(crate) fn at(dir: &Path) -> Result<Self, Error> {
        let account = Account::of_this_process();
        fs::create_dir_all(dir).map_err(Error::file("created", dir))?;
        let dir = fs::canonicalize(dir).map_err(Error::file("read", dir))?;
        account.check_reach(&dir)?;
        let mode = fs::Permissions::from_mode(account.outer_mode());
        fs::set_permissions(&dir, mode).map_err(Error::file("given its mode", &dir))?;
        Ok(Self { dir, account })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn used(&self) -> PathBuf {
        self.dir.join("used")
    }

    pub(crate) fn password(&self) -> Result<String, Error> {
        let path = self.dir.join("password");
        fs::read_to_string(&path).map_err(Error::file("read", path))
    }

    /// A command that runs as the server's account, with nothing of our environment that
    /// PostgreSQL would read.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_for_postgres(name)) {
            command.env_remove(name);
        }
        command.current_dir("/").stdin(Stdio::null());
        self.account.apply(&mut command);
        command
    }

    /// Makes the cluster unless it is there, and checks that these programs can run it.
    pub(crate) fn ensure_made(&self, options: &Options) -> Result<(), Error> {
        let data = self.data();
        if !data.exists() {
            self.make(&options.programs)?;
        }
        let found = made_by(&data)?;
        if found != options.programs.major() {
            let programs = options.programs.major().to_owned();
            return Err(Error::MatchVersion {
                dir: self.dir.clone(),
                found,
                programs,
            });
        }
        match &options.certificate {
            Some(certificate) => self.write_certificate(certificate),
            None => Ok(()),
        }
    }

    /// `initdb` works beside the final place, so that one that was killed halfway leaves nothing
    /// that looks like a cluster.
    fn make(&self, programs: &Programs) -> Result<(), Error> {
        let unfinished = self.dir.join("data.unfinished");
        remove_dir(&unfinished)?;
        fs::create_dir(&unfinished).map_err(Error::file("created", &unfinished))?;
        self.account.own(&unfinished, 0o700)?;
        let password = self.write("password", &new_password()?)?;

        let mut command = self.command(&programs.initdb());
        command
            .arg("-D")
            .arg(&unfinished)
            .args([
                "-U",
                SUPERUSER,
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            // The password crosses the loopback device or a socket of our own, which nobody but root can listen to;
            // a hash there would cost each connection of a debug build tens of milliseconds.
            .args(["--auth-local=password", "--auth-host=password"])
            .arg("--pwfile")
            .arg(&password);
        let program = programs.initdb();
        let output = command
            .output()
            .map_err(|source| Error::RunProgram { program, source })?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr)
                .trim()
                .replace('\n', " | ");
            return Err(Error::InitCluster {
                dir: unfinished,
                output,
            });
        }
        let data = self.data();
        fs::rename(&unfinished, &data).map_err(Error::file("made the data directory", data))
    }

    /// Copies a cluster that is down, to follow it as a standby.
    pub(crate) fn copy_of(&self, primary: &Self) -> Result<(), Error> {
        let program = PathBuf::from("cp");
        let mut command = Command::new(&program);
        command.arg("-a").arg(primary.data()).arg(self.data());
        let output = command
            .output()
            .map_err(|source| Error::RunProgram { program, source })?;
        if !output.status.success() {
            return Err(Error::InitCluster {
                dir: self.data(),
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        self.write("password", &primary.password()?)?;
        self.write("data/standby.signal", "")?;
        Ok(())
    }

    fn write_certificate(&self, certificate: &Certificate) -> Result<(), Error> {
        self.write("server.crt", &certificate.chain_pem)?;
        self.write("server.key", &certificate.key_pem)?;
        Ok(())
    }

    /// Writes a file that only the server's account (and we) can read.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        let open = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        open.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(Error::file("written", &path))?;
        self.account.own(&path, 0o600)?;
        Ok(path)
    }
}

fn is_for_postgres(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PG") || name.as_encoded_bytes().starts_with(b"LC_")
}

fn new_password() -> Result<String, Error> {
    let source = "/dev/urandom";
    let mut bytes = [0; PASSWORD_BYTES];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::file("read", source))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Removes a directory with all that is in it; one that is missing is removed already.
fn remove_dir(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("removed", dir)(error))
        }
        _ => Ok(()),
    }
}
