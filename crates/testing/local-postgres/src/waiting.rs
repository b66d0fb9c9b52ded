//! Waiting for something outside this process, always with a limit.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks: a start takes 30 ms at best, so 10 ms is noticed by nobody, and a hundred
/// looks a second cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` says something, at most for `limit`; `None` when the time is over.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for a real process without an async runtime; no decision depends on the time"
)]
pub(crate) fn wait_for<T, E>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let answer: Result<Option<()>, ()> = wait_for(Duration::from_millis(30), || Ok(None));
        assert_eq!(answer, Ok(None));
    }

    #[test]
    fn a_wait_ends_with_the_first_find() {
        let mut looks = 0;
        let answer: Result<Option<u32>, ()> = wait_for(Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(answer, Ok(Some(3)));
    }
}
