//! The settings with which `enrich` asks Railway: the server's, read in the same way.

use std::env;

use pool_domain::{EnvironmentId, ProjectId, Redactor, Secret, ServiceId, ServicePrefix};
use pool_planner::{Accounts, Identity};
use pool_railway::{EnvironmentRef, Settings, Token};

use crate::cli::RailwayFlags;
use crate::failure::Failure;

/// What Railway must not be quoted with.
const SECRETS: [&str; 4] = [
    "DATABASE_URL",
    "POOL_API_KEY",
    "RAILWAY_API_TOKEN",
    "RAILWAY_TOKEN",
];

/// Where Railway is, who we are there, and what proves a service ours.
pub(crate) struct RailwaySettings {
    pub(crate) client: Settings,
    pub(crate) environment: EnvironmentRef,
    pub(crate) identity: Identity,
    pub(crate) pool_api_key: Secret,
}

impl RailwaySettings {
    pub(crate) fn resolve(flags: &RailwayFlags) -> Result<Self, Failure> {
        let missing = |name: &str| Failure::usage(&format!("{name} is required"));
        let token = match (secret("RAILWAY_TOKEN"), secret("RAILWAY_API_TOKEN")) {
            (Some(token), _) => Token::Project(token),
            (None, Some(token)) => Token::Account(token),
            (None, None) => return Err(missing("RAILWAY_API_TOKEN or RAILWAY_TOKEN")),
        };
        let by_id = text(flags.railway_environment_id.as_ref())
            .map(|id| EnvironmentRef::Id(EnvironmentId::new(id)));
        let by_name = || text(flags.railway_environment_name.as_ref()).map(EnvironmentRef::Name);
        let scheme = text(flags.pool_agent_scheme.as_ref()).unwrap_or_else(|| "https".to_owned());
        if !["https", "http"].contains(&scheme.as_str()) {
            let sentence = format!("POOL_AGENT_SCHEME must be https or http, not '{scheme}'");
            return Err(Failure::usage(&sentence));
        }
        let prefix = text(flags.pool_service_prefix.as_ref());
        Ok(Self {
            client: Settings {
                api_url: text(flags.railway_api_url.as_ref())
                    .unwrap_or_else(|| "https://backboard.railway.com/graphql/v2".to_owned()),
                token,
                project_id: text(flags.railway_project_id.as_ref())
                    .map(ProjectId::new)
                    .ok_or_else(|| missing("RAILWAY_PROJECT_ID"))?,
                redactor: Redactor::new(SECRETS.into_iter().filter_map(secret)),
            },
            environment: by_id
                .or_else(by_name)
                .ok_or_else(|| missing("RAILWAY_ENVIRONMENT_ID or RAILWAY_ENVIRONMENT_NAME"))?,
            identity: Identity {
                prefix: ServicePrefix::new(prefix.unwrap_or_else(|| "convos-agent-".to_owned())),
                agent_scheme: scheme,
                own_service: text(flags.railway_service_id.as_ref()).map(ServiceId::new),
                accounts: Accounts::default(),
            },
            pool_api_key: secret("POOL_API_KEY").ok_or_else(|| missing("POOL_API_KEY"))?,
        })
    }
}

/// An empty value counts as not set.
fn text(value: Option<&String>) -> Option<String> {
    let value = value.map(|value| value.trim());
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

fn secret(name: &str) -> Option<Secret> {
    let value = env::var(name).ok();
    value.filter(|value| !value.is_empty()).map(Secret::new)
}
