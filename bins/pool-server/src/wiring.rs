//! Which part is given to which: the only place that knows them all.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pool_agent::AgentClient;
use pool_claims::{ClaimSettings, Claims};
use pool_credentials::Credentials;
use pool_db::{Db, DbSettings, Dialer};
use pool_domain::{Entropy, EnvironmentId, OsEntropy, chain};
use pool_http_client::Transport;
use pool_planner::{Accounts, Identity};
use pool_railway::{EnvironmentRef, Error as RailwayError, ErrorClass, Railway, Token};
use pool_reconciler::{AgentsAnswer, Blueprint, Loops};
use tracing::{error, warn};

use crate::Config;

/// Between the first two tries to resolve the environment's name; doubled each time, since every
/// try is a request of Railway's budget,
const RESOLVE_RETRY_AFTER: Duration = Duration::from_secs(5);
/// and never longer than this.
const RESOLVE_RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// Lets a server's loops stand still, as an operating system does with a process that it stops.
pub trait Suspend: fmt::Debug + Send + Sync {
    /// Ready while they may go on.
    fn poll_running(&self, context: &mut Context<'_>) -> Poll<()>;
}

/// What a server reaches the world through, and where its randomness comes from. By default the
/// network and the operating system; a simulation puts something else in their place.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What makes connections to the database, where it is not the network.
    pub dialer: Option<Dialer>,
    /// What carries requests to Railway, the accounts and the agents.
    pub transport: Transport,
    /// Where ids and secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// Which server this is, for people who read who leads.
    pub holder: String,
    /// What may let its loops stand still, where anything but the operating system does.
    pub suspend: Option<Arc<dyn Suspend>>,
}

impl Surroundings {
    /// The same future, which goes on only while it may.
    pub(crate) async fn suspended<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| {
            if let Some(suspend) = &self.suspend {
                ready!(suspend.poll_running(context));
            }
            future.as_mut().poll(context)
        })
        .await
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            dialer: None,
            transport: Transport::default(),
            entropy: Arc::new(OsEntropy),
            holder: holder(),
            suspend: None,
        }
    }
}

/// Railway names each replica.
fn holder() -> String {
    let replica = std::env::var("RAILWAY_REPLICA_ID").or_else(|_| std::env::var("HOSTNAME"));
    format!(
        "{}/{}",
        replica.unwrap_or_else(|_| "local".to_owned()),
        std::process::id()
    )
}

/// The parts that serve clients. They need no Railway.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) agent: AgentClient,
    pub(crate) claims: Claims,
    pub(crate) entropy: Arc<dyn Entropy>,
}

pub(crate) fn database(config: &Config, surroundings: &Surroundings) -> DbSettings {
    DbSettings {
        dialer: surroundings.dialer.clone(),
        ..DbSettings::new(config.database_url.clone())
    }
}

pub(crate) fn parts(config: &Config, db: Db, surroundings: &Surroundings) -> anyhow::Result<Parts> {
    let agent = AgentClient::with_transport(
        config.pool_api_key.clone(),
        &config.redactor,
        &surroundings.transport,
    )?;
    let agent = match &*config.agent_scheme {
        "http" => agent,
        _ => agent.over_https_only(),
    };
    let entropy = Arc::clone(&surroundings.entropy);
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

pub(crate) fn railway(config: &Config, surroundings: &Surroundings) -> anyhow::Result<Railway> {
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
    Ok(Railway::with_transport(
        settings,
        limits,
        &surroundings.transport,
    )?)
}

/// The environment's id. Whatever Railway says instead is waited out, since claims do not need it, and
/// since a wrong token is put right on Railway's side as often as here. Until then this server cannot
/// lead.
pub(crate) async fn environment(
    config: &Config,
    railway: &Railway,
    db: &Db,
    loops: &Loops,
) -> EnvironmentId {
    let wanted = &config.railway.environment;
    if let EnvironmentRef::Id(id) = wanted {
        return id.clone();
    }
    let mut pause = RESOLVE_RETRY_AFTER;
    loop {
        // A server that is started anew must not run into a block that the one before it knew of.
        learn_budget(railway, db).await;
        match railway.resolve_environment(wanted).await {
            Ok(environment) => {
                loops.hinder(None);
                return environment.id;
            }
            Err(error) => {
                let why = chain(&error);
                if needs_a_person(&error) {
                    error!(error = %why, "{}; trying again", suspects(config));
                    loops.hinder(Some(format!("{}: {why}", suspects(config))));
                } else {
                    warn!(error = %why, "the environment is not resolved yet; trying again");
                    loops.hinder(Some(format!("the environment is not resolved yet: {why}")));
                }
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

fn needs_a_person(error: &RailwayError) -> bool {
    matches!(
        error.class(),
        ErrorClass::NotFound | ErrorClass::NotAuthorized | ErrorClass::BadRequest
    )
}

pub(crate) fn context(
    config: &Config,
    surroundings: &Surroundings,
    parts: &Parts,
    railway: &Railway,
    environment: EnvironmentId,
) -> anyhow::Result<pool_reconciler::Context> {
    let settings = pool_credentials::Settings {
        openrouter: config.openrouter.clone(),
        agentmail: config.agentmail.clone(),
        redactor: config.redactor.clone(),
    };
    let credentials = Credentials::with_transport(settings, &surroundings.transport)?;
    let accounts = Accounts {
        openrouter: credentials.has_openrouter(),
        agentmail: credentials.has_agentmail(),
    };
    Ok(pool_reconciler::Context {
        db: parts.db.for_leading(),
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
        agents_answer: AgentsAnswer::new(parts.claims.ask_of_agents()),
    })
}
