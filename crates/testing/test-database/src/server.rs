//! The server that the tests use: one given from outside, or one of our own that all test processes
//! of this checkout share.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use local_postgres::{Options, Programs, Server, state_dir};
use tokio::sync::OnceCell;

use crate::Error;

/// Set by `cargo xtask test`, which starts a server for the run and stops it afterwards.
const GIVEN_BY_XTASK: &str = "POOL_TEST_DATABASE_URL";
const GIVEN_BY_PERSON: &str = "DATABASE_URL";

/// Test processes come and go; between two runs a person edits, thinks and compiles.
const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// As many test processes as a big machine has cores (64), each with a pool of a dozen or two in
/// the few tests that want many; an unused slot costs a few kilobytes.
const MAX_CONNECTIONS: u16 = 500;

/// The address of the server, as the URL of a database that exists on it.
#[derive(Clone)]
pub(crate) struct ServerAddress {
    before_name: String,
    name: String,
    after_name: String,
}

impl ServerAddress {
    /// Looked for once per process.
    pub(crate) async fn find() -> Result<Self, Error> {
        static FOUND: OnceCell<ServerAddress> = OnceCell::const_new();
        FOUND.get_or_try_init(find_or_start).await.cloned()
    }

    /// The database that exists, from which others are made.
    pub(crate) fn maintenance_url(&self) -> String {
        self.url(&self.name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}{database}{}", self.before_name, self.after_name)
    }

    /// Takes the URL apart around the name of its database.
    fn parse(url: &str) -> Option<Self> {
        let after_scheme = url.find("://")? + 3;
        let name_at = after_scheme + url[after_scheme..].find('/')? + 1;
        let (before_name, rest) = url.split_at(name_at);
        let (name, after_name) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        (!name.is_empty()).then(|| Self {
            before_name: before_name.to_owned(),
            name: name.to_owned(),
            after_name: after_name.to_owned(),
        })
    }
}

async fn find_or_start() -> Result<ServerAddress, Error> {
    for variable in [GIVEN_BY_XTASK, GIVEN_BY_PERSON] {
        if let Some(url) = env::var(variable).ok().filter(|url| !url.is_empty()) {
            return ServerAddress::parse(&url).ok_or(Error::ReadUrl { variable });
        }
    }
    let started = tokio::task::spawn_blocking(share_a_server).await;
    let url = started.map_err(|panic| Error::Migrate(panic.to_string()))??;
    ServerAddress::parse(&url).ok_or(Error::ReadUrl {
        variable: "the shared server's URL",
    })
}

/// Adopts the server that the test processes of this checkout share, or starts it, and leaves it
/// running: which process is the last one nobody knows.
fn share_a_server() -> Result<String, Error> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let checkout = fs::canonicalize(&checkout).unwrap_or(checkout);
    let dir = state_dir("pool-test-postgres", &checkout.join("target"));
    let options = Options::in_dir(Programs::find(&[]).map_err(Error::FindServer)?, &dir)
        .max_connections(MAX_CONNECTIONS)
        .end_when_idle(IDLE_LIMIT);
    let mut server = Server::adopt_or_start(&options);
    if let Err(local_postgres::Error::MatchVersion { .. }) = server {
        // PostgreSQL was upgraded. There is nothing in the old cluster that anybody would miss.
        fs::remove_dir_all(&dir).map_err(|source| Error::RemoveServer { dir, source })?;
        server = Server::adopt_or_start(&options);
    }
    let server = server.map_err(Error::FindServer)?;
    let url = server.url("postgres");
    server.leave_running();
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_address_names_other_databases_and_keeps_its_parameters() {
        let address = ServerAddress::parse("postgres://u:p@h:1/app?sslmode=disable").unwrap();
        assert_eq!(address.url("x"), "postgres://u:p@h:1/x?sslmode=disable");
        assert_eq!(
            address.maintenance_url(),
            "postgres://u:p@h:1/app?sslmode=disable"
        );
    }

    #[test]
    fn a_server_address_without_a_database_is_refused() {
        assert!(ServerAddress::parse("postgres://u:p@h:1").is_none());
        assert!(ServerAddress::parse("postgres://u:p@h:1/").is_none());
        assert!(ServerAddress::parse("host=h").is_none());
    }
}
