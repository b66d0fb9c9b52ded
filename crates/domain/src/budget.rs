//! Railway's budget as plain data: what requests were for, what servers tell one another of it
//! through the database, and what a report says. Nothing here counts or decides.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a request to Railway was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallPurpose {
    /// Seeing what there is.
    Listing,
    /// Reading whose a service is.
    Adoption,
    /// Making instances, every step of it.
    Creating,
    /// Deleting what they left outside.
    Destroying,
    /// Anything else, such as finding the environment at the start.
    Other,
}

impl CallPurpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::Listing,
        Self::Adoption,
        Self::Creating,
        Self::Destroying,
        Self::Other,
    ];
}

/// How many requests went to each purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spent {
    /// See [`CallPurpose::Listing`].
    pub listing: u64,
    /// See [`CallPurpose::Adoption`].
    pub adoption: u64,
    /// See [`CallPurpose::Creating`].
    pub creating: u64,
    /// See [`CallPurpose::Destroying`].
    pub destroying: u64,
    /// See [`CallPurpose::Other`].
    pub other: u64,
}

impl Spent {
    /// Those for this purpose.
    #[must_use]
    pub const fn on(&self, purpose: CallPurpose) -> u64 {
        match purpose {
            CallPurpose::Listing => self.listing,
            CallPurpose::Adoption => self.adoption,
            CallPurpose::Creating => self.creating,
            CallPurpose::Destroying => self.destroying,
            CallPurpose::Other => self.other,
        }
    }

    /// Counts requests for this purpose.
    pub const fn add(&mut self, purpose: CallPurpose, requests: u64) {
        let count = match purpose {
            CallPurpose::Listing => &mut self.listing,
            CallPurpose::Adoption => &mut self.adoption,
            CallPurpose::Creating => &mut self.creating,
            CallPurpose::Destroying => &mut self.destroying,
            CallPurpose::Other => &mut self.other,
        };
        *count = count.saturating_add(requests);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let counts = CallPurpose::ALL.map(|purpose| self.on(purpose));
        counts.into_iter().fold(0, u64::saturating_add)
    }
}

/// What servers tell one another of the limits. Whoever heard last knows best, so it is replaced as a
/// whole. All times are the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When whoever tells it heard it from Railway.
    pub at: DateTime<Utc>,
    /// Requests that Railway allows in an hour.
    pub limit: Option<u64>,
    /// Requests left in the current window.
    pub remaining: Option<u64>,
    /// When that window ends; none where Railway did not say, and the window is one of our own.
    pub resets_at: Option<DateTime<Utc>>,
    /// Until when nothing may be sent.
    pub block: Option<Block>,
    /// How often in a row the edge blocked us: each time it is left alone for longer.
    pub edge_blocks: u32,
}

/// A time in which nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Which of the limiters wants it.
    pub by: Blocker,
    /// When the next request may go.
    pub until: DateTime<Utc>,
}

/// Who wants nothing to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Blocker {
    /// Railway counts requests by the hour and by the second, and says so in headers.
    Railway,
    /// The edge in front of it, which blocks an address for minutes to a day.
    Edge,
}

impl Blocker {
    /// Its name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Railway => "railway",
            Self::Edge => "edge",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Railway, Self::Edge]
            .into_iter()
            .find(|it| it.as_str() == name)
    }
}

/// How Railway's budget stood at the end of a tick.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetReport {
    /// Requests an hour: as Railway said, or as assumed where it never did.
    pub limit: u64,
    /// Whether limit and remaining are only assumed. They then hold back creating, nothing else.
    pub is_assumed: bool,
    /// Requests left until the window ends.
    pub remaining: u64,
    /// When the window ends; none where it is not known.
    pub resets_at: Option<DateTime<Utc>>,
    /// What the server that ticks spent since the window began, or since its own start.
    pub spent: Spent,
    /// What this tick spent.
    pub spent_by_tick: Spent,
    /// Requests an hour, by all servers, at the rate since the window began.
    pub rate_per_hour: u64,
    /// When nothing is left, at that rate; none when the window ends before.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// Of what is left, kept for listing.
    pub kept_for_listing: u64,
    /// Of what is left, kept for destroying.
    pub kept_for_destroying: u64,
    /// How many instances may still be made of what is left.
    pub creates_left: u64,
    /// From one listing to the next, in milliseconds.
    pub listing_every_ms: u64,
    /// Why listings are made less often than asked for.
    pub listing_is_slower_because: Option<String>,
    /// Who wants nothing to be sent at the moment, and until when.
    pub block: Option<Block>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_is_counted_apart() {
        let mut spent = Spent::default();
        for (count, purpose) in (1..).zip(CallPurpose::ALL) {
            spent.add(purpose, count);
        }
        let counts = CallPurpose::ALL.map(|purpose| spent.on(purpose));
        assert_eq!((counts, spent.total()), ([1, 2, 3, 4, 5], 15));
    }
}
