//! A fresh database: on a PostgreSQL server of our own, or beside the one that `DATABASE_URL`
//! names. It is dropped with the value, or at the latest when the server of our own is.

use std::env;

use anyhow::{Context, Result, anyhow};
use local_postgres::{Options, Server};
use tokio_postgres::NoTls;
use tokio_postgres::types::FromSql;

use crate::postgresql;

/// Set by a person who wants another server than one of our own.
pub const VARIABLE: &str = "DATABASE_URL";

/// Whether a person named a server.
#[must_use]
pub fn given_url() -> Option<String> {
    env::var(VARIABLE).ok().filter(|url| !url.is_empty())
}

/// How to start a server of our own, which goes with its directory when it is dropped.
pub fn temporary_server() -> Result<Options> {
    Ok(Options::temporary(postgresql::programs()?))
}

/// A database of a task's own.
pub struct Database {
    name: String,
    url: String,
    admin_url: String,
    server: Option<Server>,
    ended: bool,
}

impl Database {
    /// `options` say how to start a server, asked for where `DATABASE_URL` names none.
    pub fn fresh(name: &str, options: impl FnOnce() -> Result<Options>) -> Result<Self> {
        let server = match given_url() {
            Some(_) => None,
            None => Some(Server::start(&options()?)?),
        };
        let admin_url = match (&server, given_url()) {
            (Some(server), _) => server.url("postgres"),
            (None, url) => url.unwrap_or_default(),
        };
        let url = sibling(&admin_url, name)?;
        // Built first, so that an error from here on stops the server.
        let database = Self {
            name: name.to_owned(),
            url,
            admin_url,
            server,
            ended: false,
        };
        sql(
            &database.admin_url,
            &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )?;
        sql(&database.admin_url, &format!("CREATE DATABASE {name}"))?;
        Ok(database)
    }

    /// Where it is, with the account and what that logs in with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Drops it; stops the server when it is ours.
    pub fn end(mut self) -> Result<()> {
        self.ended = true;
        match self.server.take() {
            Some(server) => Ok(server.stop()?),
            None => drop_database(&self.admin_url, &self.name),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server of our own goes with its value.
        if !self.ended && self.server.is_none() {
            let _ = drop_database(&self.admin_url, &self.name);
        }
    }
}

/// Drops a database that an earlier run may have left.
pub fn drop_database(admin_url: &str, name: &str) -> Result<()> {
    sql(
        admin_url,
        &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    )
    .map(drop)
}

/// Runs one statement; the first column of its first row where it has one, as a number.
pub fn sql(url: &str, statement: &str) -> Result<Option<i64>> {
    first(url, statement)
}

/// The same of any type.
pub fn first<T: for<'a> FromSql<'a>>(url: &str, statement: &str) -> Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let connected = tokio_postgres::connect(url, NoTls).await;
        let (client, connection) = connected.context("PostgreSQL did not accept a connection")?;
        let driver = tokio::spawn(connection);
        let rows = client.query(statement, &[]).await;
        drop(client);
        // Until the server has closed it, the connection counts as a user of its database.
        let _ = driver.await;
        let rows = rows.with_context(|| format!("PostgreSQL refused `{statement}`"))?;
        Ok(rows.first().and_then(|row| row.try_get(0).ok()))
    })
}

/// The URL of another database on the same server.
fn sibling(url: &str, name: &str) -> Result<String> {
    let explain =
        || anyhow!("{VARIABLE} must be a URL like postgres://user:password@host/database");
    let after_scheme = url.find("://").ok_or_else(explain)? + 3;
    let name_at = after_scheme + url[after_scheme..].find('/').ok_or_else(explain)? + 1;
    let parameters = url[name_at..]
        .find('?')
        .map_or("", |at| &url[name_at + at..]);
    Ok(format!("{}{name}{parameters}", &url[..name_at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_keeps_server_and_parameters() {
        let url = sibling("postgres://u:p@h:1/app?sslmode=disable", "demo").unwrap();
        assert_eq!(url, "postgres://u:p@h:1/demo?sslmode=disable");
    }

    #[test]
    fn an_address_that_is_no_url_is_explained() {
        let error = sibling("host=h dbname=app", "demo")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("DATABASE_URL must be a URL like"),
            "{error}"
        );
    }
}
