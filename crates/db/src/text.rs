//! Text from outside, as Postgres can store it. A byte of zero, which JSON may hold, is the one
//! character that its text cannot; a row that can never be written would be tried for ever.

use std::borrow::Cow;

use serde_json::Value;

/// Reasons and errors are cut to this many characters: enough to see, and the tables stay small.
const SHORT_MAX_CHARS: usize = 500;

/// The text as a column holds it: with a mark (U+FFFD) in place of the one character, U+0000, that
/// PostgreSQL cannot store. Everything that this crate writes goes through it.
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text in short, for reasons and errors.
pub(crate) fn in_short(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character == '\0' {
                '\u{FFFD}'
            } else {
                character
            }
        })
        .take(SHORT_MAX_CHARS)
        .collect()
}

/// The same for every text in a JSON value. Names of fields are our own.
pub(crate) fn storable_json(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) if text.contains('\0') => *text = storable(text).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_byte_of_zero_becomes_a_mark_wherever_it_stands() {
        assert_eq!(storable("a\0b"), "a\u{FFFD}b");
        assert_eq!(
            storable_json(json!({"a": ["x\0", 1, {"b": "\0"}]})),
            json!({"a": ["x\u{FFFD}", 1, {"b": "\u{FFFD}"}]})
        );
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        assert_eq!(in_short(&"é".repeat(2_000)), "é".repeat(500));
    }
}
