//! An error as people read it in a log.

use std::error::Error;

/// An error with everything that led to it, on one line. What an error repeats of its source is said
/// once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Caused {
        words: &'static str,
        source: Option<Box<Caused>>,
    }

    fn caused(words: &'static str, source: Option<Caused>) -> Caused {
        let source = source.map(Box::new);
        Caused { words, source }
    }

    #[test]
    fn every_cause_is_said_and_none_twice() {
        let innermost = caused("connection refused", None);
        let middle = caused("the database: connection refused", Some(innermost));
        let error = caused("the tick failed", Some(middle));
        assert_eq!(
            chain(&error),
            "the tick failed: the database: connection refused"
        );
    }
}
