//! The control API: what a test or a person does to the world that no client of Railway can.
//! Without a key, since it is on loopback only.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use pool_domain::{DeploymentStatus, ServiceId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::shared::{SeedServices, Shared};
use super::view::{ProvisionView, WorldView};
use crate::faults::{AgentFault, Chaos, FaultRule};
use crate::operations::{self, Weights};
use crate::world::Incident;
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

/// Changes the settings that are named; the others stay.
async fn change_settings(State(shared): State<Arc<Shared>>, body: Bytes) -> Answer {
    let changed: Map<String, Value> = read(&body)?;
    shared.world(|world| {
        let mut all = json!(world.settings());
        for (name, value) in changed {
            all[name] = value;
        }
        *world.settings_mut() = serde_json::from_value(all).map_err(|error| bad_request(&error))?;
        Ok(done())
    })
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
    let fault = match name.as_str() {
        "heal" => None,
        name => Some(agent_fault(name, &body)?),
    };
    shared.set_agent_fault(&ServiceId::new(id), fault)?;
    Ok(done())
}

/// The fault of this name, with the parameters in the body, if any.
fn agent_fault(name: &str, body: &[u8]) -> Result<AgentFault, Failure> {
    let mut fault = json!({});
    if !body.is_empty() {
        fault = Value::Object(read(body)?);
    }
    fault["kind"] = json!(name.replace('-', "_"));
    serde_json::from_value(fault).map_err(|error| bad_request(&error))
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
