//! One statement of a `.sql` file with its values. Unlike diesel's `sql_query`, it is kept as a
//! prepared statement of its connection, which halves the time of a claim.
//!
//! One that writes and is a transaction of its own is `load`ed to its end: `get_result` is content with
//! the row, which may arrive although what comes after it fails, the commit or the wait for a standby.

use std::marker::PhantomData;
use std::time::Duration;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// The text, and the values of `$1`, `$2` and so on in the order in which they are bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<V = ()> {
    text: &'static str,
    values: V,
}

/// A statement of this text, to which values are bound one by one.
pub(crate) const fn statement(text: &'static str) -> Statement {
    Statement { text, values: () }
}

impl<V> Statement<V> {
    /// Binds the next value.
    pub(crate) fn bind<ST, T>(self, value: T) -> Statement<Bound<V, ST, T>> {
        Statement {
            text: self.text,
            values: Bound {
                before: self.values,
                value,
                sql_type: PhantomData,
            },
        }
    }
}

impl<V: Values> QueryFragment<Pg> for Statement<V> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.text);
        // Binding a value also writes its placeholder. The text holds them already, some of them
        // twice, so these go into a comment.
        out.push_sql("\n-- ");
        self.values.push(&mut out)
    }
}

impl<V> QueryId for Statement<V> {
    type QueryId = ();
    // The text itself is the key of the prepared statement.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<V> Query for Statement<V> {
    type SqlType = Untyped;
}

/// A value, after those before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<V, ST, T> {
    before: V,
    value: T,
    sql_type: PhantomData<ST>,
}

/// Values in their order.
pub(crate) trait Values {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

impl Values for () {
    fn push<'b>(&'b self, _: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ok(())
    }
}

impl<V, ST, T> Values for Bound<V, ST, T>
where
    V: Values,
    Pg: HasSqlType<ST>,
    T: ToSql<ST, Pg>,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.before.push(out)?;
        out.push_bind_param(&self.value)
    }
}

/// As the database takes a duration. Longer than 292 million years is for ever.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What is bound as an array: one value of each.
pub(crate) fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use diesel::QueryableByName;
    use diesel::sql_types::{BigInt, Text};
    use diesel_async::RunQueryDsl;
    use pool_domain::Secret;
    use pool_test_database::TestDatabase;

    use super::statement;
    use crate::connection::{Connector, Session};

    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }

    #[tokio::test]
    async fn it_is_prepared_once_for_a_connection_and_may_use_a_value_twice() {
        let database = TestDatabase::empty().await;
        let connector = Connector::new(&Secret::new(database.url()), Session::CLAIM).unwrap();
        let mut connection = connector.connect().await.unwrap();
        for n in 1..=3 {
            let row: Number = statement("SELECT $1 * $1 + length($2) AS n")
                .bind::<BigInt, _>(n)
                .bind::<Text, _>("four".to_owned())
                .get_result(&mut connection)
                .await
                .unwrap();
            assert_eq!(row.n, n * n + 4);
        }
        let prepared: Number = statement(
            "SELECT count(*) AS n FROM pg_prepared_statements WHERE statement LIKE '%length($2)%' \
             AND statement NOT LIKE '%pg_prepared%'",
        )
        .get_result(&mut connection)
        .await
        .unwrap();
        assert_eq!(prepared.n, 1);
    }
}
