//! What was spent on what, minute by minute: by this process and, as far as the database told, by
//! the others. Counts only the last hour.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use pool_domain::budget::SpentMinute;
use pool_domain::{CallPurpose, Spent};
use tokio::time::Instant;

use crate::limits::{RATE_MINUTES, WINDOW};

/// A minute, counted from the birth of this process; those before it are negative.
type Minute = i64;

/// As many as a window has, and the one that has just begun.
const KEPT_MINUTES: Minute = WINDOW.as_secs().cast_signed() / 60 + 1;

/// Minutes of requests.
#[derive(Debug)]
pub(super) struct Spending {
    born: Instant,
    /// Not yet told to anybody.
    fresh: BTreeMap<Minute, Spent>,
    /// Told, and perhaps stored.
    told: BTreeMap<Minute, Spent>,
    /// What is stored, by all.
    shared: BTreeMap<Minute, Spent>,
}

impl Spending {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            fresh: BTreeMap::new(),
            told: BTreeMap::new(),
            shared: BTreeMap::new(),
        }
    }

    /// Counts a request.
    pub(super) fn add(&mut self, now: Instant, purpose: CallPurpose) {
        let minute = self.minute(now);
        self.fresh.entry(minute).or_default().add(purpose, 1);
        let oldest = minute - KEPT_MINUTES;
        for part in [&mut self.fresh, &mut self.told, &mut self.shared] {
            part.retain(|minute, _| *minute > oldest);
        }
    }

    /// What is not stored yet, with the times that its minutes began. It stays counted here, and is
    /// told again, until [`Self::load`].
    pub(super) fn tell(&mut self, now: Instant, time: DateTime<Utc>) -> Vec<SpentMinute> {
        for (minute, spent) in std::mem::take(&mut self.fresh) {
            *self.told.entry(minute).or_default() += spent;
        }
        self.told
            .iter()
            .filter_map(|(minute, spent)| {
                let minute = self.beginning_of(*minute, now, time)?;
                Some(SpentMinute {
                    minute,
                    spent: *spent,
                })
            })
            .collect()
    }

    /// Takes over what is stored, which includes what was told before.
    pub(super) fn load(&mut self, now: Instant, time: DateTime<Utc>, stored: &[SpentMinute]) {
        self.told.clear();
        self.shared.clear();
        for SpentMinute { minute, spent } in stored {
            // Its middle, so that a clock which is a little off does not move it to its neighbour.
            let age = time - *minute - TimeDelta::seconds(30);
            let minute = (self.seconds(now) - age.num_seconds()).div_euclid(60);
            *self.shared.entry(minute).or_default() += *spent;
        }
    }

    /// What was spent in this time until now, whole minutes.
    pub(super) fn within(&self, now: Instant, time: Duration) -> Spent {
        let minutes = Minute::try_from(time.as_secs().div_ceil(60)).unwrap_or(Minute::MAX);
        let from = self.minute(now).saturating_sub(minutes.min(KEPT_MINUTES));
        let mut sum = Spent::default();
        for (_, spent) in self.all().filter(|(minute, _)| *minute > from) {
            sum += spent;
        }
        sum
    }

    /// Requests an hour, at the rate of the last ten minutes or of all there is.
    pub(super) fn rate_per_hour(&self, now: Instant) -> u64 {
        let this = self.minute(now);
        let first = self.all().map(|(minute, _)| minute).min();
        let known = first.map_or(1, |first| (this - first + 1).clamp(1, RATE_MINUTES));
        let minutes = u64::try_from(known).unwrap_or(1);
        let spent = self.within(now, Duration::from_secs(minutes * 60)).total();
        spent.saturating_mul(60) / minutes
    }

    /// How long ago the last minute with a listing began; none when there was none in the last hour.
    pub(super) fn last_listing(&self, now: Instant) -> Option<Duration> {
        let minute = self
            .all()
            .filter(|(_, spent)| spent.listing > 0)
            .map(|(minute, _)| minute)
            .max()?;
        let ago = self.seconds(now) - minute * 60;
        Some(Duration::from_secs(u64::try_from(ago).unwrap_or(0)))
    }

    fn all(&self) -> impl Iterator<Item = (Minute, Spent)> {
        [&self.fresh, &self.told, &self.shared]
            .into_iter()
            .flatten()
            .map(|(minute, spent)| (*minute, *spent))
    }

    fn minute(&self, now: Instant) -> Minute {
        self.seconds(now).div_euclid(60)
    }

    fn seconds(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.born).as_secs()).unwrap_or(i64::MAX)
    }

    fn beginning_of(
        &self,
        minute: Minute,
        now: Instant,
        time: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let middle = time - TimeDelta::seconds(self.seconds(now) - minute * 60 - 30);
        middle.duration_trunc(TimeDelta::minutes(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn time(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn listings(spending: &Spending, now: Instant, within: Duration) -> u64 {
        spending.within(now, within).listing
    }

    #[tokio::test]
    async fn what_is_an_hour_old_is_forgotten() {
        let born = Instant::now();
        let mut spending = Spending::new(born);
        for minute in 0..90 {
            spending.add(born + MINUTE * minute, CallPurpose::Listing);
        }
        let now = born + MINUTE * 89;
        assert_eq!(listings(&spending, now, WINDOW), 60);
        assert_eq!(listings(&spending, now, MINUTE * 5), 5);
        assert_eq!(listings(&spending, now, Duration::from_secs(1)), 1);
        assert_eq!(spending.fresh.len(), 61);
        assert_eq!(spending.rate_per_hour(now), 60);
    }

    #[tokio::test]
    async fn what_is_stored_replaces_what_was_told_and_nothing_else() {
        let born = Instant::now();
        let mut spending = Spending::new(born);
        spending.add(born, CallPurpose::Listing);
        let told = spending.tell(born, time(100));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].minute, time(100));
        spending.add(born + MINUTE, CallPurpose::Creating);
        // It could not be stored: it is told again, with what came meanwhile.
        let told = spending.tell(born + MINUTE, time(101));
        assert_eq!(
            told.iter().map(|it| it.minute).collect::<Vec<_>>(),
            [time(100), time(101)]
        );
        spending.add(born + MINUTE, CallPurpose::Creating);
        let mut stored = told;
        stored[0].spent.add(CallPurpose::Listing, 7);
        spending.load(born + MINUTE, time(101), &stored);
        let spent = spending.within(born + MINUTE, WINDOW);
        assert_eq!((spent.listing, spent.creating), (8, 2));
        assert_eq!(listings(&spending, born + MINUTE, MINUTE), 0);
        let told = spending.tell(born + MINUTE, time(101));
        assert_eq!((told.len(), told[0].spent.total()), (1, 1));
    }

    #[tokio::test]
    async fn a_new_process_counts_what_others_spent_before_it_was_born() {
        let born = Instant::now();
        let mut spending = Spending::new(born);
        let minute = |minute| SpentMinute {
            minute: time(minute),
            spent: Spent {
                listing: 2,
                ..Spent::default()
            },
        };
        spending.load(born, time(100), &[minute(30), minute(55), minute(98)]);
        assert_eq!(listings(&spending, born, WINDOW), 4);
        assert_eq!(listings(&spending, born, MINUTE * 10), 2);
        assert_eq!(spending.last_listing(born), Some(MINUTE * 2));
        assert_eq!(spending.rate_per_hour(born), 12);
    }

    #[tokio::test]
    async fn the_rate_of_a_young_process_is_that_of_its_life() {
        let born = Instant::now();
        let mut spending = Spending::new(born);
        assert_eq!(
            (spending.rate_per_hour(born), spending.last_listing(born)),
            (0, None)
        );
        for _ in 0..4 {
            spending.add(born, CallPurpose::Creating);
        }
        assert_eq!(spending.rate_per_hour(born), 240);
        assert_eq!(spending.rate_per_hour(born + MINUTE * 3), 60);
    }
}
