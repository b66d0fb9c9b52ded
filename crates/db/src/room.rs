//! Whether the database has as many connections as the servers take.

use std::fmt;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use crate::Db;
use crate::answer::answer;
use crate::connection::DbSettings;
use crate::error::Error;
use crate::statement::statement;

/// How many connections the database has, for everybody and for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Room {
    /// The least of `max_connections` and the limits of our role and of our database.
    #[diesel(sql_type = BigInt)]
    limit: i64,
    /// Kept for superusers and the like.
    #[diesel(sql_type = BigInt)]
    reserved: i64,
    /// Taken by anybody, by this server too.
    #[diesel(sql_type = BigInt)]
    taken: i64,
}

impl Room {
    /// As it is now.
    ///
    /// # Errors
    ///
    /// As every statement: see [`Error`].
    pub async fn of(db: &Db) -> Result<Self, Error> {
        let mut connection = db.connection().await?;
        let asked = statement(include_str!("room.sql"));
        answer(asked.get_result(&mut connection)).await
    }

    /// How many more servers with these settings would get all of their connections. One more has to,
    /// since a deployment starts the next server before it ends this one.
    #[must_use]
    pub fn for_servers(&self, settings: &DbSettings) -> usize {
        let left = usize::try_from(self.limit - self.reserved - self.taken);
        left.unwrap_or(0) / settings.connections()
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit,
            reserved,
            taken,
        } = self;
        write!(
            f,
            "of {limit} connections {reserved} are reserved and {taken} in use"
        )
    }
}

#[cfg(test)]
mod tests {
    use pool_domain::Secret;

    use super::*;

    #[test]
    fn a_server_more_needs_all_of_its_connections() {
        let settings = DbSettings::new(Secret::new("postgres://u@h/d"));
        assert_eq!(settings.connections(), 30);
        let servers = |taken| {
            let (limit, reserved) = (100, 3);
            Room {
                limit,
                reserved,
                taken,
            }
            .for_servers(&settings)
        };
        assert_eq!([30, 37, 38, 67, 68, 120].map(servers), [2, 2, 1, 1, 0, 0]);
    }
}
