//! The key by which a caller may repeat a claim (`Idempotency-Key`), and what tells one body from
//! another. Says what such a key may look like; what became of its claim is in `pool_db`.

use std::fmt;

/// The name that a caller gave a claim, so that repeating it gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// Not a key. One sentence for all faults: it says what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "Idempotency-Key must be one value of 1 to 255 printable ASCII characters, in double quotes or \
     bare; a bare one holds no space, quote or backslash"
)]
pub struct BadKey;

impl IdempotencyKey {
    /// A UUID has 36 characters, a SHA-512 in hexadecimal 128; what is longer is no name any more.
    pub const CHARS_MAX: usize = 255;

    /// Reads the header's value: a string of RFC 8941 in quotes, as the IETF's draft has it, or the
    /// bare text that most clients send. Quoted and bare, it is the same key.
    ///
    /// # Errors
    ///
    /// [`BadKey`] for an empty or too long one, for what is no printable ASCII, and for a quote
    /// that does not end.
    pub fn parse(value: &[u8]) -> Result<Self, BadKey> {
        let value = value.trim_ascii();
        let quoted = value
            .strip_prefix(b"\"")
            .map(|rest| rest.strip_suffix(b"\"").ok_or(BadKey));
        let key = match quoted {
            Some(inner) => unescape(inner?)?,
            None if value.iter().all(|&byte| is_bare(byte)) => as_text(value),
            None => return Err(BadKey),
        };
        if key.is_empty() || key.len() > Self::CHARS_MAX {
            return Err(BadKey);
        }
        Ok(Self(key))
    }

    /// The text, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Inside of quotes a backslash stands before a quote or a backslash, and nowhere else.
fn unescape(inner: &[u8]) -> Result<String, BadKey> {
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => bytes
                .next()
                .filter(|next| matches!(next, b'"' | b'\\'))
                .ok_or(BadKey)?,
            b'"' => return Err(BadKey),
            b' '..=b'~' => byte,
            _ => return Err(BadKey),
        });
    }
    Ok(as_text(&text))
}

fn is_bare(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\')
}

fn as_text(ascii: &[u8]) -> String {
    ascii.iter().copied().map(char::from).collect()
}

/// What tells one claim's body from another's: a SHA-256 over what matters in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(value: &str) -> Option<String> {
        let key = IdempotencyKey::parse(value.as_bytes()).ok()?;
        Some(key.as_str().to_owned())
    }

    #[test]
    fn quoted_and_bare_it_is_the_same_key() {
        for (value, key) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", None),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", None),
            ("order:17/try,2", Some("order:17/try,2")),
            (" \t\"two words\" ", Some("two words")),
            (r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#)),
            ("\" \"", Some(" ")),
        ] {
            let expected = key.unwrap_or("8e03978e-40d5-43dd-bc93-6894a57f9324");
            assert_eq!(parsed(value).as_deref(), Some(expected), "{value}");
        }
        let longest = "k".repeat(IdempotencyKey::CHARS_MAX);
        assert_eq!(parsed(&longest), Some(longest.clone()));
        assert_eq!(parsed(&format!("\"{longest}\"")), Some(longest));
    }

    #[test]
    fn anything_else_is_no_key() {
        let too_long = "k".repeat(IdempotencyKey::CHARS_MAX + 1);
        for value in [
            "",
            " ",
            "\"",
            "\"\"",
            "two words",
            "\"a\", \"b\"",
            "\"a\";q=1",
            "\"open",
            "shut\"",
            r"back\slash",
            r#""back\slash""#,
            "\"ends in a backslash\\\"",
            "schlüssel",
            "\"schlüssel\"",
            "\"a\tb\"",
            &too_long,
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_it_takes_is_within_its_bounds(
            value in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Ok(key) = IdempotencyKey::parse(&value) {
                prop_assert!((1..=IdempotencyKey::CHARS_MAX).contains(&key.as_str().len()));
                prop_assert!(key.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }

        #[test]
        fn what_is_quoted_is_read_back(key in "[ -~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parsed(&quoted), Some(key));
        }
    }
}
