//! Reads every provision.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pool_domain::{DestroyStep, ResourceRecord, Secret, Stage};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::schema::provisions;

/// Every provision, oldest first.
///
/// One that this build cannot read (a newer build's, before a rollback) is logged and skipped; the
/// newer build goes on with it.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn load(db: &Db) -> Result<Vec<ResourceRecord>, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<Row> = answer(
        provisions::table
            .select(Row::as_select())
            .order((provisions::created_at, provisions::id))
            .load(&mut connection),
    )
    .await?;
    let readable = rows.into_iter().filter_map(|row| {
        ResourceRecord::try_from(row)
            .inspect_err(|why| tracing::warn!("a provision was skipped: {why}"))
            .ok()
    });
    Ok(readable.collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = provisions)]
#[diesel(check_for_backend(diesel::pg::Pg))]
struct Row {
    id: String,
    name: String,
    service_id: Option<String>,
    volume_id: Option<String>,
    openrouter_key_hash: Option<String>,
    agentmail_inbox_id: Option<String>,
    gateway_token: Option<String>,
    step: String,
    step_began_at: DateTime<Utc>,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    destroyed: Vec<String>,
    service_deleted_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for ResourceRecord {
    type Error = String;

    fn try_from(row: Row) -> Result<Self, String> {
        let stage = Stage::parse(&row.step).ok_or_else(|| {
            format!(
                "provisions.step of row {}: `{}` is not a step of this build",
                row.id, row.step
            )
        })?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            service_id: row.service_id.map(Into::into),
            volume_id: row.volume_id.map(Into::into),
            openrouter_key_hash: row.openrouter_key_hash.map(Into::into),
            agentmail_inbox_id: row.agentmail_inbox_id.map(Into::into),
            gateway_token: row.gateway_token.map(Secret::new),
            stage,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            next_attempt_at: row.next_attempt_at,
            last_error: row.last_error,
            created_at: row.created_at,
            step_began_at: row.step_began_at,
            service_deleted_at: row.service_deleted_at,
            // A step that only a newer build knows is not done as far as this one can tell.
            destroyed: row
                .destroyed
                .iter()
                .filter_map(|step| DestroyStep::parse(step))
                .collect(),
        })
    }
}
