//! A bound to what is remembered of what was deleted.

/// How many deleted keys, and how many deleted inboxes, are remembered, so that a test can see who
/// still used one: more than an hour of the hardest test deletes.
const DELETED_KEPT: usize = 10_000;

/// Forgets the items that were deleted first, beyond [`DELETED_KEPT`].
pub(super) fn forget<T>(items: &mut Vec<T>, is_deleted: impl Fn(&T) -> bool) {
    let deleted = items.iter().filter(|item| is_deleted(item)).count();
    if deleted > DELETED_KEPT
        && let Some(oldest) = items.iter().position(is_deleted)
    {
        items.remove(oldest);
    }
}
