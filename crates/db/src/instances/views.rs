//! What the API shows. Rows whose destruction a person asked for are in no list and no count.

use std::pin::pin;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{Stream, StreamExt as _};
use pool_domain::{InstanceId, ServiceId, Status};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::schema::instances;

/// How many instances have each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the statuses")]
pub struct Counts {
    pub starting: u64,
    pub idle: u64,
    pub claiming: u64,
    pub claimed: u64,
    pub crashed: u64,
    pub dead: u64,
}

impl Counts {
    /// How many have this status.
    #[must_use]
    pub const fn of(&self, status: Status) -> u64 {
        match status {
            Status::Starting => self.starting,
            Status::Idle => self.idle,
            Status::Claiming => self.claiming,
            Status::Claimed => self.claimed,
            Status::Crashed => self.crashed,
            Status::Dead => self.dead,
        }
    }

    /// The same, to change it.
    pub const fn of_mut(&mut self, status: Status) -> &mut u64 {
        match status {
            Status::Starting => &mut self.starting,
            Status::Idle => &mut self.idle,
            Status::Claiming => &mut self.claiming,
            Status::Claimed => &mut self.claimed,
            Status::Crashed => &mut self.crashed,
            Status::Dead => &mut self.dead,
        }
    }
}

/// Counts the rows by status.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn counts(db: &Db) -> Result<Counts, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<(String, i64)> = answer(
        instances::table
            .filter(instances::delete_requested_at.is_null())
            .group_by(instances::status)
            .select((instances::status, count_star()))
            .load(&mut connection),
    )
    .await?;
    let mut counts = Counts::default();
    for (status, count) in rows {
        if let Some(status) = Status::parse(&status) {
            *counts.of_mut(status) = u64::try_from(count).unwrap_or_default();
        }
    }
    Ok(counts)
}

/// A row as other services know it, without the token of its gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The id in the name of its service, by which everybody names it.
    pub id: InstanceId,
    /// Its service on Railway.
    pub service_id: ServiceId,
    /// The service's name, which its key and inbox bear too.
    pub name: String,
    /// Where its agent answers.
    pub url: Option<String>,
    /// Where it is in its life: `docs/LIFECYCLE.md`.
    pub status: Status,
    /// What Railway last said of its latest deployment.
    pub deploy_status: Option<String>,
    /// The name that its claimer gave it.
    pub agent_name: Option<String>,
    /// The conversation it is in.
    pub conversation_id: Option<String>,
    /// How others join that conversation.
    pub invite_url: Option<String>,
    /// When its row, or its service before that, was made.
    pub created_at: DateTime<Utc>,
    /// When it was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// The branch that the server which claimed it was built from.
    pub source_branch: Option<String>,
    /// The hash of its OpenRouter key, which is no secret.
    pub openrouter_key_hash: Option<String>,
    /// The address of its AgentMail inbox.
    pub agentmail_inbox_id: Option<String>,
    /// The image it runs.
    pub runtime_image: Option<String>,
}

/// The newest of those that somebody uses, or used until they crashed: at most so many, oldest first,
/// without instructions.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn newest_in_use(db: &Db, at_most: usize) -> Result<Vec<InstanceView>, Error> {
    let mut connection = db.connection().await?;
    let mut rows: Vec<Row> = answer(
        instances::table
            .filter(instances::delete_requested_at.is_null())
            .filter(instances::status.eq_any(IN_USE))
            .select(Row::as_select())
            .order((instances::created_at.desc(), instances::id.desc()))
            .limit(limit(at_most))
            .load(&mut connection),
    )
    .await?;
    rows.reverse();
    Ok(rows.into_iter().filter_map(Row::into_view).collect())
}

/// What needs a person first, which is the crashed ones, and then the oldest: at most so many,
/// without instructions.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn most_urgent(db: &Db, at_most: usize) -> Result<Vec<InstanceView>, Error> {
    let mut connection = db.connection().await?;
    let rows: Vec<Row> = answer(
        instances::table
            .filter(instances::delete_requested_at.is_null())
            .select(Row::as_select())
            .order((
                instances::status.ne(Status::Crashed.as_str()),
                instances::created_at,
                instances::id,
            ))
            .limit(limit(at_most))
            .load(&mut connection),
    )
    .await?;
    Ok(rows.into_iter().filter_map(Row::into_view).collect())
}

/// Hands over every claimed row and then every crashed one, oldest first, one by one and without
/// instructions, so that not all of them have to be held at once. Ends early where `take` fails. One that
/// this build cannot read is left out; the tick reports it.
///
/// # Errors
///
/// As every statement: see [`Error`]; and what `take` fails with.
pub async fn each_in_use<E: From<Error>>(
    db: &Db,
    mut take: impl FnMut(&InstanceView) -> Result<(), E>,
) -> Result<(), E> {
    let mut connection = db.connection().await?;
    let rows = instances::table
        .filter(instances::delete_requested_at.is_null())
        .filter(instances::status.eq_any(IN_USE))
        .select(Row::as_select())
        // The statuses stand in the order of the alphabet.
        .order((instances::status, instances::created_at, instances::id))
        .load_stream::<Row>(&mut connection);
    each(rows, |row| row.into_view().map_or(Ok(()), |row| take(&row))).await
}

/// Hands over every row that lists show in the same way, oldest first, each with its instructions.
///
/// # Errors
///
/// As every statement: see [`Error`]; and what `take` fails with.
pub async fn each_with_instructions<E: From<Error>>(
    db: &Db,
    mut take: impl FnMut(&InstanceView, Option<&str>) -> Result<(), E>,
) -> Result<(), E> {
    let mut connection = db.connection().await?;
    let rows = instances::table
        .filter(instances::delete_requested_at.is_null())
        .select((Row::as_select(), instances::instructions))
        .order((instances::created_at, instances::id))
        .load_stream::<(Row, Option<String>)>(&mut connection);
    each(rows, |(row, instructions)| {
        let row = row.into_view();
        row.map_or(Ok(()), |row| take(&row, instructions.as_deref()))
    })
    .await
}

async fn each<T, E: From<Error>>(
    rows: impl Future<Output = QueryResult<impl Stream<Item = QueryResult<T>>>>,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let taken = answer(async {
        let mut rows = pin!(rows.await?);
        while let Some(row) = rows.next().await {
            if let Err(failed) = take(row?) {
                return Ok(Err(failed));
            }
        }
        Ok::<_, Error>(Ok(()))
    });
    taken.await?
}

/// The statuses of those that somebody uses, or used until they crashed.
const IN_USE: [&str; 2] = [Status::Claimed.as_str(), Status::Crashed.as_str()];

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = instances)]
#[diesel(check_for_backend(diesel::pg::Pg))]
struct Row {
    id: String,
    service_id: String,
    name: String,
    url: Option<String>,
    status: String,
    deploy_status: Option<String>,
    agent_name: Option<String>,
    conversation_id: Option<String>,
    invite_url: Option<String>,
    created_at: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    source_branch: Option<String>,
    openrouter_key_hash: Option<String>,
    agentmail_inbox_id: Option<String>,
    runtime_image: Option<String>,
}

impl Row {
    fn into_view(self) -> Option<InstanceView> {
        Some(InstanceView {
            status: Status::parse(&self.status)?,
            id: self.id.into(),
            service_id: self.service_id.into(),
            name: self.name,
            url: self.url,
            deploy_status: self.deploy_status,
            agent_name: self.agent_name,
            conversation_id: self.conversation_id,
            invite_url: self.invite_url,
            created_at: self.created_at,
            claimed_at: self.claimed_at,
            source_branch: self.source_branch,
            openrouter_key_hash: self.openrouter_key_hash,
            agentmail_inbox_id: self.agentmail_inbox_id,
            runtime_image: self.runtime_image,
        })
    }
}
