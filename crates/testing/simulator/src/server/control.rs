//! The control API: what a test or a person does to the world that no client of Railway can.
//! Without a key, since it is on loopback only.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use pool_domain::{DeploymentStatus, ServiceId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::shared::{SeedServices, Shared};
use super::view::{ProvisionView, WorldView};
use crate::faults::{AgentFault, Chaos, FaultRule};
use crate::operations::{self, Weights};
use crate::world::{EdgeLimit, Incident, RateLimits};
use crate::{SimulatorError, World};

/// How large a request may be: a handful of variables.
const BODY_MAX_BYTES: usize = 256 * 1024;

/// How many services may be seeded, and operations applied, by one request.
const COUNT_MAX: usize = 5_000;

pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/world", get(world))
        .route("/provisions", get(provisions))
        .route("/requests", axum::routing::delete(reset_requests))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/chaos", post(set_chaos))
        .route("/settings", post(change_settings))
        .route("/operations", post(apply_operations))
        .route("/environments", post(add_environment))
        .route("/services", post(seed_services))
        .route("/services/{id}/{verb}", post(befall_service))
        .route("/agents/{id}/{fault}", post(befall_agent))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "there is no such control route"))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(Arc::clone(shared))
}

async fn world(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(shared.world(|world| WorldView::of(world))).into_response()
}

async fn provisions(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(shared.world(|world| ProvisionView::all(world))).into_response()
}

async fn reset_requests(State(shared): State<Arc<Shared>>) -> Response {
    shared.world(World::reset_request_counts);
    done()
}

async fn add_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let rule: FaultRule = read(&body)?;
    shared.inject(rule)?;
    Ok(done())
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    shared.world(|world| world.faults.clear());
    done()
}

async fn set_chaos(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let chaos: Chaos = read(&body)?;
    shared.world(|world| world.faults.set_chaos(Some(chaos)));
    Ok(done())
}

/// The settings to change; those left out stay.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ChangedSettings {
    deploy_ms_min: Option<u64>,
    deploy_ms_max: Option<u64>,
    boot_ms: Option<u64>,
    read_lag_ms: Option<u64>,
    delete_lag_ms: Option<u64>,
    volumes_per_project: Option<usize>,
    pending_volumes_count: Option<bool>,
    volume_cooldown_ms: Option<u64>,
    services_per_project: Option<usize>,
    instance_lag_ms: Option<u64>,
    default_page: Option<usize>,
    spend_per_field: Option<bool>,
    /// None that is allowed a second switches it off.
    edge: Option<EdgeLimit>,
    limits: Option<RateLimits>,
}

async fn change_settings(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let changed: ChangedSettings = read(&body)?;
    shared.world(|world| {
        let settings = world.settings_mut();
        let durations = [
            (&mut settings.deploy_min, changed.deploy_ms_min),
            (&mut settings.deploy_max, changed.deploy_ms_max),
            (&mut settings.boot, changed.boot_ms),
            (&mut settings.read_lag, changed.read_lag_ms),
            (&mut settings.delete_lag, changed.delete_lag_ms),
            (&mut settings.volume_cooldown, changed.volume_cooldown_ms),
            (&mut settings.instance_lag, changed.instance_lag_ms),
        ];
        for (setting, ms) in durations {
            *setting = ms.map_or(*setting, Duration::from_millis);
        }
        let choices = [
            (
                &mut settings.pending_volumes_count,
                changed.pending_volumes_count,
            ),
            (&mut settings.spend_per_field, changed.spend_per_field),
        ];
        for (setting, choice) in choices {
            *setting = choice.unwrap_or(*setting);
        }
        settings.default_page = changed.default_page.unwrap_or(settings.default_page);
        let max = &mut settings.volumes_per_project;
        *max = changed.volumes_per_project.or(*max);
        let max = &mut settings.services_per_project;
        *max = changed.services_per_project.or(*max);
        if let Some(edge) = changed.edge {
            settings.edge = (edge.per_second > 0).then_some(edge);
        }
        if let Some(limits) = changed.limits {
            settings.limits = limits;
        }
    });
    Ok(done())
}

/// Operations to draw from a seed: what befalls services by itself, nothing that a client does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DrawnOperations {
    seed: u64,
    count: usize,
    /// Faults of requests and listings too.
    #[serde(default)]
    trouble: bool,
}

async fn apply_operations(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let drawn: DrawnOperations = read(&body)?;
    if drawn.count > COUNT_MAX {
        return Err(too_many());
    }
    let mut rng = fastrand::Rng::with_seed(drawn.seed);
    let story: Vec<_> = shared.world(|world| {
        let weights = if drawn.trouble {
            Weights::with_trouble()
        } else {
            Weights::by_themselves()
        };
        let draw = |_| operations::draw(&mut rng, &weights).apply(world);
        (0..drawn.count).map(draw).collect()
    });
    Ok(axum::Json(json!({ "story": story })).into_response())
}

/// An environment to add to the pool's project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewEnvironment {
    name: String,
    #[serde(default)]
    is_fork: bool,
}

async fn add_environment(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let new: NewEnvironment = read(&body)?;
    let id = shared.world(|world| world.add_environment(&new.name, new.is_fork));
    Ok(axum::Json(json!({ "environmentId": id })).into_response())
}

async fn seed_services(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let seed: SeedServices = read(&body)?;
    if seed.count > COUNT_MAX {
        return Err(too_many());
    }
    Ok(axum::Json(shared.seed(&seed)?).into_response())
}

/// A status that the latest deployment is to have; any text is one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedStatus {
    status: DeploymentStatus,
    #[serde(default)]
    stopped: bool,
}

async fn befall_service(
    State(shared): State<Arc<Shared>>,
    Path((id, verb)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let id = ServiceId::new(id);
    match verb.as_str() {
        "crash" => shared.happen(&id, Incident::Crash)?,
        "stop" => shared.happen(&id, Incident::Stop)?,
        "sleep" => shared.happen(&id, Incident::Sleep)?,
        "redeploy" => shared.happen(&id, Incident::Redeploy)?,
        "fail" => shared.happen(&id, Incident::Fail)?,
        "delete" => shared.delete(&id)?,
        "status" => {
            let wanted: WantedStatus = read(&body)?;
            shared.set_status(&id, &wanted.status, wanted.stopped)?;
        }
        _ => {
            let verbs = "crash, stop, sleep, redeploy, fail, delete and status";
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                format!("the verbs are {verbs}"),
            ));
        }
    }
    Ok(done())
}

async fn befall_agent(
    State(shared): State<Arc<Shared>>,
    Path((id, name)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let fault = match (name.as_str(), AgentFault::named(&name)) {
        ("heal", _) => None,
        (_, Some(fault)) => Some(with_parameters(fault, &body)?),
        _ => {
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                "an agent has no such fault",
            ));
        }
    };
    shared.set_agent_fault(&ServiceId::new(id), fault)?;
    Ok(done())
}

/// Lays the parameters in the body, if any, over the fault's usual ones.
fn with_parameters(fault: AgentFault, body: &[u8]) -> Result<AgentFault, Failure> {
    if body.is_empty() {
        return Ok(fault);
    }
    let parameters: serde_json::Map<String, Value> = read(body)?;
    let mut whole = json!(fault);
    for (name, value) in parameters {
        whole[name] = value;
    }
    serde_json::from_value(whole).map_err(|error| bad_request(&error))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| bad_request(&error))
}

fn done() -> Response {
    axum::Json(json!({"ok": true})).into_response()
}

fn too_many() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        format!("count may be at most {COUNT_MAX}"),
    )
}

fn bad_request(error: &serde_json::Error) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, error.to_string())
}

type Answer = Result<Response, Failure>;

/// Why the control API did not do as asked.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    sentence: String,
}

impl Failure {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
        }
    }
}

impl From<SimulatorError> for Failure {
    fn from(error: SimulatorError) -> Self {
        let status = match error {
            SimulatorError::UnknownService(_) => StatusCode::NOT_FOUND,
            SimulatorError::Impossible { .. } | SimulatorError::TooManyFaults { .. } => {
                StatusCode::CONFLICT
            }
            SimulatorError::TooManyAgents { .. } => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({"error": self.sentence}))).into_response()
    }
}
