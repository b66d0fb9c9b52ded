//! The tables of earlier generations as they are in this database: any of their columns may be
//! missing, so what reads them is composed from those that are there.

use std::collections::BTreeSet;

use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use pool_db::Error;

/// Those that may be there, whatever the generation.
pub(crate) const NAMES: [&str; 3] = ["agent_metadata", "instances", "pool_instances"];

/// What the tables are, in the order of their generations.
pub(crate) struct Legacy {
    pool_instances: Option<Columns>,
    agent_metadata: Option<Columns>,
    /// None before it was made.
    instances: Option<Columns>,
    has_set_aside: bool,
    /// Whether `instances` was there before us.
    found_instances: bool,
}

type Columns = BTreeSet<String>;

impl Legacy {
    pub(crate) async fn find(connection: &mut AsyncPgConnection) -> Result<Self, Error> {
        let instances = columns(connection, "instances").await?;
        let found_instances = if exists(connection, "pool_schema").await? {
            let found: Truth =
                sql_query("SELECT 'instances' = ANY (found) AS truth FROM pool_schema")
                    .get_result(connection)
                    .await?;
            found.truth
        } else {
            instances.is_some()
        };
        Ok(Self {
            pool_instances: columns(connection, "pool_instances").await?,
            agent_metadata: columns(connection, "agent_metadata").await?,
            has_set_aside: exists(connection, "set_aside").await?,
            instances,
            found_instances,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pool_instances.is_none() && self.agent_metadata.is_none()
    }

    /// Keeps the Node service from writing to them until the transaction ends.
    pub(crate) fn lock(&self) -> String {
        let names = [
            self.agent_metadata.as_ref().map(|_| "agent_metadata"),
            self.pool_instances.as_ref().map(|_| "pool_instances"),
        ];
        let names: Vec<_> = names.into_iter().flatten().collect();
        format!("LOCK TABLE {} IN SHARE MODE", names.join(", "))
    }

    /// `backfill_rows`: every legacy row in one shape. `backfill_instances` and `backfill_aside`:
    /// what there is on our side, empty before the first migration.
    pub(crate) fn views(&self) -> String {
        let rows: Vec<_> = [
            self.agent_metadata.as_ref().map(agent_metadata),
            self.pool_instances.as_ref().map(pool_instances),
        ]
        .into_iter()
        .flatten()
        .collect();
        let instances = self.instances.as_ref().map_or_else(
            || "SELECT ''::text AS id, '' AS service_id, '' AS status WHERE false".to_owned(),
            |_| "SELECT id, service_id, status FROM instances".to_owned(),
        );
        let aside = if self.has_set_aside {
            "SELECT from_table, id, reason FROM set_aside"
        } else {
            "SELECT ''::text AS from_table, ''::text AS id, ''::text AS reason WHERE false"
        };
        format!(
            "CREATE OR REPLACE TEMP VIEW backfill_rows AS {}; \
             CREATE OR REPLACE TEMP VIEW backfill_instances AS {instances}; \
             CREATE OR REPLACE TEMP VIEW backfill_aside AS {aside}; \
             CREATE OR REPLACE TEMP VIEW backfill_found AS SELECT {} AS instances;",
            rows.join(" UNION ALL "),
            self.found_instances
        )
    }
}

/// What a row of `agent_metadata` says, which only claimed instances have.
fn agent_metadata(columns: &Columns) -> String {
    let text = |name| text(columns, name);
    let created_at = first_known(columns, &["created_at", "claimed_at"]);
    let claimed_at = first_known(columns, &["claimed_at", "created_at"]);
    format!(
        "SELECT 'agent_metadata'::text AS from_table, t.id, t.railway_service_id AS service_id, \
         NULL::text AS url, {agent_name} AS agent_name, {conversation_id} AS conversation_id, \
         {invite_url} AS invite_url, {instructions} AS instructions, {created_at} AS created_at, \
         {claimed_at} AS claimed_at, {source_branch} AS source_branch, {key} AS \
         openrouter_key_hash, {inbox} AS agentmail_inbox_id, true AS was_claimed, \
         t.xmin AS changed_by, to_jsonb(t) AS \"row\" FROM agent_metadata AS t",
        agent_name = raw(columns, "agent_name"),
        conversation_id = text("conversation_id"),
        invite_url = text("invite_url"),
        instructions = raw(columns, "instructions"),
        source_branch = text("source_branch"),
        key = text("openrouter_key_hash"),
        inbox = text("agentmail_inbox_id"),
    )
}

/// The first generation. Its join link stands in for an invite that is empty, but says nothing of
/// whether anybody claimed it.
fn pool_instances(columns: &Columns) -> String {
    let text = |name| text(columns, name);
    let claimer = format!(
        "coalesce({}, {})",
        text("claimed_by"),
        text("claimed_by_concierge_id")
    );
    let claimed_at = first_known(columns, &["claimed_at", "created_at", "updated_at"]);
    let created_at = first_known(columns, &["created_at", "claimed_at", "updated_at"]);
    format!(
        "SELECT 'pool_instances'::text AS from_table, t.id, t.railway_service_id AS service_id, \
         {url} AS url, {claimer} AS agent_name, {conversation_id} AS conversation_id, \
         coalesce({invite_url}, {join_url}) AS invite_url, {instructions} AS instructions, \
         {created_at} AS created_at, {claimed_at} AS claimed_at, NULL::text AS source_branch, \
         NULL::text AS openrouter_key_hash, NULL::text AS agentmail_inbox_id, \
         ({claimer} IS NOT NULL OR {conversation_id} IS NOT NULL OR {invite_url} IS NOT NULL \
         OR {own_claimed_at} IS NOT NULL OR coalesce({status}, '') = 'claimed') AS was_claimed, \
         t.xmin AS changed_by, to_jsonb(t) AS \"row\" FROM pool_instances AS t",
        url = text("railway_url"),
        conversation_id = text("conversation_id"),
        invite_url = text("invite_url"),
        join_url = text("join_url"),
        instructions = raw(columns, "instructions"),
        own_claimed_at = time(columns, "claimed_at"),
        status = text("status"),
    )
}

/// An empty text says as little as none.
fn text(columns: &Columns, name: &str) -> String {
    format!("nullif({}, '')", raw(columns, name))
}

fn raw(columns: &Columns, name: &str) -> String {
    if columns.contains(name) {
        format!("t.{name}::text")
    } else {
        "NULL::text".to_owned()
    }
}

fn time(columns: &Columns, name: &str) -> String {
    if columns.contains(name) {
        format!("t.{name}::timestamptz")
    } else {
        "NULL::timestamptz".to_owned()
    }
}

fn first_known(columns: &Columns, names: &[&str]) -> String {
    let times: Vec<_> = names.iter().map(|name| time(columns, name)).collect();
    format!("coalesce({}, now())", times.join(", "))
}

/// Whether there is a table of this name.
pub(crate) async fn exists(connection: &mut AsyncPgConnection, table: &str) -> Result<bool, Error> {
    let found: Truth = sql_query("SELECT to_regclass($1) IS NOT NULL AS truth")
        .bind::<Text, _>(table)
        .get_result(connection)
        .await?;
    Ok(found.truth)
}

/// None where there is no such table.
async fn columns(
    connection: &mut AsyncPgConnection,
    table: &str,
) -> Result<Option<Columns>, Error> {
    let names: Vec<Name> = sql_query(
        "SELECT attname::text AS name FROM pg_attribute \
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    )
    .bind::<Text, _>(table)
    .load(connection)
    .await?;
    let names: Columns = names.into_iter().map(|row| row.name).collect();
    Ok((!names.is_empty()).then_some(names))
}

#[derive(QueryableByName)]
struct Truth {
    #[diesel(sql_type = Bool)]
    truth: bool,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}
