//! Databases that killed tests left behind, and templates of sources long gone.

use tokio_postgres::{Client, Error};

/// A test ends within minutes; an hour later its database is nobody's.
const OLD_DATABASE_S: i64 = 60 * 60;

/// Other checkouts may use the same server, and one that was used yesterday is made anew in a
/// second.
const OLD_TEMPLATE_S: i64 = 24 * 60 * 60;

/// Any number that nothing else on the server uses: `test_old` in ASCII.
const LOCK: i64 = 0x7465_7374_5f6f_6c64;

/// A few at a time, so that no single test pays for a long history.
const AT_ONCE: i64 = 5;

/// The age is in the name of a test's database and in the comment of a template, since PostgreSQL
/// does not keep it.
const FIND_OLD: &str = "
    SELECT name FROM (
        SELECT datname AS name, split_part(datname, '_', 3)::bigint AS made_at, $1::bigint AS keep_s
        FROM pg_database WHERE datname ~ '^pool_test_[0-9]{10}_'
        UNION ALL
        SELECT datname, shobj_description(oid, 'pg_database')::bigint, $2::bigint
        FROM pg_database WHERE datname ~ '^pool_template_[0-9a-f]{16}$'
            AND shobj_description(oid, 'pg_database') ~ '^[0-9]{10}$'
    ) AS ours
    WHERE made_at + keep_s < extract(epoch FROM now())
        AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.datname = name)
    LIMIT $3";

/// Drops a few of them, unless somebody else is at it.
pub(crate) async fn drop_some(client: &Client) -> Result<(), Error> {
    let locked = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?;
    if !locked.get::<_, bool>(0) {
        return Ok(());
    }
    let old = client
        .query(FIND_OLD, &[&OLD_DATABASE_S, &OLD_TEMPLATE_S, &AT_ONCE])
        .await?;
    for row in old {
        let name: String = row.get(0);
        // One that somebody connected to just now stays, and is dropped another time.
        let _ = client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name}"))
            .await;
    }
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await
        .map(drop)
}
