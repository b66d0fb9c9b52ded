//! What PostgreSQL shares in a whole database, and each pool must have for itself: the keys of advisory
//! locks, and the channel on which the leader is woken. A pool is the tables in one schema.

use diesel::QueryableByName;
use diesel::sql_types::{Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::answer::answer;
use crate::error::Error;
use crate::statement::statement;

/// Where tables are made that name no schema, unless somebody chose another.
const USUAL: &str = "public";

/// The schema of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    schema: String,
}

impl Scope {
    /// The schema that holds our tables, else the one in which they would be made.
    pub(crate) async fn of(connection: &mut AsyncPgConnection) -> Result<Self, Error> {
        let found: Found = answer(
            statement(
                "SELECT coalesce((SELECT nspname FROM pg_class JOIN pg_namespace ON \
                 pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass('pool_schema')), \
                 current_schema())::text AS schema",
            )
            .get_result(connection),
        )
        .await?;
        let schema = found.schema.ok_or(Error::FindSchema)?;
        Ok(Self { schema })
    }

    /// The key of a lock that is this pool's alone.
    pub(crate) fn lock(&self, name: i64) -> i64 {
        if self.schema == USUAL {
            return name;
        }
        // FNV-1a, which is the same in every build: two versions of a server take the same lock.
        let bytes = name.to_be_bytes().into_iter().chain(self.schema.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash.cast_signed()
    }

    /// The channel on which this pool's leader listens; of letters, digits and underscores.
    pub(crate) fn wake_channel(&self) -> String {
        /// `poolwake` in ASCII.
        const NAME: i64 = 0x706f_6f6c_7761_6b65;
        if self.schema == USUAL {
            return "pool_wake".to_owned();
        }
        format!("pool_wake_{:016x}", self.lock(NAME))
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Nullable<Text>)]
    schema: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(schema: &str) -> Scope {
        Scope {
            schema: schema.to_owned(),
        }
    }

    #[test]
    fn each_schema_has_locks_and_a_channel_of_its_own_and_the_usual_one_has_the_plain_ones() {
        let (usual, one, two) = (scope("public"), scope("one"), scope("Zwei \"2\""));
        assert_eq!(
            (usual.lock(7), usual.wake_channel()),
            (7, "pool_wake".to_owned())
        );
        assert_ne!(one.lock(7), two.lock(7));
        assert_ne!(one.lock(7), one.lock(8));
        assert_eq!(one.wake_channel(), "pool_wake_0229196e7f725c51");
        assert_ne!(one.wake_channel(), two.wake_channel());
    }
}
