//! The route table, on one screen, and what surrounds every request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::auth::require_key;
use crate::body::BODY_BYTES_MAX;
use crate::error::ApiError;
use crate::guards::{self, Places, REQUEST_ID};
use crate::page;
use crate::routes::{agents, claim, commands, counts, drain, health, instances, status};
use crate::state::{App, Shared, State};

/// Longer than anything that a handler waits for by itself, so that its own answer is sent.
const BESIDE_WAITING: Duration = Duration::from_secs(10);

/// Serves the API and the page.
pub fn router(app: App) -> Router {
    let longest = app.claims.answers_within().max(commands::WAIT_MAX);
    let state = State::new(app);

    let places = Places::new();
    let for_all = Router::new()
        .route("/", get(page::show))
        .route("/page/live", get(page::live))
        .route("/page/style.css", get(page::style))
        .route("/page/script.js", get(page::script))
        .route("/version", get(health::version))
        .route("/api/pool/counts", get(counts::show))
        .route("/api/pool/agents", get(agents::list))
        .route_layer(from_fn_with_state(
            (Arc::clone(&state), places.clone()),
            guards::bounded_by_key,
        ));

    let within = |routes: Router<Shared>, places: Arc<Semaphore>| {
        routes.route_layer(from_fn_with_state(places, guards::bounded))
    };
    let claims = Router::new().route("/api/pool/claim", post(claim::claim));
    let reading = Router::new().route("/api/pool/status", get(status::show));
    let changes = Router::new()
        .route("/api/pool/replenish", post(commands::replenish))
        .route("/api/pool/reconcile", post(commands::reconcile))
        .route("/api/pool/sweep", post(commands::sweep))
        .route("/api/pool/fuse/confirm", post(commands::confirm_fuse))
        .route("/api/pool/drain", post(drain::drain))
        .route("/api/pool/instances/{id}", delete(instances::kill))
        .route("/api/pool/crashed/{id}", delete(instances::dismiss));
    // Whoever has no key is refused before a place is taken.
    let with_key = within(claims, places.claims)
        .merge(within(reading, places.signed_in))
        .merge(within(changes, places.changes))
        .route_layer(from_fn_with_state(Arc::clone(&state), require_key));

    // Load balancers are answered however many others there are.
    let for_load_balancers = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready));

    for_all
        .merge(with_key)
        .merge(for_load_balancers)
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(state)
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(guards::careful))
                .layer(from_fn(guards::distrust_request_id))
                .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
                .layer(PropagateRequestIdLayer::new(REQUEST_ID))
                .layer(from_fn(guards::logged))
                .layer(CatchPanicLayer::custom(guards::panicked))
                .layer(from_fn_with_state(longest + BESIDE_WAITING, guards::within))
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
        )
}
