//! Which failed calls are tried again. Railway's documentation allows reads freely, and writes after a
//! network error, or a 429 or 5xx without a GraphQL response. A write whose answer may only have been
//! lost is repeated here where doing it twice is as good as once, which is deleting.

use std::time::Duration;

use crate::governor::Task;
use crate::{Error, ErrorClass};

/// Whether the call may be tried again at once, or after a silence of at most `longest_wait`.
pub(crate) fn may_retry(task: Task, error: &Error, longest_wait: Duration) -> bool {
    match error.class {
        ErrorClass::RateLimited {
            retry_after: Some(wait),
        } => {
            wait <= longest_wait
                && error.status == Some(429)
                && (task.is_read() || !error.is_graphql)
        }
        _ if task.is_read() => error.is_retryable_read(),
        _ if error.is_retryable_write() => true,
        _ => task == Task::Destroy && is_server_error(error) && !error.is_graphql,
    }
}

fn is_server_error(error: &Error) -> bool {
    error
        .status
        .is_some_and(|status| (500..600).contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Sent;

    const WAIT: Duration = Duration::from_secs(2);
    const TASKS: [Task; 4] = [Task::FirstPage, Task::Begin, Task::Finish, Task::Destroy];

    fn error(class: ErrorClass, status: Option<u16>, sent: Sent, is_graphql: bool) -> Error {
        Error {
            operation: "X",
            host: String::new(),
            status,
            class,
            message: String::new(),
            trace_id: None,
            sent,
            is_graphql,
        }
    }

    fn retried(error: &Error) -> [bool; 4] {
        TASKS.map(|task| may_retry(task, error, WAIT))
    }

    fn limited(seconds: u64) -> ErrorClass {
        ErrorClass::RateLimited {
            retry_after: Some(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn everything_is_repeated_when_nothing_was_sent() {
        for class in [ErrorClass::Network, ErrorClass::Timeout] {
            assert_eq!(retried(&error(class, None, Sent::No, false)), [true; 4]);
        }
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_not_repeated() {
        for class in [ErrorClass::Network, ErrorClass::Timeout] {
            let lost = error(class, None, Sent::Perhaps, false);
            assert_eq!(retried(&lost), [true, false, false, false]);
        }
    }

    #[test]
    fn after_a_gateways_page_reads_and_deletes_are_repeated_but_no_create() {
        let gateway = error(ErrorClass::Transient, Some(504), Sent::Perhaps, false);
        assert_eq!(retried(&gateway), [true, false, false, true]);
        let said = error(ErrorClass::Transient, Some(500), Sent::Perhaps, true);
        assert_eq!(retried(&said), [true, false, false, false]);
    }

    #[test]
    fn a_limiters_refusal_is_repeated_when_the_wait_is_short() {
        let page = error(limited(2), Some(429), Sent::Refused, false);
        assert_eq!(retried(&page), [true; 4]);
        let said = error(limited(2), Some(429), Sent::Refused, true);
        assert_eq!(retried(&said), [true, false, false, false]);
        let long = error(limited(3), Some(429), Sent::Refused, false);
        assert_eq!(retried(&long), [false; 4]);
        let unsent = error(limited(1), None, Sent::No, false);
        assert_eq!(retried(&unsent), [false; 4]);
    }

    #[test]
    fn the_edge_is_never_asked_again_at_once() {
        let edge = error(ErrorClass::EdgeBlocked, Some(429), Sent::Refused, false);
        assert_eq!(retried(&edge), [false; 4]);
    }
}
