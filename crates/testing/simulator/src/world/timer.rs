//! What is due at a time.

use pool_domain::{DeploymentId, VolumeId};

use super::model::InstanceKey;

/// What happens at a time.
#[derive(Debug, Clone)]
pub(super) enum Timer {
    /// A deployment's next status is due.
    Advance(InstanceKey, DeploymentId),
    /// A volume pending deletion goes for good.
    Purge(VolumeId),
}
