//! Takes every secret that we know out of the words of strangers, before these become part of an
//! error, a report or a log. A secret that we do not know (another pool's, an agent's own) stays.

use std::sync::Arc;

use crate::Secret;

/// Knows secrets, and takes them out of texts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// In every form in which they are looked for, the longest first: one may be part of another.
    forms: Arc<[Secret]>,
}

impl Redactor {
    /// What stands where a secret stood.
    pub const MARK: &str = "[REDACTED]";

    /// Shorter values (`1`, `dev`) are not looked for: they hide nothing from somebody who guesses,
    /// and taking them out would garble every message.
    pub const SECRET_BYTES_MIN: usize = 4;

    /// A redactor that knows these secrets.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self::default().and(secrets)
    }

    /// A redactor that knows these secrets too.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        let more = more.into_iter().flat_map(|secret| forms(&secret));
        let mut forms: Vec<Secret> = self.forms.iter().cloned().chain(more).collect();
        forms.sort_by(|a, b| {
            let (a, b) = (a.expose(), b.expose());
            b.len().cmp(&a.len()).then_with(|| a.cmp(b))
        });
        forms.dedup();
        Self {
            forms: forms.into(),
        }
    }

    /// The text with [`Self::MARK`] for each secret.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.forms.iter() {
            if text.contains(secret.expose()) {
                text = text.replace(secret.expose(), Self::MARK);
            }
        }
        text
    }
}

/// A secret as it is, within a string of JSON, and within a URL.
fn forms(secret: &Secret) -> Vec<Secret> {
    let text = secret.expose();
    if text.len() < Redactor::SECRET_BYTES_MIN {
        return Vec::new();
    }
    let json = serde_json::Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    let url: String = text.bytes().map(encode).collect();
    [text.to_owned(), json, url].map(Secret::new).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn knowing(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| Secret::new(*secret)))
    }

    #[test]
    fn every_secret_is_taken_out_wherever_and_however_it_is_written() {
        let redactor = knowing(&["key", "the-key", "the-key-of-all", "a\"b/c d"]);
        for (text, left) in [
            ("", ""),
            ("key", "key"),
            ("the-key, the-key-of-all", "[REDACTED], [REDACTED]"),
            ("the-keythe-key", "[REDACTED][REDACTED]"),
            (r#"{"k":"a\"b/c d"}"#, r#"{"k":"[REDACTED]"}"#),
            ("https://h/?k=a%22b%2Fc%20d", "https://h/?k=[REDACTED]"),
        ] {
            assert_eq!(redactor.redact(text), left);
        }
    }

    #[test]
    fn neither_it_nor_its_print_tells_a_secret() {
        let redactor = knowing(&["the-key"]);
        assert!(!format!("{redactor:?}").contains("the-key"));
    }

    #[test]
    fn what_is_learned_later_is_known_beside_the_rest() {
        let redactor = knowing(&["first"]).and([Secret::new("second")]);
        assert_eq!(redactor.redact("first second"), "[REDACTED] [REDACTED]");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_secret_is_left(
            secrets in prop::collection::vec("[a-e\"% é]{4,8}", 1..4),
            texts in prop::collection::vec("[a-e\"% é]{0,8}", 1..5),
        ) {
            let redactor = Redactor::new(secrets.iter().map(Secret::new));
            let echo = format!("{}{}", secrets.join(&texts[0]), texts.join(&secrets[0]));
            let left = redactor.redact(&echo);
            for secret in &secrets {
                prop_assert!(!left.contains(secret.as_str()), "{}", left);
            }
        }
    }
}
