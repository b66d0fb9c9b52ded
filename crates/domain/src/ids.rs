//! A type for each kind of id, so that one cannot stand where another belongs.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Entropy;

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes any text: the other side decides what its ids look like.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text, as whoever gave the id spells it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, without a copy.
            #[must_use]
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )+};
}

text_ids! {
    /// Ours: the primary key of `instances`. New ones are 12 characters; old ones any text.
    InstanceId;
    /// Railway's id of a service.
    ServiceId;
    /// Railway's id of a volume.
    VolumeId;
    /// Railway's id of a deployment.
    DeploymentId;
    /// Railway's id of an environment.
    EnvironmentId;
    /// Railway's id of a project.
    ProjectId;
    /// OpenRouter's hash of a key, by which the key is deleted.
    KeyHash;
    /// AgentMail's id of an inbox.
    InboxId;
    /// The random id of a manager's database: `POOL_MANAGER_ID` of the services that it makes.
    ManagerId;
}

impl ManagerId {
    /// A new one, as unlikely to be drawn twice as an instance's.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(InstanceId::generate(entropy).into_string())
    }
}

impl InstanceId {
    /// How long a new id is: 64^12 ids, so that 100 million live ones collide once in 10^6 draws.
    pub const LENGTH: usize = 12;

    /// The name under which the manager itself runs on Railway. By chance it has the shape of an
    /// instance's name, and must never be taken for one.
    pub const MANAGER_SERVICE_NAME: &str = "convos-agent-pool-manager";

    /// A new id of 12 characters of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let random = |size: usize| {
            let mut bytes = vec![0; size];
            entropy.fill(&mut bytes);
            bytes
        };
        Self(nanoid::format(
            random,
            &nanoid::alphabet::SAFE,
            Self::LENGTH,
        ))
    }

    /// The id in a service's name that has our shape: the prefix and exactly 12 of
    /// `[A-Za-z0-9_-]`. Nothing else is ever taken for ours by its name.
    #[must_use]
    pub fn from_service_name(prefix: &ServicePrefix, name: &str) -> Option<Self> {
        if name == Self::MANAGER_SERVICE_NAME {
            return None;
        }
        let id = name.strip_prefix(prefix.as_str())?;
        let fits = id.len() == Self::LENGTH
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        fits.then(|| Self(id.to_owned()))
    }
}

/// What the names of our services on Railway begin with, `convos-agent-` unless configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePrefix(String);

impl ServicePrefix {
    /// Takes the text as configured.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was configured; a name that begins with it may be ours.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an instance's service, its OpenRouter key and its AgentMail inbox.
    #[must_use]
    pub fn name_of(&self, id: &InstanceId) -> String {
        format!("{}{id}", self.0)
    }
}

/// Counts the changes of a row's status (and of its delete request). A write that was decided from
/// an older epoch changes nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub i64);

/// Counts the leaders. A write of an older term changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub i64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one lease. Made by the claimer before it asks, so that a repeated ask is the same lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken(Uuid);

impl ClaimToken {
    /// A new random token.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// As stored in `instances.claim_token`.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for ClaimToken {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn a_new_id_is_found_again_in_its_service_name() {
        let prefix = ServicePrefix::new("convos-agent-");
        let id = InstanceId::generate(&SeededEntropy::new(7));
        assert_eq!(id.as_str().len(), 12);
        let name = prefix.name_of(&id);
        assert_eq!(InstanceId::from_service_name(&prefix, &name), Some(id));
    }

    #[test]
    fn a_name_of_another_shape_is_nobodys() {
        let prefix = ServicePrefix::new("convos-agent-");
        for name in [
            "convos-agent-pool-manager",
            "convos-agent-",
            "convos-agent-12345678901",
            "convos-agent-1234567890123",
            "convos-agent-12345678901é",
            "convos-agent-1234567890 2",
            "Convos-agent-123456789012",
            "x",
        ] {
            assert_eq!(InstanceId::from_service_name(&prefix, name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic_and_an_id_names_its_service_and_no_other(
            prefix in "[A-Za-z0-9_-]{0,14}",
            rest in "[A-Za-z0-9_-]{11,13}|\\PC{0,14}",
            before in "|x|é",
        ) {
            let prefix = ServicePrefix::new(prefix);
            let name = format!("{before}{}{rest}", prefix.as_str());
            if let Some(id) = InstanceId::from_service_name(&prefix, &name) {
                prop_assert_eq!(id.as_str().len(), InstanceId::LENGTH);
                prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(prefix.name_of(&id), name);
            }
        }
    }
}
