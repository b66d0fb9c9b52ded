//! Refuses a PostgreSQL that is too old to end the session of a leader that is frozen, or cut off.

use diesel::QueryableByName;
use diesel::sql_types::{Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::answer::answer;
use crate::error::Error;
use crate::statement::statement;

/// The first with `idle_session_timeout`.
const OLDEST: i32 = 14;

/// Fails with [`Error::TooOld`] where it is.
///
/// # Errors
///
/// As every statement, too.
pub(crate) async fn refuse_old(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let asked = "SELECT current_setting('server_version_num')::int / 10000 AS major, \
                 current_setting('server_version') AS version";
    let found: Found = answer(statement(asked).get_result(connection)).await?;
    if found.major >= OLDEST {
        return Ok(());
    }
    Err(Error::TooOld {
        version: found.version,
        oldest: OLDEST,
    })
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Integer)]
    major: i32,
    #[diesel(sql_type = Text)]
    version: String,
}
