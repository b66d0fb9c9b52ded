//! Asks Railway for its schema.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::introspection::{self, MAX_ANSWER_BYTES};

const DEFAULT_URL: &str = "https://backboard.railway.com/graphql/v2";

/// The answer has 2 MB and came within seconds; Railway's own client waits 90 s for any answer.
const TIMEOUT: Duration = Duration::from_secs(90);

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
    header: Option<(&'static str, String)>,
    /// What no error may repeat, whatever a server says back.
    token: Option<String>,
}

impl Endpoint {
    pub(super) fn from_environment() -> Result<Self> {
        let (header, token) = match (set("RAILWAY_TOKEN")?, set("RAILWAY_API_TOKEN")?) {
            (Some(token), _) => (Some(("Project-Access-Token", token.clone())), Some(token)),
            (None, Some(token)) => (
                Some(("Authorization", format!("Bearer {token}"))),
                Some(token),
            ),
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
}

/// The variable, where it is set and not empty. A line break would begin another header.
fn set(name: &str) -> Result<Option<String>> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.into_string().ok();
    let value = value.filter(|value| !value.chars().any(char::is_control));
    let value = value.with_context(|| format!("{name} holds what no header or URL may hold"))?;
    Ok(Some(value))
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
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // A redirect would carry the token elsewhere.
        .max_redirects(0)
        .build();
    let mut post = ureq::Agent::new_with_config(config)
        .post(&endpoint.url)
        .content_type("application/json");
    if let Some((name, value)) = &endpoint.header {
        post = post.header(*name, value);
    }
    let problem = || format!("{} could not be asked", endpoint.url);
    let mut answer = post.send(request.trim_end()).with_context(problem)?;
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let body = body.read_to_vec().with_context(problem)?;
    Ok((answer.status().as_u16(), body))
}

/// Written beside and renamed, so that a file that was there is never half overwritten.
pub(super) fn save(answer: &[u8], path: &Path) -> Result<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, answer)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("{} could not be written", path.display()))
}
