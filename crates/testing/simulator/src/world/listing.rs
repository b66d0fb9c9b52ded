//! What listings show: pages with opaque cursors, that lag behind what was written.

use chrono::{DateTime, Utc};
use pool_domain::{EnvironmentId, ProjectId};

use super::{Caller, Environment, Refusal, Service, ServiceInstance, View, Volume, World};

/// What every connection takes.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// Only what comes after this cursor.
    pub after: Option<String>,
    /// At most so many.
    pub first: Option<i32>,
}

/// A page of a connection. Each item comes with its cursor.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<(String, T)>,
    /// Whether there are more behind.
    pub has_next: bool,
}

impl World {
    /// That there is a project of this id.
    pub(super) fn check_project(&self, id: &ProjectId) -> Result<(), Refusal> {
        if *id == self.home.project {
            Ok(())
        } else {
            Err(Refusal::ProjectNotFound)
        }
    }

    /// `environment(id)`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAuthorized`] where the caller may not see it, or it is gone.
    pub fn environment(
        &self,
        caller: &Caller,
        id: &EnvironmentId,
    ) -> Result<&Environment, Refusal> {
        let found = self.environments.iter().find(|it| it.id == *id);
        let found = found.filter(|_| caller.may_see(id));
        found.ok_or(Refusal::NotAuthorized)
    }

    /// `environments`: those that the caller sees, in the order in which they were made.
    pub(crate) fn environments(
        &self,
        caller: &Caller,
        project: &ProjectId,
        is_ephemeral: Option<bool>,
        args: &PageArgs,
        view: &View,
    ) -> Result<Page<&Environment>, Refusal> {
        self.check_project(project)?;
        let visible = self.environments.iter().filter(|environment| {
            let fits = is_ephemeral.is_none_or(|asked| asked == environment.is_fork);
            fits && caller.may_see(&environment.id)
        });
        let visible = (1..).zip(visible).collect();
        paged(visible, args, self.settings.default_page, view)
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
    ) -> Result<Page<&Volume>, Refusal> {
        let shown = self.volumes.values().filter(|volume| {
            volume.environment == *environment && self.shows(volume.created_at, None, view)
        });
        let items = view.bend(shown.map(|volume| (volume.seq, volume)).collect());
        paged(items, args, self.settings.default_page, view)
    }

    /// Whether a listing of Railway's knows of something by now, and not yet of its end.
    fn shows(
        &self,
        created_at: DateTime<Utc>,
        deleted_at: Option<DateTime<Utc>>,
        view: &View,
    ) -> bool {
        let lags = (self.settings.read_lag, self.settings.delete_lag);
        view.shows_with(self.now, created_at, deleted_at, lags)
    }
}

/// Cuts a page out of items in the order of their number.
fn paged<T>(
    items: Vec<(u64, T)>,
    args: &PageArgs,
    default_page: usize,
    view: &View,
) -> Result<Page<T>, Refusal> {
    let after = args.after.as_deref().map(number_of).transpose()?;
    let size = |asked: i32| usize::try_from(asked).map_err(|_| Refusal::ProblemProcessing);
    let size = args.first.map_or(Ok(default_page), size)?;
    let size = view.page_max.map_or(size, |max| size.min(max));
    let mut rest = items
        .into_iter()
        .skip_while(|(n, _)| after.is_some_and(|after| *n <= after))
        .map(|(n, item)| (cursor_of(n), item));
    Ok(Page {
        items: rest.by_ref().take(size).collect(),
        has_next: rest.next().is_some() || view.endless,
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

    fn page(first: Option<i32>, after: Option<String>) -> Result<(Vec<u64>, Page<u64>), Refusal> {
        let args = PageArgs { after, first };
        let page = paged(
            (1..=5).map(|n| (n, n)).collect(),
            &args,
            3,
            &View::default(),
        )?;
        Ok((page.items.iter().map(|(_, n)| *n).collect(), page))
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
        let (seen, first) = page(Some(2), None).unwrap();
        assert_eq!((seen, first.has_next), (vec![1, 2], true));
        let after = first.items.last().map(|(cursor, _)| cursor.clone());
        let (seen, last) = page(Some(3), after).unwrap();
        assert_eq!((seen, last.has_next), (vec![3, 4, 5], false));
    }

    #[test]
    fn no_first_is_the_default_and_zero_is_none() {
        assert_eq!(page(None, None).unwrap().0, [1, 2, 3]);
        let (seen, none) = page(Some(0), None).unwrap();
        assert!(seen.is_empty() && none.has_next);
        page(Some(-1), None).unwrap_err();
    }
}
