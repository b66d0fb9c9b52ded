//! `GET /pool/health`: is the agent ready?

use std::time::Duration;

use pool_http_client::SendError;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::client::{Refusal, body};
use crate::{AgentClient, Heard, NotReady};

/// What a ready agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The version of its image, where it says.
    pub version: Option<String>,
    /// Which runtime it is, where it says.
    pub runtime: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    ready: bool,
    #[serde(default)]
    version: serde_json::Value,
    #[serde(default)]
    runtime: serde_json::Value,
}

impl AgentClient {
    /// Asks the agent at `url` whether it is ready: an answer of 200 that says so, within `timeout`.
    /// Anything else is not.
    ///
    /// # Errors
    ///
    /// [`NotReady`], with the reason in words. It may pass by itself at any moment: ask again.
    pub async fn health(&self, url: &str, timeout: Duration) -> Result<Health, NotReady> {
        let answer = self.ask_health(url, timeout).await;
        match &answer {
            Ok(_) => self.readiness.remember(url),
            Err(NotReady { reason, .. }) => {
                self.readiness.forget(url);
                tracing::debug!(agent.url = url, reason, "agent is not ready");
            }
        }
        answer
    }

    /// Whether any agent's answer to [`Self::health`] was good within `age`.
    #[must_use]
    pub fn any_ready_within(&self, age: Duration) -> bool {
        self.readiness.any_within(age)
    }

    /// Whether the last answer of the agent at `url` to [`Self::health`] was good, and not older
    /// than `age`.
    #[must_use]
    pub fn last_ready_within(&self, url: &str, age: Duration) -> bool {
        self.readiness.is_within(url, age)
    }

    async fn ask_health(&self, url: &str, timeout: Duration) -> Result<Health, NotReady> {
        if let Some(why) = self.refuses(url) {
            return Err(NotReady {
                reason: why.to_owned(),
                heard: Heard::NoConnection,
            });
        }
        let request = self.request(Method::GET, url, "/pool/health", timeout);
        let not_sent = |error: SendError| NotReady {
            heard: if error.is_our_own() {
                Heard::NotCalled
            } else if error.is_unsent() && !error.is_timeout() {
                Heard::NoConnection
            } else {
                Heard::Nothing
            },
            reason: error.to_string(),
        };
        let not_ready = |reason| NotReady {
            reason,
            heard: Heard::Answer,
        };
        let mut response = request.send().await.map_err(not_sent)?;
        if response.status() != StatusCode::OK {
            let refusal = Refusal::read(&mut response, &self.redactor).await;
            return Err(not_ready(refusal.reason));
        }
        match body(&mut response).await {
            Ok(body) => read(&body).map_err(not_ready),
            Err(error) => Err(NotReady {
                heard: if error.is_timeout() {
                    Heard::Nothing
                } else {
                    Heard::Answer
                },
                reason: error.to_string(),
            }),
        }
    }
}

fn read(body: &[u8]) -> Result<Health, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| "the agent's answer does not say whether it is ready".to_owned())?;
    if !answer.ready {
        return Err("the agent says that it is not ready".to_owned());
    }
    let text = |value: serde_json::Value| value.as_str().map(str::to_owned);
    Ok(Health {
        version: text(answer.version),
        runtime: text(answer.runtime),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_word_true_is_ready() {
        assert!(read(br#"{"ready":true,"version":null,"more":[1]}"#).is_ok());
        for body in [
            &br#"{"ready":false}"#[..],
            br#"{"ready":"true"}"#,
            br#"{"ready":1}"#,
            br#"{"ok":true}"#,
            br#"{"ready":true"#,
            b"<html>ready</html>",
            b"",
        ] {
            assert!(read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn version_and_runtime_of_another_type_count_as_unsaid() {
        let health = read(br#"{"ready":true,"version":"1.2","runtime":{"a":1}}"#);
        assert_eq!(
            health,
            Ok(Health {
                version: Some("1.2".to_owned()),
                runtime: None
            })
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body);
        }

        #[test]
        fn what_a_ready_agent_says_is_read_back(version in "\\PC{0,40}") {
            let body = serde_json::json!({ "ready": true, "version": version }).to_string();
            prop_assert_eq!(read(body.as_bytes()).unwrap().version, Some(version));
        }
    }
}
