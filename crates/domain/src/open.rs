//! What is begun outside and not finished: the part of a report that says why something takes long.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::InstanceId;

/// Creations and destructions as they stood when the tick began, those that fail first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenWork {
    /// Instances that are being made.
    pub creating: Vec<OpenInstance>,
    /// Instances that are being destroyed.
    pub destroying: Vec<OpenInstance>,
}

/// One instance that is being made or destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenInstance {
    /// The instance that is made or destroyed.
    pub id: InstanceId,
    /// The step to take next, or those that are left: `key`, `inbox`, `service` and so on.
    pub left: Vec<String>,
    /// When it was intended, or its destruction began.
    pub since: DateTime<Utc>,
    /// How often it failed in a row.
    pub attempts: u32,
    /// Why, the last time.
    pub last_error: Option<String>,
    /// When it is tried again, where it waits for that.
    pub try_at: Option<DateTime<Utc>>,
    /// Whether it waits for an account that is not configured.
    #[serde(default)]
    pub waits_for_account: bool,
}
