//! A person ends a creation that has no row yet.

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_domain::{InstanceId, Stage};

use crate::error::Error;
use crate::statement::statement;
use crate::text::storable;

/// How far an instance has come outside; none where nothing is recorded of it. Nobody else goes on with
/// it until the transaction ends.
pub(crate) async fn step(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
) -> Result<Option<Stage>, Error> {
    let step: Option<Step> = statement("SELECT step FROM provisions WHERE id = $1 FOR UPDATE")
        .bind::<Text, _>(storable(id.as_str()))
        .get_result(connection)
        .await
        .optional()?;
    Ok(step.and_then(|it| Stage::parse(&it.step)))
}

/// Has what was made so far destroyed. Whoever is making it finds out at the next step.
pub(crate) async fn cancel(
    connection: &mut AsyncPgConnection,
    id: &InstanceId,
) -> Result<(), Error> {
    statement(
        "UPDATE provisions SET step = 'destroying', step_began_at = now(), attempts = 0, \
         next_attempt_at = NULL, last_error = NULL WHERE id = $1",
    )
    .bind::<Text, _>(id.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    step: String,
}
