//! `GET /convos/status`: does the agent have a conversation already? Asked of adopted instances,
//! whose history nobody knows: one that is somebody's must never be handed to another.

use std::time::Duration;

use pool_domain::write::FoundConversation;
use pool_domain::{Conversation, Secret};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::AgentClient;
use crate::client::{Author, bearer, body};

impl AgentClient {
    /// Asks the agent at `url` for its conversation, showing the pool's key.
    pub async fn conversation(&self, url: &str, timeout: Duration) -> Conversation {
        self.ask_conversation(url, None, timeout).await.1
    }

    /// The same, for an agent whose gateway token is known: newer runtimes answer this question
    /// only to that token, older ones to the pool's key. The pool's key is tried first.
    pub async fn conversation_with_gateway_token(
        &self,
        url: &str,
        gateway_token: &Secret,
        timeout: Duration,
    ) -> Conversation {
        match self.ask_conversation(url, None, timeout).await {
            (Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), _) => {
                let again = self.ask_conversation(url, Some(gateway_token), timeout);
                again.await.1
            }
            (_, conversation) => conversation,
        }
    }

    async fn ask_conversation(
        &self,
        url: &str,
        other_key: Option<&Secret>,
        timeout: Duration,
    ) -> (Option<StatusCode>, Conversation) {
        if let Some(reason) = self.refuses(url) {
            tracing::debug!(agent.url = url, reason, "agent was not asked");
            return (None, Conversation::NoAnswer);
        }
        let mut request = self.request(Method::GET, url, "/convos/status", timeout);
        if let Some(header) = other_key.and_then(bearer) {
            request = request.header(AUTHORIZATION, header);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let reason = error.to_string();
                tracing::debug!(agent.url = url, reason, "agent was not asked");
                return (None, Conversation::NoAnswer);
            }
        };
        let status = response.status();
        let said = body(&mut response).await.ok();
        let conversation = match (status, said) {
            (StatusCode::OK, Some(body)) => read(&body),
            (StatusCode::NOT_FOUND, Some(body)) if Author::of(&body) != Author::Somebody => {
                Conversation::Unsupported
            }
            // Whatever else answers may be a proxy in front of the agent, or an agent of which the
            // part that knows of conversations is still starting.
            _ => Conversation::NoAnswer,
        };
        (Some(status), conversation)
    }
}

/// Three shapes are in the field: `{"conversationId": id}`, `{"conversation": {"id": id}}` and
/// `{"conversationId": null, "pending": true}`, where somebody's join waits to be let in and the
/// conversation is not known yet. Only what says in one of them that there is none is none: what
/// cannot be read says nothing.
pub(crate) fn read(body: &[u8]) -> Conversation {
    let Ok(status) = serde_json::from_slice::<Value>(body) else {
        return Conversation::NoAnswer;
    };
    let conversation = &status["conversation"];
    let id = [
        &status["conversationId"],
        &conversation["id"],
        &conversation["conversationId"],
        conversation,
    ]
    .into_iter()
    .find_map(text);
    match id {
        Some(conversation_id) => Conversation::In(FoundConversation {
            conversation_id,
            invite_url: [&status["inviteUrl"], &conversation["inviteUrl"]]
                .into_iter()
                .find_map(text),
        }),
        None if status["pending"] == Value::Bool(true) => Conversation::NoAnswer,
        None if says_none(&status) => Conversation::None,
        None => Conversation::NoAnswer,
    }
}

/// Whether it speaks of a conversation, and wherever it does says that there is none.
fn says_none(status: &Value) -> bool {
    let mut said = ["conversationId", "conversation"]
        .into_iter()
        .filter_map(|key| status.get(key))
        .peekable();
    said.peek().is_some() && said.all(|value| value.is_null() || value.as_str() == Some(""))
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(id: &str, invite_url: Option<&str>) -> Conversation {
        Conversation::In(FoundConversation {
            conversation_id: id.to_owned(),
            invite_url: invite_url.map(str::to_owned),
        })
    }

    #[test]
    fn a_conversation_is_found_in_every_shape_that_is_in_the_field() {
        assert_eq!(read(br#"{"conversationId":"c1"}"#), found("c1", None));
        assert_eq!(
            read(br#"{"ready":true,"conversation":{"id":"c2"},"streaming":true}"#),
            found("c2", None)
        );
        assert_eq!(read(br#"{"conversation":"c3"}"#), found("c3", None));
        assert_eq!(
            read(br#"{"conversationId":"c4","inviteUrl":"https://i"}"#),
            found("c4", Some("https://i"))
        );
    }

    #[test]
    fn an_answer_that_names_none_is_none() {
        for body in [
            &br#"{"conversationId":null}"#[..],
            br#"{"ready":true,"conversation":null,"streaming":false}"#,
            br#"{"conversationId":""}"#,
            br#"{"conversationId":null,"pending":false,"clean":true}"#,
        ] {
            assert_eq!(read(body), Conversation::None);
        }
    }

    #[test]
    fn what_does_not_speak_of_a_conversation_is_no_answer() {
        for body in [
            &b"[]"[..],
            b"not json",
            b"{}",
            br#"{"ready":true}"#,
            br#"{"status":"ok"}"#,
            br#"{"conversation":{"topic":"t"}}"#,
            br#"{"conversationId":null,"conversation":{}}"#,
            br#"{"conversationId":7}"#,
        ] {
            let text = String::from_utf8_lossy(body);
            assert_eq!(read(body), Conversation::NoAnswer, "{text}");
        }
    }

    #[test]
    fn a_join_that_waits_to_be_let_in_is_asked_again() {
        let body = br#"{"conversationId":null,"pending":true}"#;
        assert_eq!(read(body), Conversation::NoAnswer);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body);
        }

        #[test]
        fn an_answer_that_names_a_conversation_is_never_read_as_none(id in "[a-z0-9-]{1,40}") {
            for body in [
                serde_json::json!({ "conversationId": id }),
                serde_json::json!({ "conversation": { "id": id }, "conversationId": null }),
            ] {
                let read = read(body.to_string().as_bytes());
                prop_assert!(!matches!(read, Conversation::None | Conversation::NoAnswer));
            }
        }
    }
}
