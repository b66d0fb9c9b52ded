//! The client of one project, and which of its environments is ours.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use chrono::{DateTime, Utc};
use pool_domain::budget::Heard;
use pool_domain::{EnvironmentId, ProjectId};
use pool_http_client::Transport;

use crate::environment::EnvironmentClient;
use crate::error::Sent;
use crate::governor::Task;
use crate::limits::{Limits, MAX_PAGES, PAGE_SIZE};
use crate::operations::{environment_name, environments, project_token};
use crate::wire::{Call, Wire};
use crate::{Error, ErrorClass, Settings, Token};

/// An environment as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentRef {
    /// By its id, which needs no request.
    Id(EnvironmentId),
    /// By its name, in any case.
    Name(String),
}

/// An environment of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// By which all else asks for it.
    pub id: EnvironmentId,
    /// The name, as its owner spelt it.
    pub name: String,
}

/// A client of one project. Cheap to clone; clones share connections, spacing and budget.
#[derive(Debug, Clone)]
pub struct Railway {
    wire: Arc<Wire>,
    project_id: ProjectId,
    is_project_token: bool,
}

impl Railway {
    /// A client with the limits for production.
    ///
    /// # Errors
    ///
    /// [`Error`] of class `BadRequest` for an address that is none, or a token that no header can
    /// hold.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        Self::with_limits(settings, Limits::default())
    }

    /// A client with other limits.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_limits(settings: Settings, limits: Limits) -> Result<Self, Error> {
        Self::with_transport(settings, limits, &Transport::default())
    }

    /// The same, of a Railway that is reached in another way than over the network.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_transport(
        settings: Settings,
        limits: Limits,
        transport: &Transport,
    ) -> Result<Self, Error> {
        Ok(Self {
            wire: Wire::new(&settings, limits, transport)?,
            is_project_token: matches!(settings.token, Token::Project(_)),
            project_id: settings.project_id,
        })
    }

    /// Finds the configured environment, and says in a sentence which there are when it is none of
    /// them. A name in another case is found if only one environment has it.
    ///
    /// # Errors
    ///
    /// [`Error`] of class `NotFound` or `BadRequest` where none, or more than one, is meant, and
    /// `NotAuthorized` for a dead token: these stay. Whatever [`Error::is_retryable_read`] was
    /// tried again already and may pass.
    pub async fn resolve_environment(&self, wanted: &EnvironmentRef) -> Result<Environment, Error> {
        // A project token may ask for nothing but the one environment that it is for.
        let (operation, there_are) = if self.is_project_token {
            ("ProjectTokenOwner", vec![self.token_environment().await?])
        } else {
            ("Environments", self.environments().await?)
        };
        find(wanted, &there_are)
            .map_err(|(class, message)| self.wire.error(operation, class, Sent::Refused, &message))
    }

    /// The same client, for one environment.
    #[must_use]
    pub fn in_environment(&self, id: EnvironmentId) -> EnvironmentClient {
        EnvironmentClient {
            wire: Arc::clone(&self.wire),
            fallback: Arc::default(),
            project_id: self.project_id.clone(),
            id,
        }
    }

    /// How many HTTP requests were sent since the start, repeated ones too.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.wire.governor.requests_sent()
    }

    /// Takes over what another process heard of Railway's limits: see [`EnvironmentClient::load`].
    pub fn load(&self, stored: &Heard, now: DateTime<Utc>) {
        self.wire.governor.load(stored, now);
    }

    async fn token_environment(&self) -> Result<Environment, Error> {
        let requests = AtomicU32::new(0);
        let (operation, call) = (project_token::build(), read(&requests));
        let reply = self.wire.send(&operation, "ProjectTokenOwner", &call);
        let token = reply.await?.into_whole()?.project_token;
        if token.project_id != self.project_id.as_str() {
            let message = format!(
                "the project token is for project {}, not for {}",
                token.project_id, self.project_id
            );
            let class = ErrorClass::NotFound;
            let error = self
                .wire
                .error("ProjectTokenOwner", class, Sent::Refused, &message);
            return Err(error);
        }
        let operation = environment_name::build(environment_name::Variables {
            environment_id: token.environment_id,
            project_id: token.project_id,
        });
        let reply = self.wire.send(&operation, "EnvironmentName", &call);
        let environment = reply.await?.into_whole()?.environment;
        Ok(Environment {
            id: EnvironmentId::new(environment.id.into_inner()),
            name: environment.name,
        })
    }

    async fn environments(&self) -> Result<Vec<Environment>, Error> {
        let requests = AtomicU32::new(0);
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let operation = environments::build(environments::Variables {
                project_id: self.project_id.as_str().to_owned(),
                first: PAGE_SIZE,
                after,
            });
            let call = read(&requests);
            let reply = self.wire.send(&operation, "Environments", &call);
            let page = reply.await?.into_whole()?.environments;
            let nodes = page.edges.into_iter().map(|edge| edge.node);
            found.extend(
                nodes
                    .filter(|node| node.deleted_at.is_none())
                    .map(|node| Environment {
                        id: EnvironmentId::new(node.id.into_inner()),
                        name: node.name,
                    }),
            );
            match page.page_info.end_cursor {
                Some(cursor) if page.page_info.has_next_page => after = Some(cursor),
                _ => break,
            }
        }
        Ok(found)
    }
}

fn read(requests: &AtomicU32) -> Call<'_> {
    Call {
        task: Task::Setup,
        secrets: &[],
        requests,
    }
}

fn find(
    wanted: &EnvironmentRef,
    there_are: &[Environment],
) -> Result<Environment, (ErrorClass, String)> {
    let (what, matching): (_, Vec<_>) = match wanted {
        EnvironmentRef::Id(id) => {
            let matching = there_are.iter().filter(|e| e.id == *id).collect();
            (format!("the id {id}"), matching)
        }
        EnvironmentRef::Name(name) => {
            let exact = |e: &&Environment| e.name == *name;
            let any_case = |e: &&Environment| e.name.to_lowercase() == name.to_lowercase();
            let mut matching: Vec<_> = there_are.iter().filter(exact).collect();
            if matching.is_empty() {
                matching = there_are.iter().filter(any_case).collect();
            }
            (format!("the name {name}"), matching)
        }
    };
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let message = format!("no environment has {what}; there are {}", names(there_are));
            Err((ErrorClass::NotFound, message))
        }
        many => {
            let ids: Vec<_> = many.iter().map(|e| e.id.as_str()).collect();
            let message = format!("{} environments have {what}: {}", ids.len(), ids.join(", "));
            Err((ErrorClass::BadRequest, message))
        }
    }
}

fn names(there_are: &[Environment]) -> String {
    /// As many as a sentence can hold.
    const SHOWN: usize = 10;
    if there_are.is_empty() {
        return "none that this token can see".to_owned();
    }
    let shown: Vec<_> = there_are
        .iter()
        .take(SHOWN)
        .map(|e| format!("{} ({})", e.name, e.id))
        .collect();
    let more = there_are.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}
