//! The GraphQL schema: names, arguments and nullability are Railway's, of as much as is served.

mod connections;
mod deployment;
mod domain;
mod environment;
mod inputs;
mod mutation;
mod project;
mod query;
mod scalars;
mod service;
mod shape;
mod volume;

use std::sync::Arc;

use async_graphql::{Context, EmptySubscription, Schema};
use pool_domain::EnvironmentId;

pub(super) use shape::{error_item, railway_shape};

use self::mutation::Mutation;
use self::query::Query;
use super::shared::Shared;
use crate::world::{self, Caller, View};
use crate::{Refusal, SimulatorError};

pub(super) type RailwaySchema = Schema<Query, Mutation, EmptySubscription>;

/// The one value of `DeploymentStatus` that is not Railway's.
const UNKNOWN_STATUS: &str = "HIBERNATING";

/// How deep a request may nest. Railway documents no limit; a snapshot is eight deep.
const DEPTH_MAX: usize = 20;

/// Who asks, and how faults bend what they see.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) caller: Caller,
    pub(super) view: View,
}

/// Which service, and where.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    service: &'a world::Service,
    environment: &'a EnvironmentId,
}

pub(super) fn schema(shared: &Arc<Shared>) -> RailwaySchema {
    Schema::build(Query, Mutation::default(), EmptySubscription)
        .data(Arc::clone(shared))
        .limit_depth(DEPTH_MAX)
        .finish()
}

/// The schema that is served, in GraphQL's own language. The status that no client knows is not in
/// it, for that is the point of it.
#[must_use]
pub fn sdl() -> String {
    let whole = Schema::new(Query, Mutation::default(), EmptySubscription).sdl();
    let shown = whole
        .split_inclusive('\n')
        .filter(|line| line.trim() != UNKNOWN_STATUS);
    shown.collect()
}

fn shared<'a>(context: &Context<'a>) -> Result<&'a Arc<Shared>, async_graphql::Error> {
    context.data::<Arc<Shared>>()
}

fn scope<'a>(context: &Context<'a>) -> Result<&'a Scope, async_graphql::Error> {
    context
        .data::<Scope>()
        .map_err(|_| refusal(Refusal::NotAuthorized))
}

fn refusal(refusal: Refusal) -> async_graphql::Error {
    let message = refusal.to_string();
    async_graphql::Error {
        message,
        source: Some(Arc::new(refusal)),
        extensions: None,
    }
}

fn trouble(error: SimulatorError) -> async_graphql::Error {
    match error {
        SimulatorError::Refused(said) => refusal(said),
        other => refusal(Refusal::said(other.to_string())),
    }
}
