//! The settings as they are used: checked, with their defaults. Bad ones stop the start, each with one
//! sentence that names it.

use std::time::Duration;

use pool_db::DbSettings;
use pool_domain::{EnvironmentId, Policy, ProjectId, Redactor, Secret, ServiceId, ServicePrefix};
use pool_railway::{EnvironmentRef, Token};
use tracing_subscriber::EnvFilter;

use crate::Flags;
use crate::reader::{BadSetting, BadSettings, Reader, bad, text};

/// Everything the server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`.
    pub database_url: Secret,
    /// `POOL_API_KEY`: what clients and agents prove themselves with.
    pub pool_api_key: Secret,
    /// `PORT`.
    pub port: u16,
    /// `POOL_ENVIRONMENT`.
    pub environment: String,
    /// The limits that decisions keep.
    pub policy: Policy,
    /// `POOL_EVENT_RETENTION_DAYS`.
    pub event_retention: Duration,
    /// `POOL_SERVICE_PREFIX`.
    pub prefix: ServicePrefix,
    /// `POOL_AGENT_SCHEME`.
    pub agent_scheme: String,
    /// `POOL_VOLUME_MOUNT_PATH`; none for no volume.
    pub volume_mount_path: Option<String>,
    /// `POOL_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`: what is logged.
    pub log_filter: String,
    /// Railway's endpoint and our place in it.
    pub railway: RailwayConfig,
    /// Keys for each agent, where `OPENROUTER_MANAGEMENT_KEY` is set.
    pub openrouter: Option<pool_credentials::OpenRouterSettings>,
    /// Inboxes for each agent, where `AGENTMAIL_API_KEY` is set.
    pub agentmail: Option<pool_credentials::AgentMailSettings>,
    /// `OPENROUTER_API_KEY`: shared by all agents instead of a key for each.
    pub shared_openrouter_key: Option<Secret>,
    /// `RAILWAY_SOURCE_BRANCH`.
    pub source_branch: Option<String>,
    /// `RAILWAY_RUNTIME_IMAGE`.
    pub runtime_image: String,
    /// The variables that every agent is given as they are.
    pub agent_variables: Vec<(String, Secret)>,
    /// Knows every secret above, and those that are set and not used.
    pub redactor: Redactor,
}

/// Railway's endpoint and our place in it.
#[derive(Debug, Clone)]
pub struct RailwayConfig {
    /// `RAILWAY_API_URL`.
    pub api_url: String,
    /// `RAILWAY_TOKEN`, else `RAILWAY_API_TOKEN`.
    pub token: Token,
    /// `RAILWAY_PROJECT_ID`.
    pub project_id: ProjectId,
    /// `RAILWAY_ENVIRONMENT_ID`, else `RAILWAY_ENVIRONMENT_NAME`.
    pub environment: EnvironmentRef,
    /// `RAILWAY_SERVICE_ID`.
    pub own_service: Option<ServiceId>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// More instances than any Railway plan allows services in a project.
const INSTANCES_MAX: u64 = 100_000;
/// More failed probes in a row than an hour of ticks holds are a mistake.
const UNHEALTHY_AFTER_MAX: u64 = 1_000;
/// Ten years, longer than anybody reads an event log.
const RETENTION_MAX_DAYS: u64 = 3_650;

impl Config {
    /// Reads the settings from flags and, for secrets, from the environment.
    ///
    /// # Errors
    ///
    /// [`BadSettings`]: all that are missing or wrong, each with a sentence that names it and says
    /// what it may be.
    pub fn resolve(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadSettings> {
        let secret = |name: &str| {
            environment(name)
                .filter(|value| !value.is_empty())
                .map(Secret::new)
        };
        let read = Reader::default();
        let required = |name: &'static str| read.required(name, secret(name), nothing);
        let environment_name = text(flags.railway_environment_name.as_ref());
        let volume_mount_path = read.or(mount_path(flags), None);
        let config = Self {
            database_url: required("DATABASE_URL"),
            pool_api_key: required("POOL_API_KEY"),
            port: read.number("PORT", flags.port.as_ref(), 0..=65_535, 3_001),
            environment: text(flags.pool_environment.as_ref())
                .or_else(|| environment_name.clone())
                .unwrap_or_else(|| "undefined".to_owned()),
            policy: policy(&read, flags, volume_mount_path.is_some()),
            event_retention: days(&read, flags),
            prefix: read.or(prefix(flags), ServicePrefix::new(String::new())),
            agent_scheme: read.one_of(
                "POOL_AGENT_SCHEME",
                flags.pool_agent_scheme.as_ref(),
                &["https", "http"],
                "https or http",
            ),
            volume_mount_path,
            log_format: log_format(&read, flags),
            log_filter: read.or(log_filter(environment("RUST_LOG").as_ref()), String::new()),
            railway: railway(&read, flags, secret, environment_name),
            openrouter: openrouter(&read, flags, secret),
            agentmail: agentmail(&read, flags, secret),
            shared_openrouter_key: secret("OPENROUTER_API_KEY"),
            source_branch: text(flags.railway_source_branch.as_ref())
                .or_else(|| text(flags.railway_git_branch.as_ref())),
            runtime_image: text(flags.railway_runtime_image.as_ref())
                .unwrap_or_else(|| "ghcr.io/xmtplabs/convos-runtime:latest".to_owned()),
            agent_variables: agent_variables(flags, secret),
            redactor: redactor(secret),
        };
        check_headers(&read, secret);
        read.end()?;
        // Only of what is right by itself: a default in place of a bad value contradicts nothing.
        config.policy.check().map_err(BadSetting::from)?;
        Ok(config)
    }
}

/// In place of what is missing, until that is said.
fn nothing() -> Secret {
    Secret::new("")
}

/// Every setting that is a secret.
const SECRETS: [&str; 9] = [
    "DATABASE_URL",
    "POOL_API_KEY",
    "RAILWAY_API_TOKEN",
    "RAILWAY_TOKEN",
    "OPENROUTER_MANAGEMENT_KEY",
    "OPENROUTER_API_KEY",
    "AGENTMAIL_API_KEY",
    "BANKR_API_KEY",
    "TELNYX_API_KEY",
];

/// Refuses what no client could show, and what could not be shown to anybody.
fn check_headers(read: &Reader, secret: impl Fn(&str) -> Option<Secret>) {
    let sent_in_headers = [
        "POOL_API_KEY",
        "RAILWAY_API_TOKEN",
        "RAILWAY_TOKEN",
        "OPENROUTER_MANAGEMENT_KEY",
        "AGENTMAIL_API_KEY",
    ];
    for name in sent_in_headers {
        let is_visible = |value: Secret| value.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if !secret(name).is_none_or(is_visible) {
            read.fault(BadSetting::NotForHeader(name));
        }
    }
}

fn redactor(secret: impl Fn(&str) -> Option<Secret>) -> Redactor {
    let password = secret("DATABASE_URL").and_then(|url| DbSettings::password(&url));
    Redactor::new(SECRETS.into_iter().filter_map(secret).chain(password))
}

fn policy(read: &Reader, flags: &Flags, has_volume: bool) -> Policy {
    let standard = Policy::default();
    let ms = |name, value: &Option<String>, default: Duration| {
        read.duration(name, value.as_ref(), default)
    };
    Policy {
        min_idle: read.number(
            "POOL_MIN_IDLE",
            flags.pool_min_idle.as_ref(),
            0..=INSTANCES_MAX,
            standard.min_idle,
        ),
        max_total: read.number(
            "POOL_MAX_TOTAL",
            flags.pool_max_total.as_ref(),
            0..=INSTANCES_MAX,
            standard.max_total,
        ),
        unhealthy_after: read.number(
            "POOL_UNHEALTHY_AFTER",
            flags.pool_unhealthy_after.as_ref(),
            1..=UNHEALTHY_AFTER_MAX,
            standard.unhealthy_after,
        ),
        tick_interval: ms(
            "TICK_INTERVAL_MS",
            &flags.tick_interval_ms,
            standard.tick_interval,
        ),
        stuck_timeout: ms(
            "POOL_STUCK_TIMEOUT_MS",
            &flags.pool_stuck_timeout_ms,
            standard.stuck_timeout,
        ),
        in_progress_timeout: ms(
            "POOL_IN_PROGRESS_TIMEOUT_MS",
            &flags.pool_in_progress_timeout_ms,
            standard.in_progress_timeout,
        ),
        missing_grace: ms(
            "POOL_MISSING_GRACE_MS",
            &flags.pool_missing_grace_ms,
            standard.missing_grace,
        ),
        claim_lease: ms(
            "POOL_CLAIM_LEASE_MS",
            &flags.pool_claim_lease_ms,
            standard.claim_lease,
        ),
        provision_timeout: ms(
            "POOL_PROVISION_TIMEOUT_MS",
            &flags.pool_provision_timeout_ms,
            standard.provision_timeout,
        ),
        has_volume,
    }
}

fn railway(
    read: &Reader,
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
    environment_name: Option<String>,
) -> RailwayConfig {
    let project = secret("RAILWAY_TOKEN").map(Token::Project);
    let token = project.or_else(|| secret("RAILWAY_API_TOKEN").map(Token::Account));
    let missing = BadSetting::MissingBoth("RAILWAY_API_TOKEN", "RAILWAY_TOKEN");
    let token = read.or(token.ok_or(missing), Token::Account(nothing()));
    let id = text(flags.railway_environment_id.as_ref());
    let environment = id
        .map(|id| EnvironmentRef::Id(EnvironmentId::new(id)))
        .or_else(|| environment_name.map(EnvironmentRef::Name));
    let missing = BadSetting::MissingBoth("RAILWAY_ENVIRONMENT_ID", "RAILWAY_ENVIRONMENT_NAME");
    let none = EnvironmentRef::Name(String::new());
    RailwayConfig {
        api_url: read.url(
            "RAILWAY_API_URL",
            flags.railway_api_url.as_ref(),
            "https://backboard.railway.com/graphql/v2",
        ),
        token,
        project_id: ProjectId::new(read.required(
            "RAILWAY_PROJECT_ID",
            text(flags.railway_project_id.as_ref()),
            String::new,
        )),
        environment: read.or(environment.ok_or(missing), none),
        own_service: text(flags.railway_service_id.as_ref()).map(ServiceId::new),
    }
}

fn openrouter(
    read: &Reader,
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Option<pool_credentials::OpenRouterSettings> {
    let name = "OPENROUTER_KEY_LIMIT";
    let written = text(flags.openrouter_key_limit.as_ref()).unwrap_or_else(|| "20".to_owned());
    let limit = written
        .parse()
        .ok()
        .filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
    let expected = "a number of US dollars greater than 0";
    let key_limit = read.or(limit.ok_or_else(|| bad(name, expected, &written)), 0.0);
    let limit_reset = read.one_of(
        "OPENROUTER_KEY_LIMIT_RESET",
        flags.openrouter_key_limit_reset.as_ref(),
        &["monthly", "weekly", "daily", "none"],
        "daily, weekly, monthly or none",
    );
    let api_url = read.url(
        "OPENROUTER_API_URL",
        flags.openrouter_api_url.as_ref(),
        "https://openrouter.ai",
    );
    let management_key = secret("OPENROUTER_MANAGEMENT_KEY")?;
    Some(pool_credentials::OpenRouterSettings {
        management_key,
        api_url,
        key_limit,
        limit_reset: (limit_reset != "none").then_some(limit_reset),
    })
}

fn agentmail(
    read: &Reader,
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Option<pool_credentials::AgentMailSettings> {
    let api_url = read.url(
        "AGENTMAIL_API_URL",
        flags.agentmail_api_url.as_ref(),
        "https://api.agentmail.to",
    );
    let domain = text(flags.agentmail_domain.as_ref());
    secret("AGENTMAIL_API_KEY").map(|api_key| pool_credentials::AgentMailSettings {
        api_key,
        api_url,
        domain,
    })
}

/// Empty where not configured: agents read each of them.
fn agent_variables(
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Vec<(String, Secret)> {
    let plain = |value: &Option<String>| Secret::new(text(value.as_ref()).unwrap_or_default());
    let hidden = |name| secret(name).unwrap_or_else(|| Secret::new(""));
    let network = text(flags.xmtp_env.as_ref()).unwrap_or_else(|| "dev".to_owned());
    [
        ("OPENCLAW_STATE_DIR", Secret::new("/app")),
        ("CHROMIUM_PATH", Secret::new("/usr/bin/chromium")),
        ("XMTP_ENV", Secret::new(network)),
        ("POOL_API_KEY", hidden("POOL_API_KEY")),
        (
            "OPENCLAW_PRIMARY_MODEL",
            plain(&flags.openclaw_primary_model),
        ),
        ("AGENTMAIL_API_KEY", hidden("AGENTMAIL_API_KEY")),
        ("BANKR_API_KEY", hidden("BANKR_API_KEY")),
        ("TELNYX_API_KEY", hidden("TELNYX_API_KEY")),
        ("TELNYX_PHONE_NUMBER", plain(&flags.telnyx_phone_number)),
        (
            "TELNYX_MESSAGING_PROFILE_ID",
            plain(&flags.telnyx_messaging_profile_id),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn prefix(flags: &Flags) -> Result<ServicePrefix, BadSetting> {
    let name = "POOL_SERVICE_PREFIX";
    let prefix = text(flags.pool_service_prefix.as_ref());
    let prefix = prefix.unwrap_or_else(|| "convos-agent-".to_owned());
    let fits = prefix
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits && prefix.len() <= PREFIX_MAX_CHARS {
        return Ok(ServicePrefix::new(prefix));
    }
    Err(bad(name, "at most 40 of [A-Za-z0-9_-]", &prefix))
}

/// With an id's 12 characters a name then stays well under what host names allow (63).
const PREFIX_MAX_CHARS: usize = 40;

fn mount_path(flags: &Flags) -> Result<Option<String>, BadSetting> {
    match text(flags.pool_volume_mount_path.as_ref()) {
        None => Ok(Some("/data".to_owned())),
        Some(none) if none == "none" => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(path)),
        Some(other) => Err(bad(
            "POOL_VOLUME_MOUNT_PATH",
            "a path that begins with '/', or none",
            &other,
        )),
    }
}

fn log_format(read: &Reader, flags: &Flags) -> LogFormat {
    let format = flags.pool_log_format.as_ref();
    let format = read.one_of("POOL_LOG_FORMAT", format, &["text", "json"], "text or json");
    if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    }
}

/// What is logged unless `RUST_LOG` says otherwise.
const LOG_FILTER: &str = "info";
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A word that is no level is taken for the name of a part by whoever reads the filter, and then
/// nothing else is logged: a level that is misspelt must not silence the server.
fn log_filter(value: Option<&String>) -> Result<String, BadSetting> {
    let Some(filter) = text(value) else {
        return Ok(LOG_FILTER.to_owned());
    };
    let is_meant = |part: &str| {
        let part = part.trim();
        let is_level = LOG_LEVELS.contains(&part.to_ascii_lowercase().as_str());
        is_level || part.contains(['=', '[']) || part.starts_with("pool_")
    };
    if EnvFilter::builder().parse(&filter).is_ok() && filter.split(',').all(is_meant) {
        return Ok(filter);
    }
    let expected = "levels such as info, and part=level for parts, with commas between them";
    Err(bad("RUST_LOG", expected, &filter))
}

fn days(read: &Reader, flags: &Flags) -> Duration {
    let value = flags.pool_event_retention_days.as_ref();
    let name = "POOL_EVENT_RETENTION_DAYS";
    let days: u64 = read.number(name, value, 1..=RETENTION_MAX_DAYS, 30);
    Duration::from_secs(days * 24 * 60 * 60)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
