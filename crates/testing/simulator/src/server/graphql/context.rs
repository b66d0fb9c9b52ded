//! Who asks, of what, and with which arguments.

use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::resolvers::ResolveInfo;
use apollo_compiler::validation::Valid;
use pool_domain::{EnvironmentId, ProjectId};
use serde_json::Value;

use super::super::shared::Shared;
use crate::Refusal;
use crate::world::{Caller, PageArgs, View, World};

/// Who asks, and how faults bend what they see.
#[derive(Debug, Clone)]
pub(in crate::server) struct Scope {
    pub(in crate::server) caller: Caller,
    pub(in crate::server) view: View,
}

/// What a field answers; none where the schema has a field that nobody answers.
pub(super) type Found = Result<Option<Value>, Refusal>;

/// What all objects of one answer share.
pub(super) struct Context<'a> {
    pub(super) schema: &'a Valid<Schema>,
    pub(super) shared: &'a Arc<Shared>,
    scope: Option<Scope>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        schema: &'a Valid<Schema>,
        shared: &'a Arc<Shared>,
        scope: Option<Scope>,
    ) -> Self {
        Self {
            schema,
            shared,
            scope,
        }
    }

    pub(super) fn scope(&self) -> Result<&Scope, Refusal> {
        self.scope.as_ref().ok_or(Refusal::NotAuthorized)
    }

    pub(super) fn world(&self, look: impl FnOnce(&mut World, &Scope) -> Found) -> Found {
        let scope = self.scope()?;
        self.shared.world(|world| look(world, scope))
    }
}

/// The object whose field is asked for.
#[derive(Clone, Copy)]
pub(super) struct Parent<'a> {
    pub(super) ty: &'a str,
    pub(super) fields: &'a Value,
}

impl Parent<'_> {
    /// The text of a field, empty where it has none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }
}

/// What a field is given. What the schema requires is there.
pub(super) struct Arguments(pub(super) Value);

impl Arguments {
    pub(super) fn of(info: &ResolveInfo<'_>) -> Self {
        Self(serde_json::to_value(info.arguments()).unwrap_or_default())
    }

    pub(super) fn input(&self) -> Self {
        Self(self.0["input"].clone())
    }

    pub(super) fn maybe(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.maybe(name).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or(false)
    }

    /// Pages are read from the front, as a pool reads them; no other way is served.
    pub(super) fn page(&self) -> Result<PageArgs, Refusal> {
        let integer = |name| self.0[name].as_i64()?.try_into().ok();
        if !self.0["before"].is_null() || !self.0["last"].is_null() {
            return Err(Refusal::ProblemProcessing);
        }
        Ok(PageArgs {
            after: self.maybe("after").map(str::to_owned),
            first: integer("first"),
        })
    }

    pub(super) fn project(&self) -> ProjectId {
        ProjectId::new(self.text("projectId"))
    }

    pub(super) fn environment(&self) -> Option<EnvironmentId> {
        self.maybe("environmentId").map(EnvironmentId::new)
    }
}
