//! What listings show: pages with opaque cursors, that lag behind what was written.

use chrono::{DateTime, Utc};
use pool_domain::{EnvironmentId, ProjectId};

use super::{
    Caller, Environment, Refusal, Service, ServiceInstance, View, Volume, VolumeInstance, World,
};

/// What every connection takes.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// Only what comes after this cursor.
    pub after: Option<String>,
    /// Only what comes before this cursor.
    pub before: Option<String>,
    /// At most so many, from the front.
    pub first: Option<i32>,
    /// At most so many, from the back.
    pub last: Option<i32>,
}

/// A page of a connection. Each item comes with its cursor.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<(String, T)>,
    /// Whether there are more behind.
    pub has_next: bool,
    /// Whether there are more before.
    pub has_previous: bool,
}

impl World {
    /// `environment(id, projectId)`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where the caller may not see it, or it is gone.
    pub fn environment(
        &self,
        caller: &Caller,
        id: &EnvironmentId,
        project: Option<&ProjectId>,
    ) -> Result<(&ProjectId, &Environment), Refusal> {
        let (owner, environment) = self.find_environment(id).ok_or(Refusal::NotAuthorized)?;
        let fits = project.is_none_or(|asked| asked == owner);
        if fits && caller.may_see(id) {
            Ok((owner, environment))
        } else {
            Err(Refusal::NotAuthorized)
        }
    }

    /// `environment.serviceInstances`, oldest first.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProblemProcessing`] for a page that nobody can give: a negative size, a cursor
    /// that is none.
    pub fn service_instances(
        &self,
        environment: &EnvironmentId,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<(&Service, &ServiceInstance)>, Refusal> {
        let shown = self.services.values().filter_map(|service| {
            let instance = service.instances.get(environment)?;
            let is_shown = self.shows(instance.created_at, service.deleted_at, view);
            is_shown.then_some((service.seq, (service, instance)))
        });
        let items = view.bend(shown.collect());
        paged(items, args, self.settings.default_page, view)
    }

    /// `environment.volumeInstances`, oldest first; those pending deletion too.
    pub(crate) fn volume_instances(
        &self,
        environment: &EnvironmentId,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<(&Volume, &VolumeInstance)>, Refusal> {
        let shown = self.volumes.values().filter_map(|volume| {
            let instance = volume.instances.get(environment)?;
            let is_shown = self.shows(volume.created_at, None, view);
            is_shown.then_some((volume.seq, (volume, instance)))
        });
        let items = view.bend(shown.collect());
        paged(items, args, self.settings.default_page, view)
    }

    /// Whether a listing of Railway's knows of something by now, and not yet of its end.
    pub(super) fn shows(
        &self,
        created_at: DateTime<Utc>,
        deleted_at: Option<DateTime<Utc>>,
        view: &View,
    ) -> bool {
        let lags = (self.settings.read_lag, self.settings.delete_lag);
        view.shows_with(self.now, created_at, deleted_at, lags)
    }

    pub(super) fn find_environment(
        &self,
        id: &EnvironmentId,
    ) -> Option<(&ProjectId, &Environment)> {
        self.projects.values().find_map(|project| {
            let found = project.environments.iter().find(|e| e.id == *id)?;
            Some((&project.id, found))
        })
    }
}

/// Cuts a page out of items in the order of their number.
pub(super) fn paged<T>(
    items: Vec<(u64, T)>,
    args: &PageArgs,
    default_page: usize,
    view: &View,
) -> Result<Page<T>, Refusal> {
    let bound = |cursor: &Option<String>| cursor.as_deref().map(number_of).transpose();
    let (after, before) = (bound(&args.after)?, bound(&args.before)?);
    let total = items.len();
    let mut items: Vec<_> = items
        .into_iter()
        .skip_while(|(n, _)| after.is_some_and(|after| *n <= after))
        .collect();
    let mut has_previous = items.len() < total;
    let in_reach = items.len();
    items.retain(|(n, _)| before.is_none_or(|before| *n < before));
    let mut has_next = items.len() < in_reach;
    let size = |asked: i32| usize::try_from(asked).map_err(|_| Refusal::ProblemProcessing);
    let clamp = |size: usize| view.page_max.map_or(size, |max| size.min(max));
    if let (Some(last), None) = (args.last, args.first) {
        let skipped = items.len().saturating_sub(clamp(size(last)?));
        has_previous |= skipped > 0;
        items.drain(..skipped);
    } else {
        let first = clamp(args.first.map_or(Ok(default_page), size)?);
        has_next |= items.len() > first;
        items.truncate(first);
    }
    let items = items
        .into_iter()
        .map(|(n, item)| (cursor_of(n), item))
        .collect();
    Ok(Page {
        items,
        has_next: has_next || view.endless,
        has_previous,
    })
}

/// A cursor says nothing to its reader, and a client that builds its own is found out.
fn cursor_of(number: u64) -> String {
    format!(
        "c{:016x}",
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
    )
}

fn number_of(cursor: &str) -> Result<u64, Refusal> {
    // The inverse of the multiplier modulo 2^64.
    const INVERSE: u64 = 0xF1DE_83E1_9937_733D;
    let digits = cursor.strip_prefix('c').ok_or(Refusal::ProblemProcessing)?;
    let mixed = u64::from_str_radix(digits, 16).map_err(|_| Refusal::ProblemProcessing)?;
    Ok(mixed.rotate_right(17).wrapping_mul(INVERSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u64, args: &PageArgs) -> (Vec<u64>, Page<u64>) {
        let page = paged(
            (1..=count).map(|n| (n, n)).collect(),
            args,
            3,
            &View::default(),
        )
        .unwrap();
        (page.items.iter().map(|(_, n)| *n).collect(), page)
    }

    #[test]
    fn a_cursor_is_read_back() {
        for number in [0, 1, 2, 500, u64::MAX] {
            assert_eq!(number_of(&cursor_of(number)), Ok(number));
        }
        assert_eq!(number_of("5"), Err(Refusal::ProblemProcessing));
    }

    #[test]
    fn pages_follow_one_another_and_the_last_says_so() {
        let (seen, page) = numbers(
            5,
            &PageArgs {
                first: Some(2),
                ..PageArgs::default()
            },
        );
        assert_eq!((seen, page.has_next), (vec![1, 2], true));
        let after = page.items.last().map(|(cursor, _)| cursor.clone());
        let (seen, page) = numbers(
            5,
            &PageArgs {
                first: Some(3),
                after,
                ..PageArgs::default()
            },
        );
        assert_eq!(
            (seen, page.has_next, page.has_previous),
            (vec![3, 4, 5], false, true)
        );
    }

    #[test]
    fn no_first_is_the_default_and_zero_is_none() {
        assert_eq!(numbers(5, &PageArgs::default()).0, [1, 2, 3]);
        let (seen, page) = numbers(
            5,
            &PageArgs {
                first: Some(0),
                ..PageArgs::default()
            },
        );
        assert!(seen.is_empty() && page.has_next);
        let refused = paged(
            vec![(1, 1)],
            &PageArgs {
                first: Some(-1),
                ..PageArgs::default()
            },
            3,
            &View::default(),
        );
        assert!(refused.is_err());
    }

    #[test]
    fn last_and_before_page_from_the_back() {
        let (seen, page) = numbers(
            5,
            &PageArgs {
                last: Some(2),
                ..PageArgs::default()
            },
        );
        assert_eq!((seen, page.has_previous), (vec![4, 5], true));
        let before = Some(cursor_of(4));
        let (seen, page) = numbers(
            5,
            &PageArgs {
                last: Some(2),
                before,
                ..PageArgs::default()
            },
        );
        assert_eq!((seen, page.has_next), (vec![2, 3], true));
    }
}
