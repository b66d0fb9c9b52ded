//! Asks Railway for its schema with curl, which has a TLS of its own; this program then needs none.
//! The token travels on curl's standard input, since anybody may read a command line.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::introspection::{self, MAX_ANSWER_BYTES};

const DEFAULT_URL: &str = "https://backboard.railway.com/graphql/v2";

/// The answer has 2 MB and came within seconds; Railway's own client waits 90 s for any answer.
const TIMEOUT_SECONDS: u32 = 90;

/// The first asks for deprecated arguments and input fields too. A server that does not know how to
/// tell refuses the whole query, and is asked again without.
const REQUESTS: [&str; 2] = [
    include_str!("introspection_request.json"),
    include_str!("introspection_request_older.json"),
];

/// Where to ask, and who asks.
pub(super) struct Endpoint {
    pub(super) url: String,
    /// Railway answers an introspection without a token as well, with a smaller budget.
    header: Option<String>,
    /// What no error may repeat, whatever a server says back.
    token: Option<String>,
}

impl Endpoint {
    pub(super) fn from_environment() -> Result<Self> {
        let (header, token) = match (set("RAILWAY_TOKEN")?, set("RAILWAY_API_TOKEN")?) {
            (Some(token), _) => (Some(format!("Project-Access-Token: {token}")), Some(token)),
            (None, Some(token)) => (Some(format!("Authorization: Bearer {token}")), Some(token)),
            (None, None) => (None, None),
        };
        let url = set("RAILWAY_API_URL")?.unwrap_or_else(|| DEFAULT_URL.to_owned());
        Ok(Self { url, header, token })
    }

    /// The error without the token.
    fn masked(&self, error: anyhow::Error) -> anyhow::Error {
        let sentence = format!("{error:#}");
        match self.token.as_deref() {
            Some(token) if sentence.contains(token) => {
                anyhow::Error::msg(sentence.replace(token, "(token)"))
            }
            _ => error,
        }
    }

    /// What curl reads: one option a line, its value in quotes.
    fn curl_config(&self, request: &str) -> String {
        let mut lines = vec![
            "silent".to_owned(),
            "show-error".to_owned(),
            format!("max-time = {TIMEOUT_SECONDS}"),
            format!("max-filesize = {MAX_ANSWER_BYTES}"),
            "proto = \"=http,https\"".to_owned(),
            format!("url = {}", quoted(&self.url)),
            "header = \"Content-Type: application/json\"".to_owned(),
            format!("data-raw = {}", quoted(request.trim_end())),
            // After the body, on a line of its own.
            "write-out = \"\\n%{http_code}\"".to_owned(),
        ];
        let header = self.header.as_ref();
        lines.extend(header.map(|header| format!("header = {}", quoted(header))));
        lines.join("\n") + "\n"
    }
}

/// The variable, where it is set and not empty. A line break would begin another option of curl's.
fn set(name: &str) -> Result<Option<String>> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.into_string().ok();
    let value = value.filter(|value| !value.chars().any(char::is_control));
    let value = value.with_context(|| format!("{name} holds what no header or URL may hold"))?;
    Ok(Some(value))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The answer to an introspection, which is known to describe a schema.
pub(super) fn fetch(endpoint: &Endpoint) -> Result<Vec<u8>> {
    fetch_as_told(endpoint).map_err(|error| endpoint.masked(error))
}

fn fetch_as_told(endpoint: &Endpoint) -> Result<Vec<u8>> {
    let mut refusal = None;
    for request in REQUESTS {
        let (status, body) = ask(endpoint, request)?;
        let problem = match status {
            // Railway answers what it cannot carry out with 200, and what it cannot parse with 400.
            200 | 400 => match introspection::schema(&body) {
                Ok(_) => return Ok(body),
                Err(problem) => problem.context(format!("{} answered {status}", endpoint.url)),
            },
            429 => bail!(
                "{} answered 429: too many requests; wait, then try again",
                endpoint.url
            ),
            other => bail!("{} answered {other} and no schema", endpoint.url),
        };
        refusal.get_or_insert(problem);
    }
    refusal.map_or_else(|| bail!("{} was not asked", endpoint.url), Err)
}

fn ask(endpoint: &Endpoint, request: &str) -> Result<(u16, Vec<u8>)> {
    // --disable, first, keeps the user's own curlrc out.
    let mut command = Command::new("curl");
    command.args(["--disable", "--config", "-"]);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("--live needs curl, which is not installed"),
        _ => anyhow::Error::new(error).context("curl could not be run"),
    })?;
    let output = converse(&mut child, &endpoint.curl_config(request));
    let status = child.wait().context("curl was lost")?;
    let (mut answer, complaint) = output.context("curl could not be talked to")?;
    ensure!(
        status.success(),
        "{} could not be asked: {}",
        endpoint.url,
        complaint.trim()
    );
    let end = answer.iter().rposition(|byte| *byte == b'\n');
    let end = end.context("curl printed no status")?;
    let code = String::from_utf8_lossy(&answer[end + 1..]).parse();
    answer.truncate(end);
    Ok((code.context("curl printed no status")?, answer))
}

/// The config fits into a pipe, and what curl complains of does too, so neither side ever waits for
/// the other.
fn converse(child: &mut Child, config: &str) -> std::io::Result<(Vec<u8>, String)> {
    let mut answer = Vec::new();
    let mut complaint = String::new();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(config.as_bytes())?;
    }
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    }
    if let Some(stderr) = child.stderr.take() {
        stderr
            .take(MAX_ANSWER_BYTES)
            .read_to_string(&mut complaint)?;
    }
    Ok((answer, complaint))
}

/// Written beside and renamed, so that a file that was there is never half overwritten.
pub(super) fn save(answer: &[u8], path: &Path) -> Result<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, answer)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("{} could not be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_reads_keeps_quotes_and_backslashes() {
        let endpoint = Endpoint {
            url: "http://localhost/a\"b".to_owned(),
            header: Some("X: a\\b".to_owned()),
            token: None,
        };
        let config = endpoint.curl_config("{\"query\": \"{ a }\"}\n");
        assert!(
            config.contains("\nurl = \"http://localhost/a\\\"b\"\n"),
            "{config}"
        );
        assert!(config.contains("\nheader = \"X: a\\\\b\"\n"), "{config}");
        assert!(
            config.contains("\ndata-raw = \"{\\\"query\\\": \\\"{ a }\\\"}\"\n"),
            "{config}"
        );
    }
}
