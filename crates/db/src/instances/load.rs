//! Reads every row for a tick. A row that this build cannot read is said and skipped: it never
//! stops a tick.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use diesel_async::RunQueryDsl;
use futures_util::future::{try_join, try_join4};
use pool_domain::{Epoch, Instance, InstanceId, Secret, ServiceId, Status};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::schema::instances;

/// Every row, and the time at which they were so.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// By the database's clock; no time in the rows is later.
    pub now: DateTime<Utc>,
    /// The rows, in the order of their ids.
    pub rows: Vec<Instance>,
    /// The rows that could not be read, each as table, column, row and why.
    pub unreadable: Vec<String>,
    /// The services of these rows, which are whoever's can read them.
    pub unreadable_services: Vec<ServiceId>,
}

/// Reads every row, without instructions.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn load(db: &Db) -> Result<Loaded, Error> {
    diesel::define_sql_function! { fn clock_timestamp() -> Timestamptz; }
    let connection = db.connection().await?;
    // Sent together, answered in this order.
    let rows = instances::table
        .select(Row::as_select())
        .order(instances::id)
        .load(&mut &*connection);
    let now = diesel::select(clock_timestamp()).get_result(&mut &*connection);
    let (rows, now) = answer(try_join(rows, now)).await?;
    let mut loaded = Loaded {
        now,
        rows: Vec::with_capacity(rows.len()),
        unreadable: Vec::new(),
        unreadable_services: Vec::new(),
    };
    for row in rows {
        let service = row.service_id.clone();
        match Instance::try_from(row) {
            Ok(instance) => loaded.rows.push(instance),
            Err(why) => {
                loaded.unreadable.push(why);
                loaded.unreadable_services.push(service.into());
            }
        }
    }
    Ok(loaded)
}

/// The rows that may have to be probed: a few, read often.
#[derive(Debug, Clone, Default)]
pub struct Probed {
    /// Every starting one, whichever became so last first.
    pub starting: Vec<Instance>,
    /// Those that claims take next, in their order.
    pub next: Vec<Instance>,
    /// Some of the other idle ones, in the order of claims, from where the last look ended.
    pub others: Vec<Instance>,
    /// Where these end in that order; none where there were none.
    pub ends_at: Option<Place>,
    /// Those that were asked for by their ids.
    pub named: Vec<Instance>,
}

/// After which idle row, in the order of claims, a look at the stock goes on.
pub type Place = (DateTime<Utc>, InstanceId);

/// Reads the starting rows, the next `next` idle ones, `others` of the rest after `after`, and those
/// with these ids. One that this build cannot read is left out: the rounds say so.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn load_probed(
    db: &Db,
    next: usize,
    after: Option<&Place>,
    others: usize,
    named: &[InstanceId],
) -> Result<Probed, Error> {
    let connection = db.connection().await?;
    let with_status = |status: Status| {
        instances::table
            .select(Row::as_select())
            .filter(instances::status.eq(status.as_str()))
    };
    let starting = with_status(Status::Starting)
        .order((instances::status_changed_at.desc(), instances::id))
        .load(&mut &*connection);
    // As the index has it, and the statement of a lease.
    let queued_at = || sql::<Timestamptz>("coalesce(put_back_at, created_at)");
    let first = with_status(Status::Idle)
        .order((queued_at(), instances::id))
        .limit(limit(next))
        .load(&mut &*connection);
    let (since, id) = after.map_or((DateTime::UNIX_EPOCH, ""), |(at, id)| (*at, id.as_str()));
    let rest = with_status(Status::Idle)
        .filter(queued_at().ge(since))
        .filter(queued_at().gt(since).or(instances::id.gt(id)))
        .order((queued_at(), instances::id))
        .limit(limit(others))
        .load(&mut &*connection);
    let ids: Vec<_> = named.iter().map(InstanceId::as_str).collect();
    let named = async {
        // Mostly there are none.
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let named = instances::table
            .select(Row::as_select())
            .filter(instances::id.eq_any(ids))
            .order(instances::id);
        named.load(&mut &*connection).await
    };
    // Sent together, answered in this order.
    let (starting, next, others, named) = answer(try_join4(starting, first, rest, named)).await?;
    let ends_at = others.last().map(|row| {
        let queued_at = row.put_back_at.unwrap_or(row.created_at);
        (queued_at, InstanceId::new(row.id.clone()))
    });
    let readable = |rows: Vec<Row>| {
        let read = rows.into_iter().map(Instance::try_from);
        read.filter_map(Result::ok).collect()
    };
    Ok(Probed {
        starting: readable(starting),
        next: readable(next),
        others: readable(others),
        ends_at,
        named: readable(named),
    })
}

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
    gateway_token: Option<String>,
    runtime_image: Option<String>,
    epoch: i64,
    status_changed_at: DateTime<Utc>,
    failed_claims: i16,
    put_back_at: Option<DateTime<Utc>>,
    missing_since: Option<DateTime<Utc>>,
    delete_requested_at: Option<DateTime<Utc>>,
    unasked: bool,
}

impl TryFrom<Row> for Instance {
    type Error = String;

    fn try_from(row: Row) -> Result<Self, String> {
        let unreadable =
            |column: &str, why: String| format!("instances.{column} of row {}: {why}", row.id);
        let status = Status::parse(&row.status).ok_or_else(|| {
            unreadable(
                "status",
                format!("`{}` is not a status of this build", row.status),
            )
        })?;
        let failed_claims = u8::try_from(row.failed_claims).map_err(|_| {
            unreadable(
                "failed_claims",
                format!("{} is out of range", row.failed_claims),
            )
        })?;
        Ok(Self {
            id: row.id.into(),
            service_id: row.service_id.into(),
            name: row.name,
            url: row.url,
            status,
            deploy_status: row.deploy_status.map(Into::into),
            agent_name: row.agent_name,
            conversation_id: row.conversation_id,
            invite_url: row.invite_url,
            created_at: row.created_at,
            claimed_at: row.claimed_at,
            source_branch: row.source_branch,
            openrouter_key_hash: row.openrouter_key_hash.map(Into::into),
            agentmail_inbox_id: row.agentmail_inbox_id.map(Into::into),
            gateway_token: row.gateway_token.map(Secret::new),
            runtime_image: row.runtime_image,
            epoch: Epoch(row.epoch),
            status_changed_at: row.status_changed_at,
            failed_claims,
            missing_since: row.missing_since,
            delete_requested_at: row.delete_requested_at,
            unasked: row.unasked,
        })
    }
}
