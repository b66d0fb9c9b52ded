//! Which part is given to which: the only place that knows them all.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pool_agent::AgentClient;
use pool_claims::{ClaimSettings, Claims};
use pool_credentials::Credentials;
use pool_db::{Db, DbSettings};
use pool_domain::{Entropy, EnvironmentId, OsEntropy, chain};
use pool_planner::{Accounts, Identity};
use pool_railway::{EnvironmentRef, Error as RailwayError, ErrorClass, Railway, Token};
use pool_reconciler::{Blueprint, Outside};
use tracing::warn;

use crate::Config;

/// Between the first two tries to resolve the environment's name; doubled each time, since every
/// try is a request of Railway's budget,
const RESOLVE_RETRY_AFTER: Duration = Duration::from_secs(5);
/// and never longer than this.
const RESOLVE_RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// The parts that serve clients. They need no Railway.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) agent: AgentClient,
    pub(crate) claims: Claims,
    pub(crate) entropy: Arc<dyn Entropy>,
}

pub(crate) fn database(config: &Config) -> DbSettings {
    DbSettings::new(config.database_url.clone())
}

pub(crate) fn parts(config: &Config, db: Db) -> anyhow::Result<Parts> {
    let agent = AgentClient::with_redactor(config.pool_api_key.clone(), &config.redactor)?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let settings = ClaimSettings {
        lease: config.policy.claim_lease,
        provision_timeout: config.policy.provision_timeout,
        source_branch: config.source_branch.clone(),
    };
    let claims = Claims::new(db.clone(), agent.clone(), Arc::clone(&entropy), settings);
    Ok(Parts {
        db,
        agent,
        claims,
        entropy,
    })
}

pub(crate) fn railway(config: &Config) -> anyhow::Result<Railway> {
    let railway = &config.railway;
    let settings = pool_railway::Settings {
        api_url: railway.api_url.clone(),
        token: railway.token.clone(),
        project_id: railway.project_id.clone(),
        redactor: config.redactor.clone(),
    };
    let limits = pool_railway::Limits {
        listing_interval: config.policy.tick_interval,
        ..pool_railway::Limits::default()
    };
    Ok(Railway::with_limits(settings, limits)?)
}

/// The environment's id. Railway's silence is waited out, since claims do not need it; an answer
/// that names no such environment ends the server.
pub(crate) async fn environment(
    config: &Config,
    railway: &Railway,
    db: &Db,
) -> anyhow::Result<EnvironmentId> {
    let wanted = &config.railway.environment;
    if let EnvironmentRef::Id(id) = wanted {
        return Ok(id.clone());
    }
    let mut pause = RESOLVE_RETRY_AFTER;
    loop {
        // A server that is started anew must not run into a block that the one before it knew of.
        learn_budget(railway, db).await;
        match railway.resolve_environment(wanted).await {
            Ok(environment) => return Ok(environment.id),
            Err(error) if is_final(&error) => {
                return Err(error).context(suspects(config));
            }
            Err(error) => {
                warn!(error = %chain(&error), "the environment is not resolved yet; trying again");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RESOLVE_RETRY_AFTER_MAX);
    }
}

async fn learn_budget(railway: &Railway, db: &Db) {
    let learned = async {
        if let Some(stored) = pool_db::budget::load(db).await? {
            railway.load(&stored, db.now().await?);
        }
        Ok::<_, pool_db::Error>(())
    };
    if let Err(error) = learned.await {
        warn!(error = %chain(&error), "what is left of Railway's budget is not known");
    }
}

/// The settings of which one is wrong, where Railway refuses to tell the environment: it says "Not
/// Authorized" of a wrong token and of what the token may not see alike.
fn suspects(config: &Config) -> String {
    let token = match config.railway.token {
        Token::Project(_) => "RAILWAY_TOKEN",
        Token::Account(_) => "RAILWAY_API_TOKEN",
    };
    format!(
        "RAILWAY_ENVIRONMENT_NAME cannot be resolved with this {token} and RAILWAY_PROJECT_ID, of \
         which one is wrong"
    )
}

fn is_final(error: &RailwayError) -> bool {
    matches!(
        error.class(),
        ErrorClass::NotFound | ErrorClass::NotAuthorized | ErrorClass::BadRequest
    )
}

pub(crate) fn outside(
    config: &Config,
    parts: &Parts,
    railway: &Railway,
    environment: EnvironmentId,
) -> anyhow::Result<Outside> {
    let credentials = Credentials::new(pool_credentials::Settings {
        openrouter: config.openrouter.clone(),
        agentmail: config.agentmail.clone(),
        redactor: config.redactor.clone(),
    })?;
    let accounts = Accounts {
        openrouter: credentials.has_openrouter(),
        agentmail: credentials.has_agentmail(),
    };
    Ok(Outside {
        db: parts.db.clone(),
        railway: railway.in_environment(environment),
        agent: parts.agent.clone(),
        credentials,
        identity: Arc::new(Identity {
            prefix: config.prefix.clone(),
            agent_scheme: config.agent_scheme.clone(),
            own_service: config.railway.own_service.clone(),
            accounts,
        }),
        blueprint: Arc::new(Blueprint {
            image: config.runtime_image.clone(),
            volume_mount_path: config.volume_mount_path.clone(),
            variables: config.agent_variables.clone(),
            shared_openrouter_key: config.shared_openrouter_key.clone(),
        }),
        policy: Arc::new(config.policy.clone()),
        pool_api_key: config.pool_api_key.clone(),
        entropy: Arc::clone(&parts.entropy),
        redactor: config.redactor.clone(),
    })
}
