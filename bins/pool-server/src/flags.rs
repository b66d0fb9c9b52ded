//! The settings as they come in: from the environment or, but for secrets, as flags. Each is taken
//! as text, so that a bad one is refused by a sentence of ours that names it.

use clap::Parser;

/// Keeps agents started ahead of time on Railway, and hands one out on request.
///
/// Secrets are read from the environment only: `DATABASE_URL`, `POOL_API_KEY`, `RAILWAY_API_TOKEN`,
/// `RAILWAY_TOKEN`, `OPENROUTER_MANAGEMENT_KEY`, `OPENROUTER_API_KEY`, `AGENTMAIL_API_KEY`,
/// `BANKR_API_KEY`, `TELNYX_API_KEY`. An empty value counts as not set.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "pool-server", version)]
pub struct Flags {
    /// The port to listen on, on every address [default: 3001]
    #[arg(long, env = "PORT")]
    pub port: Option<String>,
    /// The environment that clients are told, and that join links are checked against
    /// [default: `RAILWAY_ENVIRONMENT_NAME`, else `undefined`]
    #[arg(long, env = "POOL_ENVIRONMENT")]
    pub pool_environment: Option<String>,
    /// How many idle instances to keep [default: 3]
    #[arg(long, env = "POOL_MIN_IDLE")]
    pub pool_min_idle: Option<String>,
    /// How many instances there may be in all [default: 100]
    #[arg(long, env = "POOL_MAX_TOTAL")]
    pub pool_max_total: Option<String>,
    /// How long an instance that is deployed may be starting, in ms [default: 900000]
    #[arg(long, env = "POOL_STUCK_TIMEOUT_MS")]
    pub pool_stuck_timeout_ms: Option<String>,
    /// How long Railway may take to deploy one, in ms [default: 3600000]
    #[arg(long, env = "POOL_IN_PROGRESS_TIMEOUT_MS")]
    pub pool_in_progress_timeout_ms: Option<String>,
    /// From one tick to the next, in ms [default: 30000]
    #[arg(long, env = "TICK_INTERVAL_MS")]
    pub tick_interval_ms: Option<String>,
    /// How long a claim may hold its lease, in ms; a quarter more than the provision
    /// timeout, or 10 s, at least [default: 90000]
    #[arg(long, env = "POOL_CLAIM_LEASE_MS")]
    pub pool_claim_lease_ms: Option<String>,
    /// How long an agent may take to be provisioned, in ms [default: 60000]
    #[arg(long, env = "POOL_PROVISION_TIMEOUT_MS")]
    pub pool_provision_timeout_ms: Option<String>,
    /// How many probes in a row must fail before an instance is idle no more [default: 3]
    #[arg(long, env = "POOL_UNHEALTHY_AFTER")]
    pub pool_unhealthy_after: Option<String>,
    /// How old a status must be before a service's absence counts, in ms [default: 120000]
    #[arg(long, env = "POOL_MISSING_GRACE_MS")]
    pub pool_missing_grace_ms: Option<String>,
    /// How long the event log is kept, in days [default: 30]
    #[arg(long, env = "POOL_EVENT_RETENTION_DAYS")]
    pub pool_event_retention_days: Option<String>,
    /// What the names of our services begin with [default: convos-agent-]
    #[arg(long, env = "POOL_SERVICE_PREFIX")]
    pub pool_service_prefix: Option<String>,
    /// How agents are reached: https, or http for local use [default: https]
    #[arg(long, env = "POOL_AGENT_SCHEME")]
    pub pool_agent_scheme: Option<String>,
    /// Where an agent's volume is mounted; `none` for no volume [default: /data]
    #[arg(long, env = "POOL_VOLUME_MOUNT_PATH")]
    pub pool_volume_mount_path: Option<String>,
    /// How logs are written: text or json [default: text]
    #[arg(long, env = "POOL_LOG_FORMAT")]
    pub pool_log_format: Option<String>,
    /// Railway's endpoint [default: <https://backboard.railway.com/graphql/v2>]
    #[arg(long, env = "RAILWAY_API_URL")]
    pub railway_api_url: Option<String>,
    /// The Railway project that the agents run in
    #[arg(long, env = "RAILWAY_PROJECT_ID")]
    pub railway_project_id: Option<String>,
    /// Its environment, by id; wins over the name
    #[arg(long, env = "RAILWAY_ENVIRONMENT_ID")]
    pub railway_environment_id: Option<String>,
    /// Its environment, by name, in any case
    #[arg(long, env = "RAILWAY_ENVIRONMENT_NAME")]
    pub railway_environment_name: Option<String>,
    /// This server's own service on Railway, never taken for an agent
    #[arg(long, env = "RAILWAY_SERVICE_ID")]
    pub railway_service_id: Option<String>,
    /// The image that agents run [default: ghcr.io/xmtplabs/convos-runtime:latest]
    #[arg(long, env = "RAILWAY_RUNTIME_IMAGE")]
    pub railway_runtime_image: Option<String>,
    /// The branch noted in claimed rows [default: `RAILWAY_GIT_BRANCH`]
    #[arg(long, env = "RAILWAY_SOURCE_BRANCH")]
    pub railway_source_branch: Option<String>,
    /// The branch that Railway built this server from
    #[arg(long, env = "RAILWAY_GIT_BRANCH")]
    pub railway_git_branch: Option<String>,
    /// The spending limit of each agent's `OpenRouter` key, in US dollars [default: 20]
    #[arg(long, env = "OPENROUTER_KEY_LIMIT")]
    pub openrouter_key_limit: Option<String>,
    /// When that limit begins anew: daily, weekly, monthly or none [default: monthly]
    #[arg(long, env = "OPENROUTER_KEY_LIMIT_RESET")]
    pub openrouter_key_limit_reset: Option<String>,
    /// `OpenRouter`'s address [default: <https://openrouter.ai>]
    #[arg(long, env = "OPENROUTER_API_URL")]
    pub openrouter_api_url: Option<String>,
    /// The domain of the agents' inboxes [default: `AgentMail`'s own]
    #[arg(long, env = "AGENTMAIL_DOMAIN")]
    pub agentmail_domain: Option<String>,
    /// `AgentMail`'s address [default: <https://api.agentmail.to>]
    #[arg(long, env = "AGENTMAIL_API_URL")]
    pub agentmail_api_url: Option<String>,
    /// The XMTP network that agents are told [default: dev]
    #[arg(long, env = "XMTP_ENV")]
    pub xmtp_env: Option<String>,
    /// The model that agents are told
    #[arg(long, env = "OPENCLAW_PRIMARY_MODEL")]
    pub openclaw_primary_model: Option<String>,
    /// The telephone number that agents are told
    #[arg(long, env = "TELNYX_PHONE_NUMBER")]
    pub telnyx_phone_number: Option<String>,
    /// The messaging profile that agents are told
    #[arg(long, env = "TELNYX_MESSAGING_PROFILE_ID")]
    pub telnyx_messaging_profile_id: Option<String>,
}
