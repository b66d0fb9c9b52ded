//! Whether the records are those that were written last, or an older state of them: then whatever they
//! call free may be somebody's, and is unverified until its agent says so.

use std::fmt;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::seen::Seen;
use crate::statement::statement;

/// The records were found to be possibly older than the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubted {
    /// Why.
    pub why: String,
    /// How many instances are unverified since, that were not before.
    pub instances: u64,
}

impl fmt::Display for Doubted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, instances } = self;
        write!(
            f,
            "the records may be older than the agents ({why}): {instances} instances are handed to \
             nobody until their agents say whose they are"
        )
    }
}

/// Looks whether anything speaks against the records. If so, everything that is starting, idle or
/// claiming becomes unverified, in one statement; one server does it, and all see it. Does nothing before
/// contraction.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn verify(db: &Db) -> Result<Option<Doubted>, Error> {
    if !db.is_contracted().await? {
        return Ok(None);
    }
    let mut connection = db.connection().await?;
    look(&mut connection, db.seen(), None).await
}

/// Makes everything unverified that is not somebody's by the records, since a person says that they may
/// be older than the world: of a disk that was put back nothing in the database can tell.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn doubt(db: &Db, because: &str) -> Result<Doubted, Error> {
    let mut connection = db.connection().await?;
    let doubted = look(&mut connection, db.seen(), Some(because)).await?;
    doubted.ok_or_else(|| Error::Read("the records were not made unverified".to_owned()))
}

/// Whether the records could not tell that a standby was promoted: this role may not ask which timeline
/// the database writes.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn is_blind(db: &Db) -> Result<bool, Error> {
    let mut connection = db.connection().await?;
    let asked = "SELECT pool_timeline() IS NULL AND NOT pg_is_in_recovery() AS truth";
    let blind: Truth = answer(statement(asked).get_result(&mut connection)).await?;
    Ok(blind.truth)
}

async fn look(
    connection: &mut AsyncPgConnection,
    seen: &Seen,
    because: Option<&str>,
) -> Result<Option<Doubted>, Error> {
    let (generation, tick) = seen.newest();
    let looked: Looked = answer(
        statement("SELECT * FROM pool_verify_record($1, $2, $3)")
            .bind::<BigInt, _>(generation)
            .bind::<BigInt, _>(tick)
            .bind::<Nullable<Text>, _>(because.map(str::to_owned))
            .get_result(connection),
    )
    .await?;
    if let Some(generation) = looked.generation {
        seen.note(generation, looked.tick);
    }
    Ok(looked.doubt.map(|why| Doubted {
        why,
        instances: u64::try_from(looked.doubted.unwrap_or_default()).unwrap_or_default(),
    }))
}

#[derive(QueryableByName)]
struct Truth {
    #[diesel(sql_type = Bool)]
    truth: bool,
}

#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = Nullable<BigInt>)]
    generation: Option<i64>,
    #[diesel(sql_type = BigInt)]
    tick: i64,
    #[diesel(sql_type = Nullable<Text>)]
    doubt: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    doubted: Option<i64>,
}
