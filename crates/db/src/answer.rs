//! Waits for the database, but not for ever.

use std::time::Duration;

use tokio::time::timeout;

use crate::error::Error;

/// How long anything waits for the database in all: its own limit for a statement is shorter, so
/// this is reached only when the database, or something on the way to it, hangs.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Awaits an answer of the database within [`ANSWER_LIMIT`].
pub(crate) async fn answer<T, E: Into<Error>>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    timeout(ANSWER_LIMIT, question)
        .await
        .map_err(|_| Error::Wait(format!("no answer within {} s", ANSWER_LIMIT.as_secs())))?
        .map_err(Into::into)
}
