//! The settings as they are used: checked, with their defaults. A bad one stops the start with one
//! sentence that names it.

use std::time::Duration;

use pool_db::DbSettings;
use pool_domain::{EnvironmentId, Policy, ProjectId, Redactor, Secret, ServiceId, ServicePrefix};
use pool_railway::{EnvironmentRef, Token};
use url::Url;

use crate::Flags;

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

/// A setting that cannot be used. The sentence names it, and never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSetting {
    /// A required one is missing.
    #[error("{0} is required")]
    Missing(&'static str),
    /// It is sent in a header, and holds what a header cannot hold.
    #[error("{0} must be visible ASCII characters without blanks")]
    NotForHeader(&'static str),
    /// One of two must be set.
    #[error("{0} or {1} is required")]
    MissingBoth(&'static str, &'static str),
    /// Its value is not of its kind.
    #[error("{name} must be {expected}, not '{value}'")]
    Bad {
        /// Which.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What it was.
        value: String,
    },
    /// It contradicts another.
    #[error(transparent)]
    Contradiction(#[from] pool_domain::PolicyError),
}

/// Every duration is at least this long: shorter ones are mistakes of unit.
const DURATION_MIN_MS: u64 = 100;
/// And at most a day.
const DURATION_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// More instances than any Railway plan allows services in a project.
const INSTANCES_MAX: u64 = 100_000;
/// More failed probes in a row than an hour of ticks holds are a mistake.
const UNHEALTHY_AFTER_MAX: u64 = 1_000;
/// Ten years.
const RETENTION_MAX_DAYS: u64 = 3_650;

impl Config {
    /// Reads the settings from flags and, for secrets, from the environment.
    ///
    /// # Errors
    ///
    /// [`BadSetting`], one sentence that names the setting and what it may be.
    pub fn resolve(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadSetting> {
        let secret = |name: &str| {
            environment(name)
                .filter(|value| !value.is_empty())
                .map(Secret::new)
        };
        let required = |name: &'static str| secret(name).ok_or(BadSetting::Missing(name));
        let environment_name = text(flags.railway_environment_name.as_ref());
        let config = Self {
            database_url: required("DATABASE_URL")?,
            pool_api_key: required("POOL_API_KEY")?,
            port: number("PORT", flags.port.as_ref(), 0..=65_535, 3_001)?,
            environment: text(flags.pool_environment.as_ref())
                .or_else(|| environment_name.clone())
                .unwrap_or_else(|| "undefined".to_owned()),
            policy: policy(flags)?,
            event_retention: days("POOL_EVENT_RETENTION_DAYS", flags)?,
            prefix: prefix(flags)?,
            agent_scheme: one_of(
                "POOL_AGENT_SCHEME",
                flags.pool_agent_scheme.as_ref(),
                &["https", "http"],
                "https or http",
            )?,
            volume_mount_path: mount_path(flags)?,
            log_format: log_format(flags)?,
            railway: railway(flags, secret, environment_name)?,
            openrouter: openrouter(flags, secret)?,
            agentmail: agentmail(flags, secret)?,
            shared_openrouter_key: secret("OPENROUTER_API_KEY"),
            source_branch: text(flags.railway_source_branch.as_ref())
                .or_else(|| text(flags.railway_git_branch.as_ref())),
            runtime_image: text(flags.railway_runtime_image.as_ref())
                .unwrap_or_else(|| "ghcr.io/xmtplabs/convos-runtime:latest".to_owned()),
            agent_variables: agent_variables(flags, secret),
            redactor: redactor(secret),
        };
        config.policy.check()?;
        check_headers(secret)?;
        Ok(config)
    }
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
fn check_headers(secret: impl Fn(&str) -> Option<Secret>) -> Result<(), BadSetting> {
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
            return Err(BadSetting::NotForHeader(name));
        }
    }
    Ok(())
}

fn redactor(secret: impl Fn(&str) -> Option<Secret>) -> Redactor {
    let password = secret("DATABASE_URL").and_then(|url| DbSettings::password(&url));
    Redactor::new(SECRETS.into_iter().filter_map(secret).chain(password))
}

fn policy(flags: &Flags) -> Result<Policy, BadSetting> {
    let standard = Policy::default();
    let ms =
        |name, value: &Option<String>, default: Duration| duration(name, value.as_ref(), default);
    Ok(Policy {
        min_idle: number(
            "POOL_MIN_IDLE",
            flags.pool_min_idle.as_ref(),
            0..=INSTANCES_MAX,
            3,
        )?,
        max_total: number(
            "POOL_MAX_TOTAL",
            flags.pool_max_total.as_ref(),
            0..=INSTANCES_MAX,
            100,
        )?,
        unhealthy_after: number(
            "POOL_UNHEALTHY_AFTER",
            flags.pool_unhealthy_after.as_ref(),
            1..=UNHEALTHY_AFTER_MAX,
            3,
        )?,
        tick_interval: ms(
            "TICK_INTERVAL_MS",
            &flags.tick_interval_ms,
            standard.tick_interval,
        )?,
        stuck_timeout: ms(
            "POOL_STUCK_TIMEOUT_MS",
            &flags.pool_stuck_timeout_ms,
            standard.stuck_timeout,
        )?,
        missing_grace: ms(
            "POOL_MISSING_GRACE_MS",
            &flags.pool_missing_grace_ms,
            standard.missing_grace,
        )?,
        claim_lease: ms(
            "POOL_CLAIM_LEASE_MS",
            &flags.pool_claim_lease_ms,
            standard.claim_lease,
        )?,
        provision_timeout: ms(
            "POOL_PROVISION_TIMEOUT_MS",
            &flags.pool_provision_timeout_ms,
            standard.provision_timeout,
        )?,
        has_volume: mount_path(flags)?.is_some(),
    })
}

fn railway(
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
    environment_name: Option<String>,
) -> Result<RailwayConfig, BadSetting> {
    let token = match (secret("RAILWAY_TOKEN"), secret("RAILWAY_API_TOKEN")) {
        (Some(token), _) => Token::Project(token),
        (None, Some(token)) => Token::Account(token),
        (None, None) => {
            return Err(BadSetting::MissingBoth(
                "RAILWAY_API_TOKEN",
                "RAILWAY_TOKEN",
            ));
        }
    };
    let id = text(flags.railway_environment_id.as_ref());
    let environment = id
        .map(|id| EnvironmentRef::Id(EnvironmentId::new(id)))
        .or_else(|| environment_name.map(EnvironmentRef::Name))
        .ok_or(BadSetting::MissingBoth(
            "RAILWAY_ENVIRONMENT_ID",
            "RAILWAY_ENVIRONMENT_NAME",
        ))?;
    Ok(RailwayConfig {
        api_url: url(
            "RAILWAY_API_URL",
            flags.railway_api_url.as_ref(),
            "https://backboard.railway.com/graphql/v2",
        )?,
        token,
        project_id: text(flags.railway_project_id.as_ref())
            .map(ProjectId::new)
            .ok_or(BadSetting::Missing("RAILWAY_PROJECT_ID"))?,
        environment,
        own_service: text(flags.railway_service_id.as_ref()).map(ServiceId::new),
    })
}

fn openrouter(
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Result<Option<pool_credentials::OpenRouterSettings>, BadSetting> {
    let name = "OPENROUTER_KEY_LIMIT";
    let written = text(flags.openrouter_key_limit.as_ref()).unwrap_or_else(|| "20".to_owned());
    let limit = written
        .parse()
        .ok()
        .filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
    let key_limit =
        limit.ok_or_else(|| bad(name, "a number of US dollars greater than 0", &written))?;
    let reset = flags.openrouter_key_limit_reset.as_ref();
    let limit_reset = one_of(
        "OPENROUTER_KEY_LIMIT_RESET",
        reset,
        &["monthly", "weekly", "daily"],
        "daily, weekly or monthly",
    )?;
    let api_url = url(
        "OPENROUTER_API_URL",
        flags.openrouter_api_url.as_ref(),
        "https://openrouter.ai",
    )?;
    Ok(secret("OPENROUTER_MANAGEMENT_KEY").map(|management_key| {
        pool_credentials::OpenRouterSettings {
            management_key,
            api_url,
            key_limit,
            limit_reset,
        }
    }))
}

fn agentmail(
    flags: &Flags,
    secret: impl Fn(&str) -> Option<Secret>,
) -> Result<Option<pool_credentials::AgentMailSettings>, BadSetting> {
    let api_url = url(
        "AGENTMAIL_API_URL",
        flags.agentmail_api_url.as_ref(),
        "https://api.agentmail.to",
    )?;
    let domain = text(flags.agentmail_domain.as_ref());
    Ok(
        secret("AGENTMAIL_API_KEY").map(|api_key| pool_credentials::AgentMailSettings {
            api_key,
            api_url,
            domain,
        }),
    )
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

fn log_format(flags: &Flags) -> Result<LogFormat, BadSetting> {
    let format = flags.pool_log_format.as_ref();
    let format = one_of("POOL_LOG_FORMAT", format, &["text", "json"], "text or json")?;
    Ok(if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    })
}

fn days(name: &'static str, flags: &Flags) -> Result<Duration, BadSetting> {
    let value = flags.pool_event_retention_days.as_ref();
    let days: u64 = number(name, value, 1..=RETENTION_MAX_DAYS, 30)?;
    Ok(Duration::from_secs(days * 24 * 60 * 60))
}

/// An empty value counts as not set.
fn text(value: Option<&String>) -> Option<String> {
    value
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn bad(name: &'static str, expected: &'static str, value: &str) -> BadSetting {
    BadSetting::Bad {
        name,
        expected,
        value: value.to_owned(),
    }
}

fn one_of(
    name: &'static str,
    value: Option<&String>,
    choices: &[&'static str],
    expected: &'static str,
) -> Result<String, BadSetting> {
    let value = text(value).unwrap_or_else(|| choices[0].to_owned());
    if choices.contains(&value.as_str()) {
        Ok(value)
    } else {
        Err(bad(name, expected, &value))
    }
}

fn url(name: &'static str, value: Option<&String>, default: &str) -> Result<String, BadSetting> {
    let value = text(value).unwrap_or_else(|| default.to_owned());
    let parsed = Url::parse(&value).ok();
    let fits = parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if fits {
        Ok(value)
    } else {
        Err(bad(name, "an http or https URL", &value))
    }
}

fn number<T: TryFrom<u64>>(
    name: &'static str,
    value: Option<&String>,
    range: std::ops::RangeInclusive<u64>,
    default: T,
) -> Result<T, BadSetting> {
    let Some(value) = text(value) else {
        return Ok(default);
    };
    let parsed = value.parse().ok().filter(|number| range.contains(number));
    parsed
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| BadSetting::Bad {
            name,
            expected: expected_number(name),
            value,
        })
}

fn expected_number(name: &str) -> &'static str {
    match name {
        "PORT" => "a whole number from 0 to 65535",
        "POOL_UNHEALTHY_AFTER" => "a whole number from 1 to 1000",
        "POOL_EVENT_RETENTION_DAYS" => "a whole number of days from 1 to 3650",
        _ => "a whole number from 0 to 100000",
    }
}

fn duration(
    name: &'static str,
    value: Option<&String>,
    default: Duration,
) -> Result<Duration, BadSetting> {
    let Some(value) = text(value) else {
        return Ok(default);
    };
    let ms = value
        .parse()
        .ok()
        .filter(|ms| (DURATION_MIN_MS..=DURATION_MAX_MS).contains(ms));
    ms.map(Duration::from_millis).ok_or_else(|| {
        bad(
            name,
            "a whole number of ms from 100 to 86400000 (24 h)",
            &value,
        )
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
