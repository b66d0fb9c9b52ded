//! What a new agent is made of: image, start command, limits, volume, variables.

use pool_domain::{Entropy, InboxId, ManagerId, Secret, ServiceId};
use pool_railway::ServicePatch;

/// What every new agent is given.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The image it runs.
    pub image: String,
    /// Where its volume is mounted; none for no volume.
    pub volume_mount_path: Option<String>,
    /// Variables that every agent gets as they are.
    pub variables: Vec<(String, Secret)>,
    /// An OpenRouter key that all agents share; then none is made for each.
    pub shared_openrouter_key: Option<Secret>,
}

impl Blueprint {
    /// What an agent's container runs.
    pub const START_COMMAND: &str = "node scripts/pool-server.js";
    /// The processors it may use.
    pub const VCPUS: f64 = 4.0;
    /// The memory it may use: 8 GiB.
    pub const MEMORY_BYTES: u64 = 8 * 1024 * 1024 * 1024;

    /// The one patch that makes a service an agent, and deploys it.
    pub(crate) fn patch(&self, parts: &Parts, entropy: &dyn Entropy) -> ServicePatch {
        let mut variables = self.variables.clone();
        let mut add = |name: &str, value: Secret| variables.push((name.to_owned(), value));
        add("POOL_MANAGER_ID", Secret::new(parts.manager.as_str()));
        add("OPENCLAW_GATEWAY_TOKEN", parts.gateway_token.clone());
        add(
            "SETUP_PASSWORD",
            Secret::new(hex(entropy, SETUP_PASSWORD_BYTES)),
        );
        let wallet = format!("0x{}", hex(entropy, WALLET_KEY_BYTES));
        add("PRIVATE_WALLET_KEY", Secret::new(wallet));
        if let Some(key) = self
            .shared_openrouter_key
            .as_ref()
            .or(parts.openrouter_key.as_ref())
        {
            add("OPENROUTER_API_KEY", key.clone());
        }
        if let Some(inbox) = &parts.inbox_id {
            add("AGENTMAIL_INBOX_ID", Secret::new(inbox.as_str()));
        }
        ServicePatch {
            service_id: parts.service_id.clone(),
            image: self.image.clone(),
            start_command: Self::START_COMMAND.to_owned(),
            vcpus: Self::VCPUS,
            memory_bytes: Self::MEMORY_BYTES,
            variables,
        }
    }
}

/// The parts that are one agent's own.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) manager: ManagerId,
    pub(crate) service_id: ServiceId,
    pub(crate) gateway_token: Secret,
    pub(crate) openrouter_key: Option<Secret>,
    pub(crate) inbox_id: Option<InboxId>,
}

/// 32 hexadecimal characters.
const SETUP_PASSWORD_BYTES: usize = 16;
/// 64 hexadecimal characters, as an Ethereum private key has.
const WALLET_KEY_BYTES: usize = 32;
/// 64 hexadecimal characters.
const GATEWAY_TOKEN_BYTES: usize = 32;

/// A new token for an agent's gateway.
pub(crate) fn new_gateway_token(entropy: &dyn Entropy) -> Secret {
    Secret::new(hex(entropy, GATEWAY_TOKEN_BYTES))
}

fn hex(entropy: &dyn Entropy, bytes: usize) -> String {
    let mut random = vec![0; bytes];
    entropy.fill(&mut random);
    random
        .iter()
        .fold(String::with_capacity(2 * bytes), |mut text, byte| {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
            text.extend([digit(byte >> 4), digit(byte & 15)]);
            text
        })
}

#[cfg(test)]
mod tests {
    use pool_domain::SeededEntropy;

    use super::*;

    fn parts() -> Parts {
        Parts {
            manager: "manager".into(),
            service_id: "service".into(),
            gateway_token: new_gateway_token(&SeededEntropy::new(1)),
            openrouter_key: Some(Secret::new("own")),
            inbox_id: Some("inbox@example".into()),
        }
    }

    fn blueprint(shared: Option<&str>) -> Blueprint {
        Blueprint {
            image: "image".into(),
            volume_mount_path: None,
            variables: vec![("XMTP_ENV".into(), Secret::new("dev"))],
            shared_openrouter_key: shared.map(Secret::new),
        }
    }

    fn value(patch: &ServicePatch, name: &str) -> String {
        let found = patch.variables.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.expose().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn fresh_secrets_have_their_lengths_and_differ() {
        let patch = blueprint(None).patch(&parts(), &SeededEntropy::new(2));
        assert_eq!(value(&patch, "OPENCLAW_GATEWAY_TOKEN").len(), 64);
        assert_eq!(value(&patch, "SETUP_PASSWORD").len(), 32);
        let wallet = value(&patch, "PRIVATE_WALLET_KEY");
        assert_eq!((wallet.len(), &wallet[..2]), (66, "0x"));
        let other = blueprint(None).patch(&parts(), &SeededEntropy::new(3));
        assert_ne!(
            value(&other, "SETUP_PASSWORD"),
            value(&patch, "SETUP_PASSWORD")
        );
    }

    #[test]
    fn a_shared_key_stands_in_for_one_of_its_own() {
        let own = blueprint(None).patch(&parts(), &SeededEntropy::new(2));
        assert_eq!(value(&own, "OPENROUTER_API_KEY"), "own");
        let shared = blueprint(Some("shared")).patch(&parts(), &SeededEntropy::new(2));
        assert_eq!(value(&shared, "OPENROUTER_API_KEY"), "shared");
    }

    #[test]
    fn no_secret_shows_when_a_patch_is_printed() {
        let patch = blueprint(None).patch(&parts(), &SeededEntropy::new(2));
        assert!(!format!("{patch:?}").contains(&value(&patch, "SETUP_PASSWORD")));
    }
}
