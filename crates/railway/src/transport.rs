//! How we make HTTP connections and read what strangers answer: TLS by ring, certificates of the
//! operating system or our own copy, bounded bodies, short words. The same file stands in
//! pool-agent, pool-credentials and pool-railway, none of which may depend on another; a test of
//! pool-railway holds the three copies equal.

use std::error::Error as _;
use std::sync::Arc;

use pool_domain::Redactor;
use reqwest::{Client, ClientBuilder, Response};

/// Builds a client, also where the machine has no certificate store (an image without
/// ca-certificates): Mozilla's list, compiled in, is used then.
pub(crate) fn build_client(
    configure: impl Fn(ClientBuilder) -> ClientBuilder,
) -> reqwest::Result<Client> {
    // An error says that a provider is installed already, and then building works too.
    let _already = rustls::crypto::ring::default_provider().install_default();
    configure(Client::builder()).build().or_else(|_| {
        configure(Client::builder())
            .tls_backend_preconfigured(compiled_in_roots())
            .build()
    })
}

fn compiled_in_roots() -> rustls::ClientConfig {
    let roots = Arc::new(rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    });
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is longer than we take.
    TooLarge {
        /// What we take.
        max_bytes: usize,
    },
    /// The connection broke, or the time ran out.
    Broken(reqwest::Error),
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { max_bytes } => write!(f, "the answer exceeds {max_bytes} bytes"),
            Self::Broken(error) => write!(f, "the answer broke off: {}", describe(error)),
        }
    }
}

/// Reads a body, of which no more than `max_bytes` are ever held. Counts what gzip expands to.
pub(crate) async fn read_body(
    response: &mut Response,
    max_bytes: usize,
) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause, which names the trouble; the outer ones only say that sending failed. None
/// of them holds the URL or a header.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "no connection in time".to_owned()
        } else {
            "no answer in time".to_owned()
        };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() {
        return "the request could not be sent".to_owned();
    }
    cause.to_string()
}

/// A text from outside, made fit for one line of a log: HTML reduced to its title, secrets and
/// control characters taken out, whitespace collapsed, cut after `max_chars`.
pub(crate) fn excerpt(text: &str, max_chars: usize, redactor: &Redactor) -> String {
    // Before anything is cut, so that half a secret cannot stay.
    let text = redactor.redact(text);
    let text = html_title(&text).unwrap_or(text);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    // Once more: a secret of several words may have come in several lines.
    let line = redactor.redact(&words.join(" "));
    match line.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn html_title(text: &str) -> Option<String> {
    let start = text.trim_start();
    if !start.starts_with('<') {
        return None;
    }
    let lower = start.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let from = tag + lower[tag..].find('>')? + 1;
        let to = from + lower[from..].find("</title")?;
        Some(start[from..to].trim().to_owned())
    });
    Some(title.filter(|title| !title.is_empty()).map_or_else(
        || "a page without a title".to_owned(),
        |title| format!("a page titled \"{title}\""),
    ))
}

#[cfg(test)]
mod tests {
    use pool_domain::Secret;
    use proptest::prelude::*;

    use super::*;

    fn knowing(secrets: &[&str]) -> Redactor {
        Redactor::new(secrets.iter().map(|secret| Secret::new(*secret)))
    }

    #[test]
    fn a_page_is_reduced_to_its_title() {
        let page = "<!DOCTYPE html>\n<html><head><title>Access\n denied</title></head><body>x";
        assert_eq!(
            excerpt(page, 80, &knowing(&[])),
            "a page titled \"Access denied\""
        );
        assert_eq!(
            excerpt("<html>", 80, &knowing(&[])),
            "a page without a title"
        );
    }

    #[test]
    fn a_secret_is_taken_out_before_the_text_is_cut() {
        let text = "bad token sekrit-sekrit\r\n\tsee log";
        assert_eq!(
            excerpt(text, 18, &knowing(&["sekrit-sekrit", "bad"])),
            "bad token [REDACTE…"
        );
    }

    #[test]
    fn a_secret_of_two_words_is_taken_out_of_two_lines() {
        let said = excerpt("no: open\r\n  sesame!", 80, &knowing(&["open sesame"]));
        assert_eq!(said, "no: [REDACTED]!");
    }

    #[test]
    fn a_client_is_built_from_the_compiled_in_certificates() {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().tls_backend_preconfigured(compiled_in_roots());
        assert!(client.build().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_left_is_short_and_without_the_secret(
            before in "(<html>|<title|<TITLE>|</title)?\\PC{0,60}",
            secret in "[a-z0-9]{8,20}",
            after in "(<title>|</title>)?[\\r\\n]?\\PC{0,60}",
            max_chars in 0_usize..80,
        ) {
            let text = format!("{before}{secret}{after}");
            let said = excerpt(&text, max_chars, &knowing(&[&secret]));
            prop_assert!(!said.contains(&secret), "{}", said);
            prop_assert!(said.chars().count() <= max_chars + 1, "{}", said);
            prop_assert!(!said.contains(char::is_control), "{:?}", said);
        }
    }
}
