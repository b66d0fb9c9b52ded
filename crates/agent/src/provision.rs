//! `POST /pool/provision`: the agent becomes somebody's. What counts is which failures are
//! definite: it did not happen. Every other is indeterminate, and such an agent is never offered again.

use std::sync::Arc;
use std::time::Duration;

use pool_domain::{Redactor, Secret};
use pool_http_client::{BodyError, SendError};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize, Serializer};

use crate::client::{Author, Refusal, body, words};
use crate::{AgentClient, ProvisionFailure, conversation};

/// What an agent is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionRequest {
    /// What it calls itself in its conversation.
    pub agent_name: String,
    /// What it is told to be and to do.
    #[serde(serialize_with = "as_text")]
    pub instructions: Arc<str>,
    /// The conversation that it is to join; none to open one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_url: Option<String>,
}

fn as_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// What an agent became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// How others join its conversation.
    pub invite_url: Option<String>,
    /// Its conversation; may be none although it joined one.
    pub conversation_id: Option<String>,
    /// Whether it joined an existing conversation.
    pub joined: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ok: bool,
    #[serde(default)]
    invite_url: Option<String>,
    #[serde(default)]
    conversation_id: Option<String>,
    #[serde(default)]
    joined: Option<bool>,
}

impl AgentClient {
    /// Makes the agent at `url` somebody's, within `timeout`. Never repeated by itself.
    ///
    /// # Errors
    ///
    /// [`ProvisionFailure::Definite`] and [`ProvisionFailure::NotCalled`] where the agent surely is
    /// nobody's, so that it may be offered to somebody else; [`ProvisionFailure::Bound`] where it is
    /// somebody's already; [`ProvisionFailure::Indeterminate`] where nobody can know, which does not
    /// pass by itself.
    pub async fn provision(
        &self,
        url: &str,
        request: &ProvisionRequest,
        timeout: Duration,
    ) -> Result<Provisioned, ProvisionFailure> {
        let outcome = self.send_provision(url, request, timeout).await;
        if let Err(failure) = &outcome {
            let definite = matches!(
                failure,
                ProvisionFailure::Definite { .. } | ProvisionFailure::NotCalled { .. }
            );
            let reason = failure.to_string();
            tracing::warn!(agent.url = url, reason, definite, "provision failed");
        }
        outcome
    }

    async fn send_provision(
        &self,
        url: &str,
        request: &ProvisionRequest,
        timeout: Duration,
    ) -> Result<Provisioned, ProvisionFailure> {
        if let Some(why) = self.refuses(url) {
            return Err(ProvisionFailure::Definite {
                reason: why.to_owned(),
                status: None,
            });
        }
        let call = self.request(Method::POST, url, "/pool/provision", timeout);
        let sent = call.json(request).send().await;
        let mut response = sent.map_err(|error| not_answered(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let redactor = self.redactor.and(callers_own(request));
            return Err(refused(Refusal::read(&mut response, &redactor).await));
        }
        let body = body(&mut response).await.map_err(|e| cut_off(&e))?;
        self.readiness.forget(url);
        read(&body, || self.redactor.and(callers_own(request)))
    }
}

/// `ok: false` in a 200 is indeterminate: no runtime is known to answer so, and what it would have done
/// before is anybody's guess.
///
/// The redactor knows the instructions in every form in which they may be quoted, so it is made only for an
/// answer that is quoted.
fn read(body: &[u8], redactor: impl FnOnce() -> Redactor) -> Result<Provisioned, ProvisionFailure> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| indeterminate("the agent answered 200, but not what was agreed"))?;
    if !answer.ok {
        let words = words(body, &redactor());
        return Err(indeterminate(format!(
            "the agent answered 200, not ok: {words}"
        )));
    }
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Provisioned {
        invite_url: said(answer.invite_url),
        conversation_id: said(answer.conversation_id),
        joined: answer.joined.unwrap_or(false),
    })
}

/// What a caller trusted us with is told to the agent, and to nobody who reads why it refused.
fn callers_own(request: &ProvisionRequest) -> impl Iterator<Item = Secret> {
    let texts = [Some(&*request.instructions), request.join_url.as_deref()];
    texts.into_iter().flatten().map(Secret::new)
}

/// Definite only when no connection was made (or the URL is none): a request that left may have
/// arrived.
fn not_answered(error: &SendError) -> ProvisionFailure {
    let reason = error.to_string();
    if error.is_our_own() {
        ProvisionFailure::NotCalled { reason }
    } else if error.is_unsent() {
        ProvisionFailure::Definite {
            reason,
            status: None,
        }
    } else {
        ProvisionFailure::Indeterminate {
            reason,
            timed_out: error.is_timeout(),
        }
    }
}

/// The agent checks its key, its readiness and the request before it begins, and says so with these
/// statuses, in JSON of its own: the same status on an edge's page says nothing of the agent behind
/// it. A 503 of Hermes comes after it asked to be let into a conversation, which may still happen. A
/// 500 is not among them: the agent repeats inside, and answers so too when its first try did make the
/// conversation.
fn refused(refusal: Refusal) -> ProvisionFailure {
    let definite = match (refusal.status.as_u16(), refusal.author) {
        // Whoever says so: it is better kept for nobody than taken from somebody.
        (409, _) => {
            return ProvisionFailure::Bound {
                conversation: conversation::read(&refusal.body).named(),
                reason: refusal.reason,
            };
        }
        (400 | 401 | 403 | 404 | 413, Author::Agent | Author::Hermes) | (503, Author::Agent) => {
            true
        }
        _ => false,
    };
    if definite {
        ProvisionFailure::Definite {
            reason: refusal.reason,
            status: Some(refusal.status.as_u16()),
        }
    } else {
        indeterminate(refusal.reason)
    }
}

fn cut_off(error: &BodyError) -> ProvisionFailure {
    ProvisionFailure::Indeterminate {
        reason: error.to_string(),
        timed_out: error.is_timeout(),
    }
}

fn indeterminate(reason: impl Into<String>) -> ProvisionFailure {
    ProvisionFailure::Indeterminate {
        reason: reason.into(),
        timed_out: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_it_panic_and_none_but_ok_is_a_success(
            body in prop::collection::vec(any::<u8>(), 0..300),
            ok in "true|false|null|1|\"true\"|\"\\PC{0,9}\"",
            invite in "null|7|\"[a-z/:.]{0,20}\"",
        ) {
            let _ = read(&body, Redactor::default);
            let body = format!("{{\"ok\":{ok},\"inviteUrl\":{invite},\"joined\":null}}");
            let outcome = read(body.as_bytes(), Redactor::default);
            prop_assert_eq!(outcome.is_ok(), ok == "true" && invite != "7", "{}", body);
        }

        #[test]
        fn what_an_agent_says_of_a_conversation_is_read_back(
            invite in "\\PC{1,40}",
            conversation in "\\PC{1,40}",
        ) {
            let body = serde_json::json!({
                "ok": true, "inviteUrl": invite, "conversationId": conversation, "joined": true,
            });
            let read = read(body.to_string().as_bytes(), Redactor::default);
            let expected = Provisioned {
                invite_url: Some(invite),
                conversation_id: Some(conversation),
                joined: true,
            };
            prop_assert_eq!(read, Ok(expected));
        }
    }
}
