//! Whose services bear our prefix and our key: several managers may share an environment.

use chrono::{DateTime, TimeDelta, Utc};

use crate::ManagerId;

/// Who we are, and whose services a person has said are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managers {
    /// Ours; none before this database had one.
    pub own: Option<ManagerId>,
    /// Since when our records are unbroken: whatever we made later is recorded.
    pub recorded_since: DateTime<Utc>,
    /// The others, and since when.
    pub taken_over: Vec<(ManagerId, DateTime<Utc>)>,
}

/// By how much Railway's clock may be ahead of the database's before a service looks younger than it is.
const CLOCKS_DIFFER_BY: TimeDelta = TimeDelta::minutes(1);

impl Managers {
    /// Why a service without a record is not ours, by the manager that it names and by when it was made;
    /// none where it may be. One that names none was made by a version that named nobody.
    #[must_use]
    pub fn refuses(&self, maker: Option<&ManagerId>, made_at: DateTime<Utc>) -> Option<String> {
        let maker = maker?;
        let is_later = |than: DateTime<Utc>| made_at > than + CLOCKS_DIFFER_BY;
        if Some(maker) == self.own.as_ref() {
            return is_later(self.recorded_since).then(|| {
                "it was made under our POOL_MANAGER_ID, and by nobody who writes to this database: \
                 another manager runs on a copy of it, or this one was put back to an earlier state \
                 (pool-migrate after-restore)"
                    .to_owned()
            });
        }
        let of_maker = |(id, _): &&(ManagerId, DateTime<Utc>)| id == maker;
        match self.taken_over.iter().find(of_maker) {
            Some((_, at)) if !is_later(*at) => None,
            Some(_) => Some(format!(
                "manager {maker} made it after it was taken over, so that one is still alive"
            )),
            None => Some(format!(
                "another manager made it: its POOL_MANAGER_ID is {maker} (pool-migrate take-over)"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    #[test]
    fn a_service_is_ours_by_the_manager_that_it_names() {
        let (own, other, third) = ("own".into(), "other".into(), "third".into());
        let managers = Managers {
            own: Some("own".into()),
            recorded_since: at(10),
            taken_over: vec![("other".into(), at(20))],
        };
        let refused = |maker: Option<&ManagerId>, minute| managers.refuses(maker, at(minute));
        assert_eq!(refused(None, 99), None);
        assert_eq!(refused(Some(&own), 10), None);
        assert!(refused(Some(&own), 12).is_some_and(|why| why.contains("copy")));
        assert_eq!(refused(Some(&other), 20), None);
        assert!(refused(Some(&other), 22).is_some_and(|why| why.contains("alive")));
        assert!(refused(Some(&third), 0).is_some_and(|why| why.contains("third")));
    }
}
