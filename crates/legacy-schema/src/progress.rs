//! What is told of a long migration, before, meanwhile and after.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};

/// Is told how far a long migration is.
pub type Tell<'a> = dyn FnMut(Progress) + Send + 'a;

/// How far a step of a long migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// What a backfill wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Claimed rows that became instances.
    pub taken: u64,
    /// Instances that were there already and got what only the legacy row knew.
    pub filled: u64,
    /// Rows that were set aside, or whose copy there was brought up to date.
    pub set_aside: u64,
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, more: Self) {
        self.taken += more.taken;
        self.filled += more.filled;
        self.set_aside += more.set_aside;
    }
}

/// What a backfill would do, by verdict.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Forecast {
    /// `take`, `there` for those that are instances already, or `set aside`.
    #[diesel(sql_type = Text)]
    pub verdict: String,
    /// Why it is set aside.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// How many rows have this verdict for this reason.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}
