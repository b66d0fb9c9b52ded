//! Begins each transaction of a leader: a term that is not the newest may write nothing.

use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::Term;

use crate::error::Error;
use crate::statement::statement;

/// As [`check_term`] for a leader; a person, who leads nothing, has no term to check.
pub(crate) async fn check_term_if_led(
    connection: &mut AsyncPgConnection,
    term: Option<Term>,
) -> Result<(), Error> {
    match term {
        Some(term) => check_term(connection, term).await,
        None => Ok(()),
    }
}

/// Fails with [`Error::StaleTerm`] when another server leads by now. Otherwise no other can take
/// the lead before this transaction has ended.
pub(crate) async fn check_term(
    connection: &mut AsyncPgConnection,
    term: Term,
) -> Result<(), Error> {
    statement("SELECT pool_check_term($1)")
        .bind::<BigInt, _>(term.0)
        .execute(connection)
        .await?;
    Ok(())
}
