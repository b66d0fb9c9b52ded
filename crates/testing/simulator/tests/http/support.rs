//! A plain client for the tests: sends text, gives back what came.

use std::time::Duration;

use pool_simulator::{
    AgentFault, Fault, FaultRule, Options, SeedServices, SeededService, Simulator,
};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The key of every agent in the tests.
pub(crate) const KEY: &str = "pool-key";

/// How long a test waits for what is never to come.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// What the pool asks each tick, as it sends it.
pub(crate) const LISTING: &str =
    include_str!("../../../../railway/operations/environment_listing.graphql");
const CREATE_SERVICE: &str = include_str!("../../../../railway/operations/service_create.graphql");
const CREATE_VOLUME: &str = include_str!("../../../../railway/operations/volume_create.graphql");
const CREATE_DOMAIN: &str =
    include_str!("../../../../railway/operations/service_domain_create.graphql");

/// Of a person, who names no environment.
pub(crate) const DELETE: &str = "mutation($id: String!, $e: String) \
                                 { serviceDelete(id: $id, environmentId: $e) }";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn message(&self) -> String {
        let body = self.json();
        let message = body.pointer("/errors/0/message").and_then(Value::as_str);
        message.unwrap_or_default().to_owned()
    }

    /// That it has this status, and says this.
    #[track_caller]
    pub(crate) fn says(&self, status: u16, message: &str) {
        assert_eq!((self.status, self.message().as_str()), (status, message));
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The instances of a listing.
    pub(crate) fn services(&self) -> Vec<Value> {
        let edges = &self.json()["data"]["environment"]["serviceInstances"]["edges"];
        let edges = edges.as_array().into_iter().flatten();
        edges.map(|edge| edge["node"].clone()).collect()
    }
}

/// How a request shows who it is.
#[derive(Debug, Clone)]
pub(crate) enum As {
    Bearer(String),
    ProjectToken(String),
    Nobody,
}

/// A client of one simulator.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    control: String,
    token: String,
    pub(crate) project: String,
    pub(crate) environment: String,
}

impl Client {
    pub(crate) fn of(simulator: &Simulator) -> Result<Self> {
        // A second installation in the same process is refused, and does no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20));
        Ok(Self {
            http: http.build()?,
            url: simulator.graphql_url(),
            control: simulator.control_url(),
            token: simulator.token(),
            project: simulator.project_id().into_string(),
            environment: simulator.environment_id().into_string(),
        })
    }

    pub(crate) async fn send(&self, who: As, query: &str, variables: Value) -> Result<Answer> {
        let url = format!("{}?source=simulator_test", self.url);
        let body = json!({"query": query, "variables": variables});
        let request = self.http.post(url).json(&body);
        let request = match who {
            As::Bearer(token) => request.bearer_auth(token),
            As::ProjectToken(token) => request.header("Project-Access-Token", token),
            As::Nobody => request,
        };
        answer(request).await
    }

    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Result<Answer> {
        let who = As::Bearer(self.token.clone());
        self.send(who, query, variables).await
    }

    /// Asks as [`Self::ask`], and gives the data; an error in the answer fails the test.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Result<Value> {
        let answer = self.ask(query, variables).await?;
        let mut body = answer.json();
        if answer.status != 200 || !body["errors"].is_null() {
            return Err(format!("{query} got {} {}", answer.status, answer.text).into());
        }
        Ok(body["data"].take())
    }

    /// Waits until the agent at this address says that it is ready.
    pub(crate) async fn until_ready(&self, domain: &str) -> Result<()> {
        let ready = async {
            loop {
                let answer = self.health(domain).await;
                if answer.is_ok_and(|a| a.status == 200 && a.json()["ready"] == json!(true)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        Ok(tokio::time::timeout(Duration::from_secs(20), ready).await?)
    }

    /// A request to OpenRouter or AgentMail.
    pub(crate) async fn account(
        &self,
        method: &str,
        url: &str,
        key: &str,
        body: Option<Value>,
    ) -> Result<Answer> {
        let request = self.http.request(method.parse()?, url).bearer_auth(key);
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(crate) async fn create_service(&self, name: &str) -> Result<Answer> {
        let input = json!({"projectId": self.project, "name": name});
        self.ask(CREATE_SERVICE, json!({ "input": input })).await
    }

    /// The id of a new service.
    pub(crate) async fn new_service(&self, name: &str) -> Result<String> {
        let created = self.create_service(name).await?;
        text(&created.json(), "/data/serviceCreate/id")
    }

    /// A new volume, attached or not.
    pub(crate) async fn create_volume(&self, service: Option<&str>) -> Result<Answer> {
        let input = json!({"projectId": self.project, "environmentId": self.environment,
                           "serviceId": service, "mountPath": "/data"});
        self.ask(CREATE_VOLUME, json!({ "input": input })).await
    }

    pub(crate) async fn create_domain(&self, service: &str) -> Result<Answer> {
        let input = json!({"environmentId": self.environment, "serviceId": service});
        self.ask(CREATE_DOMAIN, json!({ "input": input })).await
    }

    pub(crate) async fn listing(&self, first: u32, after: Option<&str>) -> Result<Answer> {
        let variables = json!({
            "environmentId": self.environment, "projectId": self.project,
            "servicesFirst": first, "servicesAfter": after, "volumesFirst": first,
        });
        self.ask(LISTING, variables).await
    }

    /// The only instance that there is.
    pub(crate) async fn instance(&self) -> Result<Value> {
        Ok(self.listing(1, None).await?.services().remove(0))
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> Result<Answer> {
        let url = format!("{}/{path}", self.control);
        answer(self.http.post(url).json(&body)).await
    }

    /// Changes how the world behaves.
    pub(crate) async fn set(&self, settings: Value) -> Result<()> {
        assert_eq!(self.control("settings", settings).await?.status, 200);
        Ok(())
    }

    /// Lets something befall a service; the status of the answer.
    pub(crate) async fn befall(&self, service: &str, verb: &str) -> Result<u16> {
        let path = format!("services/{service}/{verb}");
        Ok(self.control(&path, json!({})).await?.status)
    }

    pub(crate) async fn world(&self) -> Result<Value> {
        self.read("world").await
    }

    /// What the control API tells.
    pub(crate) async fn read(&self, path: &str) -> Result<Value> {
        let url = format!("{}/{path}", self.control);
        Ok(answer(self.http.get(url)).await?.json())
    }

    pub(crate) async fn agent(&self, domain: &str, path: &str, key: &str) -> Result<Answer> {
        let url = format!("http://{domain}{path}");
        answer(self.http.get(url).bearer_auth(key)).await
    }

    pub(crate) async fn health(&self, domain: &str) -> Result<Answer> {
        self.agent(domain, "/pool/health", KEY).await
    }

    /// Asks an agent, and follows it nowhere.
    pub(crate) async fn straight(&self, domain: &str, path: &str) -> Result<Answer> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let url = format!("http://{domain}{path}");
        answer(http.build()?.get(url).bearer_auth(KEY)).await
    }

    /// Asks an agent to be somebody.
    pub(crate) async fn provision(&self, domain: &str, name: &str) -> Result<Answer> {
        let body = json!({"agentName": name, "instructions": "Be kind."});
        self.provision_with(domain, body).await
    }

    pub(crate) async fn provision_with(&self, domain: &str, body: Value) -> Result<Answer> {
        let url = format!("http://{domain}/pool/provision");
        answer(self.http.post(url).bearer_auth(KEY).json(&body)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer {
        status,
        headers,
        text: response.text().await?,
    })
}

/// A simulator with these options, and its client.
pub(crate) async fn started(options: Options) -> Result<(Simulator, Client)> {
    let simulator = Simulator::start(options).await?;
    let client = Client::of(&simulator)?;
    Ok((simulator, client))
}

/// A simulator with one service that runs.
pub(crate) async fn started_with_one() -> Result<(Simulator, Client, SeededService)> {
    let (simulator, client) = started(Options::default()).await?;
    let seeded = simulator.seed_services(&running(1))?.remove(0);
    Ok((simulator, client, seeded))
}

/// A simulator with one service that runs, whose agent has this fault, and that agent's address.
pub(crate) async fn ailing(fault: AgentFault) -> Result<(Simulator, Client, String)> {
    let (simulator, client, seeded) = started_with_one().await?;
    simulator.set_agent_fault(&seeded.service_id.as_str().into(), Some(fault))?;
    Ok((simulator, client, seeded.domain))
}

/// The next request meets this.
pub(crate) fn once(simulator: &Simulator, fault: Fault) -> Result<()> {
    Ok(simulator.inject(FaultRule::once(fault))?)
}

/// Services that run already and accept [`KEY`].
pub(crate) fn running(count: usize) -> SeedServices {
    SeedServices {
        count,
        variables: [("POOL_API_KEY".to_owned(), KEY.to_owned())].into(),
        ..SeedServices::default()
    }
}

/// Sends a request as it stands, and reads so many bytes of the answer, which may have more.
pub(crate) async fn read_much(address: &str, request: &str, bytes: usize) -> Result<()> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let (mut piece, mut seen) = (vec![0; 1024 * 1024], 0);
    let reads = async {
        while seen < bytes {
            match stream.read(&mut piece).await? {
                0 => return Err(format!("it ended after {seen} bytes").into()),
                count => seen += count,
            }
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), reads).await?
}

/// A text in an answer, at a path as `/serviceCreate/id`.
pub(crate) fn text(data: &Value, path: &str) -> Result<String> {
    let found = data.pointer(path).and_then(Value::as_str);
    Ok(found
        .ok_or_else(|| format!("no {path} in {data}"))?
        .to_owned())
}
