//! Finds a pooler that gives each transaction another session. The lead is a lock that a session holds,
//! and limits and prepared statements are a session's too: through such a pooler two servers may lead.

use diesel::QueryableByName;
use diesel::sql_types::Integer;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::answer::answer;
use crate::connection::Connector;
use crate::error::Error;
use crate::statement::statement;

/// Transactions of one connection that must all see the same session. A pooler that takes its sessions
/// in turn shows itself here; one that takes the last one again shows itself to a second connection.
const LOOKS: usize = 4;

/// Fails with [`Error::ThroughPooler`] where the address leads to one.
///
/// # Errors
///
/// As every connection and every statement, too.
pub(crate) async fn refuse(connector: &Connector) -> Result<(), Error> {
    match is_there(connector).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::ThroughPooler),
        Err(error) if is_of_pooler(&error) => Err(Error::ThroughPooler),
        Err(error) => Err(error),
    }
}

async fn is_there(connector: &Connector) -> Result<bool, Error> {
    let mut first = connector.connect_bare().await?;
    let session = process(&mut first).await?;
    for _ in 1..LOOKS {
        if process(&mut first).await? != session {
            return Ok(true);
        }
    }
    let mut second = connector.connect_bare().await?;
    answer(second.batch_execute("BEGIN")).await?;
    let other = process(&mut second).await?;
    answer(second.batch_execute("ROLLBACK")).await?;
    Ok(other == session)
}

/// What only a session says that is not the one which prepared the statement, or a pooler.
fn is_of_pooler(error: &Error) -> bool {
    let said = error.to_string();
    ["prepared statement \"", "pooling mode"]
        .iter()
        .any(|part| said.contains(part))
}

/// Which session it is.
async fn process(connection: &mut AsyncPgConnection) -> Result<i32, Error> {
    let found: Process =
        answer(statement("SELECT pg_backend_pid() AS process").get_result(connection)).await?;
    Ok(found.process)
}

#[derive(QueryableByName)]
struct Process {
    #[diesel(sql_type = Integer)]
    process: i32,
}
