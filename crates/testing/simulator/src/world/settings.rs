//! How the modelled Railway behaves: how long things take, and how much it allows.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How long the world's things take and how many of them it allows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The shortest time from the start of a deployment to its SUCCESS.
    #[serde(rename = "deployMsMin", with = "ms")]
    pub deploy_min: Duration,
    /// The longest.
    #[serde(rename = "deployMsMax", with = "ms")]
    pub deploy_max: Duration,
    /// From SUCCESS until the agent says that it is ready.
    #[serde(rename = "bootMs", with = "ms")]
    pub boot: Duration,
    /// For how long after its creation a service or a volume is missing from listings.
    #[serde(rename = "readLagMs", with = "ms")]
    pub read_lag: Duration,
    /// For how long after its deletion a service still stands in listings.
    #[serde(rename = "deleteLagMs", with = "ms")]
    pub delete_lag: Duration,
    /// For how long a deleted volume is kept, pending deletion.
    #[serde(rename = "volumeRetentionMs", with = "ms")]
    pub volume_retention: Duration,
    /// How many volumes a project may have; none is no limit.
    pub volumes_per_project: Option<usize>,
    /// Whether volumes pending deletion count towards that limit, which Railway does not say.
    pub pending_volumes_count: bool,
    /// How long after one `volumeCreate` the next is "too quickly"; zero is no throttle.
    #[serde(rename = "volumeCooldownMs", with = "ms")]
    pub volume_cooldown: Duration,
    /// How many services a project may have; none is no limit.
    pub services_per_project: Option<usize>,
    /// For how long after its creation a service may get no domain, since its instance is not found.
    #[serde(rename = "instanceLagMs", with = "ms")]
    pub instance_lag: Duration,
    /// How many items a connection gives when `first` is omitted.
    pub default_page: usize,
    /// How many requests are allowed.
    pub limits: RateLimits,
    /// Whether each root field spends one of the limits, rather than each request. Railway's schema
    /// speaks of points, its documentation of requests.
    pub spend_per_field: bool,
    /// The limiter of the edge before Railway; none never blocks by itself.
    pub edge: Option<EdgeLimit>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deploy_min: Duration::from_millis(50),
            deploy_max: Duration::from_millis(150),
            boot: Duration::from_millis(50),
            read_lag: Duration::ZERO,
            delete_lag: Duration::ZERO,
            volume_retention: Duration::from_hours(48),
            volumes_per_project: None,
            pending_volumes_count: true,
            volume_cooldown: Duration::ZERO,
            services_per_project: None,
            instance_lag: Duration::ZERO,
            // Railway does not document its default. 100 is small enough that a client which
            // forgets to page is found out by a test of modest size.
            default_page: 100,
            limits: RateLimits::default(),
            spend_per_field: false,
            edge: None,
        }
    }
}

/// A duration as so many milliseconds.
mod ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(it: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(it.as_millis().try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The limiter of the edge before Railway. It looks at requests without a query string only, and
/// whoever exceeds it is blocked for a while, without any of Railway's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EdgeLimit {
    pub per_second: u32,
    /// For how long it blocks, in milliseconds.
    pub block_ms: u64,
}

/// Railway's own limiter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimits {
    /// Requests an hour; none is unlimited, and then no header is sent either.
    pub per_hour: Option<u32>,
    /// Requests a second; none is unlimited.
    pub per_second: Option<u32>,
    /// How `X-RateLimit-Reset` tells the time.
    pub reset: ResetFormat,
    /// What the body of a 429 is.
    pub body: LimitBody,
}

impl Default for RateLimits {
    /// The Pro plan's: 10,000 an hour and 50 a second.
    fn default() -> Self {
        Self {
            per_hour: Some(10_000),
            per_second: Some(50),
            reset: ResetFormat::UnixSeconds,
            body: LimitBody::Json,
        }
    }
}

impl RateLimits {
    /// No limit of any kind, and no headers.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            per_hour: None,
            per_second: None,
            reset: ResetFormat::UnixSeconds,
            body: LimitBody::Json,
        }
    }
}

/// Railway does not say in which form it tells the end of a window, so all likely ones are modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ResetFormat {
    /// Seconds since 1970.
    #[value(name = "seconds")]
    UnixSeconds,
    /// Milliseconds since 1970.
    #[value(name = "millis")]
    UnixMillis,
    /// RFC 3339.
    Iso,
}

/// What a 429 of Railway's own limiter says; which of them is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LimitBody {
    /// A GraphQL answer with an error and no data.
    Json,
    /// A sentence.
    Text,
    /// A web page.
    Html,
}
