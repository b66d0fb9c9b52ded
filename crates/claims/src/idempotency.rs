//! A claim that its caller repeats under a key: what the first one was told, the second one is told.

use pool_db::Db;
use pool_db::claims::{self, KeyedRequest, Known};
use pool_domain::Fingerprint;
use sha2::{Digest, Sha256};

use crate::{ClaimError, ClaimRequest, ClaimSettings, Claimed};

/// The request as it may be repeated; none where its caller gave no key.
pub(crate) fn keyed(request: &ClaimRequest) -> Option<KeyedRequest> {
    Some(KeyedRequest {
        key: request.idempotency_key.clone()?,
        fingerprint: fingerprint(request),
        keep: ClaimSettings::ANSWERS_KEPT_FOR,
        leased_before: None,
    })
}

/// What the caller is told without anything being done; none where the claim is to begin.
pub(crate) async fn told_before(
    db: &Db,
    request: &KeyedRequest,
) -> Result<Option<Claimed>, ClaimError> {
    match claims::look(db, request).await.map_err(ClaimError::Lease)? {
        Known::Nothing => Ok(None),
        Known::OtherBody => Err(ClaimError::KeyReused),
        Known::Running { decided_in } => Err(ClaimError::KeyInProgress { decided_in }),
        Known::Claimed(answer) => {
            tracing::info!(instance.id = %answer.id, "a claim is repeated, and so is its answer");
            Ok(Some(Claimed {
                instance_id: answer.id,
                invite_url: answer.invite_url,
                conversation_id: answer.conversation_id,
                joined: answer.joined,
                gateway_token: answer.gateway_token,
                gateway_url: answer.url,
                is_replayed: true,
            }))
        }
        Known::Destroyed { id } => Err(ClaimError::Destroyed { id }),
        Known::Unknown { timed_out } => Err(ClaimError::Indeterminate {
            timed_out,
            reason: "that of the claim which this one repeats".to_owned(),
            is_replayed: true,
        }),
    }
}

/// Over what an agent is to become, each part after its length, so that no two requests run
/// together. Fields that mean nothing to a claim, and how the JSON was written, do not count.
fn fingerprint(request: &ClaimRequest) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [
        Some(&*request.agent_name),
        Some(&*request.instructions),
        request.join_url.as_deref(),
    ] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or(""));
    }
    Fingerprint(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(agent_name: &str, instructions: &str, join_url: Option<&str>) -> Fingerprint {
        fingerprint(&ClaimRequest {
            agent_name: agent_name.to_owned(),
            instructions: instructions.into(),
            join_url: join_url.map(str::to_owned),
            idempotency_key: None,
        })
    }

    #[test]
    fn requests_that_differ_in_any_part_have_different_fingerprints() {
        let requests = [
            hash("ab", "c", None),
            hash("a", "bc", None),
            hash("c", "ab", None),
            hash("ab", "c", Some("")),
            hash("ab", "c", Some("d")),
            hash("ab", "cd", None),
            hash("ab", "c\0", None),
        ];
        for (n, one) in requests.iter().enumerate() {
            assert!(!requests[n + 1..].contains(one), "the one at {n}");
        }
        assert_eq!(hash("ab", "c", Some("d")), requests[4]);
    }

    /// Keys outlive the build that wrote them.
    #[test]
    fn a_fingerprint_is_the_same_in_every_build() {
        let Fingerprint(bytes) = hash("Ada", "Be kind.", Some("https://join.test"));
        assert_eq!(bytes[..4], [149, 158, 95, 198]);
    }
}
