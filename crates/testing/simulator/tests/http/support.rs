//! A plain client for the tests: sends text, gives back what came.

use pool_simulator::{Options, SeedServices, Simulator};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

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
        body.pointer("/errors/0/message")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
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
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(std::time::Duration::from_secs(20))
                .build()?,
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
        self.send(As::Bearer(self.token.clone()), query, variables)
            .await
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
    pub(crate) async fn until_ready(&self, domain: &str, key: &str) -> Result<()> {
        let ready = async {
            loop {
                let answer = self.agent(domain, "/pool/health", key).await;
                if answer.is_ok_and(|a| a.status == 200 && a.json()["ready"] == json!(true)) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        Ok(tokio::time::timeout(std::time::Duration::from_secs(20), ready).await?)
    }

    /// A request to OpenRouter or AgentMail.
    pub(crate) async fn account(
        &self,
        method: &str,
        url: &str,
        key: &str,
        body: Value,
    ) -> Result<Answer> {
        let request = self.http.request(method.parse()?, url).bearer_auth(key);
        answer(if body.is_null() {
            request
        } else {
            request.json(&body)
        })
        .await
    }

    pub(crate) async fn create_service(&self, name: &str) -> Result<Answer> {
        let query = "mutation ServiceCreate($input: ServiceCreateInput!) \
                     { serviceCreate(input: $input) { id name projectId createdAt } }";
        self.ask(
            query,
            json!({"input": {"projectId": self.project, "name": name}}),
        )
        .await
    }

    pub(crate) async fn snapshot(&self, first: u32, after: Option<&str>) -> Result<Answer> {
        let variables = json!({
            "environmentId": self.environment, "projectId": self.project, "first": first,
            "after": after,
        });
        self.ask(SNAPSHOT, variables).await
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> Result<Answer> {
        answer(
            self.http
                .post(format!("{}/{path}", self.control))
                .json(&body),
        )
        .await
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
        answer(
            self.http
                .get(format!("http://{domain}{path}"))
                .bearer_auth(key),
        )
        .await
    }

    /// Asks an agent, and follows it nowhere.
    pub(crate) async fn straight(&self, domain: &str, path: &str, key: &str) -> Result<Answer> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let url = format!("http://{domain}{path}");
        answer(http.build()?.get(url).bearer_auth(key)).await
    }

    pub(crate) async fn provision(&self, domain: &str, key: &str, body: Value) -> Result<Answer> {
        let url = format!("http://{domain}/pool/provision");
        answer(self.http.post(url).bearer_auth(key).json(&body)).await
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

/// The key of every agent in the tests.
pub(crate) const KEY: &str = "pool-key";

/// Services that run already and accept [`KEY`].
pub(crate) fn running(count: usize) -> SeedServices {
    let variables = [("POOL_API_KEY".to_owned(), KEY.to_owned())].into();
    SeedServices {
        count,
        variables,
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
    tokio::time::timeout(std::time::Duration::from_secs(30), reads).await?
}

/// A text in an answer, at a path as `/serviceCreate/id`.
pub(crate) fn text(data: &Value, path: &str) -> Result<String> {
    let found = data.pointer(path).and_then(Value::as_str);
    Ok(found
        .ok_or_else(|| format!("no {path} in {data}"))?
        .to_owned())
}

/// The nodes of a connection.
pub(crate) fn nodes(connection: &Value) -> Vec<Value> {
    let edges = connection["edges"].as_array();
    edges
        .into_iter()
        .flatten()
        .map(|edge| edge["node"].clone())
        .collect()
}

/// What a manager asks each tick.
pub(crate) const SNAPSHOT: &str = "
query PoolSnapshot($environmentId: String!, $projectId: String!, $first: Int!, $after: String) {
  environment(id: $environmentId, projectId: $projectId) {
    id
    name
    serviceInstances(first: $first, after: $after) {
      edges {
        node {
          id serviceId serviceName environmentId createdAt updatedAt deletedAt sleepApplication
          source { image repo }
          domains {
            serviceDomains { id domain targetPort syncStatus deletedAt }
            customDomains { id domain targetPort syncStatus deletedAt }
          }
          latestDeployment { id status createdAt statusUpdatedAt deploymentStopped }
          activeDeployments { id status createdAt }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
    volumeInstances(first: $first) {
      edges {
        node {
          id volumeId serviceId environmentId mountPath state sizeMB isPendingDeletion deletedAt
          createdAt
          volume { id name createdAt }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}";
