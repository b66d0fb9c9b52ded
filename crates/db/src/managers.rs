//! Who manages this database's services, and whose else's are ours.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use pool_domain::{ManagerId, Managers};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::statement::statement;

/// The id of this database's manager. The first one who asks gives it.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn own(db: &Db, new: &ManagerId) -> Result<ManagerId, Error> {
    let mut connection = db.connection().await?;
    let named: Named = answer(
        statement(
            "UPDATE pool_schema SET manager_id = coalesce(manager_id, $1) RETURNING manager_id",
        )
        .bind::<Text, _>(new.as_str())
        .get_result(&mut connection),
    )
    .await?;
    Ok(named.manager_id.into())
}

/// Whose services may be ours.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn load(db: &Db) -> Result<Managers, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<Row> = answer(
        statement(
            "SELECT pool_schema.manager_id, record_identity.verified_at, \
             other.manager_id AS other, other.at \
             FROM pool_schema CROSS JOIN record_identity LEFT JOIN managers_taken_over AS other \
             ON true ORDER BY other.manager_id",
        )
        .load(&mut connection),
    )
    .await?;
    let mut managers = Managers::default();
    for row in rows {
        managers.own = row.manager_id.map(ManagerId::new);
        managers.recorded_since = row.verified_at;
        managers.taken_over.extend(
            row.other
                .zip(row.at)
                .map(|(id, at)| (ManagerId::new(id), at)),
        );
    }
    Ok(managers)
}

/// From now on whatever this manager made until now is ours.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn take_over(db: &Db, other: &ManagerId) -> Result<(), Error> {
    let mut connection = db.connection().await?;
    answer(
        statement(
            "INSERT INTO managers_taken_over (manager_id) VALUES ($1) \
             ON CONFLICT (manager_id) DO UPDATE SET at = now()",
        )
        .bind::<Text, _>(other.as_str())
        .execute(&mut connection),
    )
    .await
    .map(drop)
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    manager_id: String,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    manager_id: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    verified_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    other: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    at: Option<DateTime<Utc>>,
}
