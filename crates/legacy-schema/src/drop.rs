//! The end of the tables of earlier generations, once everything of them was taken over.

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use pool_db::Error;

use crate::tables::exists;

/// A table of an earlier generation that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTable {
    /// Its name, without a schema.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: i64,
}

struct Queries {
    name: &'static str,
    count: &'static str,
    /// Rows of which nothing of ours knows: written after contraction, by a program that should
    /// have been stopped. What was destroyed since is known to the event log.
    unknown: &'static str,
    drop: &'static str,
}

macro_rules! queries {
    ($table:literal) => {
        Queries {
            name: $table,
            count: concat!("SELECT count(*) AS n FROM ", $table),
            unknown: concat!(
                "SELECT count(*) AS n FROM ",
                $table,
                " AS legacy \
                 WHERE NOT EXISTS (SELECT FROM instances WHERE instances.id = legacy.id) \
                 AND NOT EXISTS (SELECT FROM set_aside WHERE set_aside.from_table = '",
                $table,
                "' AND set_aside.id = legacy.id) \
                 AND NOT EXISTS (SELECT FROM service_fates WHERE instance_id = legacy.id)"
            ),
            drop: concat!("DROP TABLE ", $table),
        }
    };
}

const TABLES: [Queries; 2] = [queries!("agent_metadata"), queries!("pool_instances")];

/// Those that are there. Never `instances`, which is ours.
pub(crate) async fn tables(connection: &mut AsyncPgConnection) -> Result<Vec<LegacyTable>, Error> {
    let mut found = Vec::new();
    for table in &TABLES {
        if exists(connection, table.name).await? {
            let rows = number(connection, table.count).await?;
            let name = table.name;
            found.push(LegacyTable { name, rows });
        }
    }
    Ok(found)
}

/// Drops those that are there, within the caller's transaction; refuses when one holds a row that
/// was neither taken over nor set aside.
pub(crate) async fn drop_tables(
    connection: &mut AsyncPgConnection,
) -> Result<Vec<LegacyTable>, Error> {
    let there = tables(connection).await?;
    let is_there = |table: &&Queries| there.iter().any(|it| it.name == table.name);
    for table in TABLES.iter().filter(is_there) {
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", table.name);
        connection.batch_execute(&lock).await?;
        let unknown = number(connection, table.unknown).await?;
        if unknown > 0 {
            return Err(Error::Migrate(format!(
                "{} holds {unknown} rows that were neither taken over nor set aside: something \
                 still writes to it; nothing was dropped",
                table.name
            )));
        }
        connection.batch_execute(table.drop).await?;
    }
    Ok(there)
}

async fn number(connection: &mut AsyncPgConnection, query: &'static str) -> Result<i64, Error> {
    let count: Count = sql_query(query).get_result(connection).await?;
    Ok(count.n)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}
