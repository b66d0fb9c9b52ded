//! Callers who want an agent, and people who look after the pool. All of them use the HTTP API of one
//! of the servers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::life::Life;
use crate::oracle::Promise;
use crate::pool::API_KEY;
use crate::scenario::{Person, seconds};
use crate::stage::Stage;
use crate::trace::Kind;

/// A claim is answered within this whatever happens to agents: `POOL_PROVISION_TIMEOUT_MS` and 15 s
/// for other instances, then the confirm, which the database may delay.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// How large an answer may be.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// What came back: none when nothing did.
type Answer = Option<(StatusCode, Value)>;

/// Callers, until the trouble is over.
pub(crate) async fn callers(stage: Arc<Stage>) {
    while next(&stage, stage.scenario.rates.claims).await {
        call(&stage);
    }
}

/// Waits for the next of what happens so often in an interval. False when there is no more of it.
pub(crate) async fn next(stage: &Stage, rate: f64) -> bool {
    if rate <= 0.0 {
        return false;
    }
    let mean = stage.scenario.tick_interval.as_secs_f64() / rate;
    let factor = stage.random(|rng| rng.f64() * 2.0);
    sleep(Duration::from_secs_f64(mean * factor)).await;
    !stage.is_healed()
}

/// A caller asks one of the servers for an agent, some of them under a key, and then again if the
/// answer was none.
pub(crate) fn call(stage: &Arc<Stage>) {
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        let mut number = 0;
        stage.trace.count(|counts| {
            counts.claims += 1;
            number = counts.claims;
        });
        let key = stage.random(|rng| (rng.u8(..3) == 0).then(|| format!("key-{number}")));
        for attempt in 1..=MOST_TRIES {
            let answer = claim(&stage, number, key.as_deref()).await;
            let is_settled = matches!(&answer, Some((StatusCode::OK, _)));
            // Some ask again although they were answered: the answer may have been lost on its way.
            let asks_again = key.is_some() && (!is_settled || stage.random(|rng| rng.u8(..4) == 0));
            if !asks_again || attempt == MOST_TRIES {
                return;
            }
            sleep(seconds(stage.random(|rng| rng.u64(1..20)))).await;
        }
    });
}

/// How often a caller who has a key asks in all.
const MOST_TRIES: u32 = 3;

async fn claim(stage: &Stage, number: u32, key: Option<&str>) -> Answer {
    let life = stage.some_server()?;
    let agent_name = format!("Agent {number}");
    let body = json!({"agentName": agent_name, "instructions": "Be kind."});
    let mut request = request(Method::POST, "/api/pool/claim", Some(body));
    if let Some(key) = key
        && let Ok(key) = key.parse()
    {
        request.headers_mut().insert("idempotency-key", key);
    }
    if let Ok(id) = format!("claim-{number}").parse() {
        request.headers_mut().insert("x-request-id", id);
    }
    let began = tokio::time::Instant::now();
    let freezes = stage.trace.counts().freezes;
    let stood_still = stage.stands_still();
    let answer = send(&life, request).await;
    stage.tell(Kind::People, || match &answer {
        Some((status, body)) => {
            let said = body["instanceId"]
                .as_str()
                .or_else(|| body["error"].as_str());
            format!(
                "caller {number} is answered {status}: {}",
                said.unwrap_or_default()
            )
        }
        None => format!("caller {number} is not answered"),
    });
    let was_hindered =
        stood_still || stage.trace.counts().freezes > freezes || life.node.killed.is_cancelled();
    if began.elapsed() > ANSWERED_WITHIN && !was_hindered && life.app().is_some() {
        let sentence = format!("caller {number} waited {} s", began.elapsed().as_secs());
        stage.trace.violated("answered-in-time", sentence);
    }
    if let Some((StatusCode::OK, body)) = &answer {
        stage.trace.count(|counts| counts.claimed += 1);
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        let id = text("instanceId").unwrap_or_default();
        let promise = Promise {
            agent_name,
            conversation_id: text("conversationId"),
        };
        stage.oracle.promise(&id, &promise);
        if let Some(key) = key {
            stage.oracle.promise_by_key(key, &id);
        }
    }
    answer
}

fn request(method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(bearer) = format!("Bearer {API_KEY}").parse() {
        headers.insert(http::header::AUTHORIZATION, bearer);
    }
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    request
}

async fn send(life: &Life, request: Request<Body>) -> Answer {
    let app = life.app()?;
    let answering = async {
        let response = app.oneshot(request).await.ok()?;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), ANSWER_MAX_BYTES)
            .await
            .ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    };
    tokio::select! {
        biased;
        () = life.node.killed.cancelled() => None,
        answered = timeout(PATIENCE, answering) => answered.ok().flatten(),
    }
}

/// A person asks for something.
pub(crate) fn person(stage: &Arc<Stage>) {
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        if let Err(error) = asks(&stage).await {
            stage.trace.violated("simulation", format!("{error:#}"));
        }
    });
}

async fn asks(stage: &Stage) -> Result<()> {
    let Some(life) = stage.some_server() else {
        return Ok(());
    };
    let instances = stage.oracle.instances()?;
    let (what, request) = match stage.random(|rng| rng.u8(..12)) {
        0..=2 => {
            let count = stage.random(|rng| rng.usize(1..3));
            let body = json!({"count": count});
            (
                "drains",
                request(Method::POST, "/api/pool/drain", Some(body)),
            )
        }
        3..=6 => {
            let Some(one) = stage.some(&instances) else {
                return Ok(());
            };
            return end(stage, &life, &one.id, "instances").await;
        }
        7 => {
            let crashed: Vec<_> = instances
                .into_iter()
                .filter(|it| it.status == "crashed")
                .collect();
            let Some(one) = stage.some(&crashed) else {
                return Ok(());
            };
            return end(stage, &life, &one.id, "crashed").await;
        }
        8 => {
            let count = stage.random(|rng| rng.usize(1..4));
            let body = json!({"count": count});
            (
                "asks for more",
                request(Method::POST, "/api/pool/replenish", Some(body)),
            )
        }
        9 => {
            let body = json!({"dryRun": stage.random(fastrand::Rng::bool)});
            (
                "asks for a sweep",
                request(Method::POST, "/api/pool/sweep", Some(body)),
            )
        }
        10 => (
            "looks at the page",
            request(Method::GET, "/api/pool/status", None),
        ),
        _ => (
            "asks for a round",
            request(Method::POST, "/api/pool/reconcile", None),
        ),
    };
    let answer = send(&life, request).await;
    stage.tell(Kind::People, || {
        format!("a person {what}: {}", in_short(&answer))
    });
    Ok(())
}

/// A person ends an instance, or dismisses one that crashed.
async fn end(stage: &Stage, life: &Life, id: &str, which: &str) -> Result<()> {
    // From here on it may happen, whatever the answer is.
    stage.oracle.asked_for(id);
    let path = format!("/api/pool/{which}/{id}");
    let answer = send(life, request(Method::DELETE, &path, None)).await;
    stage.tell(Kind::People, || {
        format!("a person ends {id}: {}", in_short(&answer))
    });
    Ok(())
}

fn in_short(answer: &Answer) -> String {
    match answer {
        Some((status, body)) if !status.is_success() => {
            format!("{status} {}", body["error"].as_str().unwrap_or_default())
        }
        Some((status, _)) => status.to_string(),
        None => "no answer".to_owned(),
    }
}

/// The person who looks after the fuse, as the scenario has them.
pub(crate) async fn look_after_fuse(stage: Arc<Stage>) {
    loop {
        sleep(seconds(60)).await;
        let is_over = stage.is_healed();
        match stage.scenario.person {
            // Once the trouble is over somebody does what is right: where the last service is really
            // gone, nobody else can know it.
            _ if is_over => confirm_fuse(&stage, None).await,
            Person::Hasty => confirm_fuse(&stage, None).await,
            Person::Wrong => {
                let instances = stage.oracle.instances().unwrap_or_default();
                if let Some(one) = stage.some(&instances) {
                    confirm_fuse(&stage, Some(one.id)).await;
                }
            }
            Person::Careful | Person::Away => {}
        }
    }
}

async fn confirm_fuse(stage: &Stage, id: Option<String>) {
    let Some(life) = stage.some_server() else {
        return;
    };
    let ready = send(&life, request(Method::GET, "/readyz", None)).await;
    let is_tripped = ready.is_some_and(|(_, body)| !body["fuse"].is_null());
    if !is_tripped {
        return;
    }
    let body = id.map(|id| json!({"ids": [id]}));
    let request = request(Method::POST, "/api/pool/fuse/confirm", body);
    let answer = send(&life, request).await;
    stage.tell(Kind::People, || {
        format!("a person confirms the fuse: {}", in_short(&answer))
    });
}

/// Callers take what there is above the target, and one more: it must come back, and no more.
pub(crate) fn take_surplus(stage: &Arc<Stage>) -> Result<()> {
    let idle = stage.oracle.count(&["idle"])?;
    let surplus = idle.saturating_sub(stage.scenario.target);
    for _ in 0..(surplus + 1).min(idle) {
        call(stage);
    }
    Ok(())
}
