//! A stranger's words, made fit for our logs.

use pool_domain::Redactor;

/// A text from outside, made fit for one line of a log: HTML reduced to its title, secrets and
/// control characters taken out, whitespace collapsed, cut after `max_chars`.
#[must_use]
pub fn excerpt(text: &str, max_chars: usize, redactor: &Redactor) -> String {
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
