//! One operation of Railway's per file: variables, what is selected, a function that builds it. The
//! text that each must produce stands in `operations/*.graphql` of this crate; a test compares.

pub(crate) mod environment_config;
pub(crate) mod environment_listing;
pub(crate) mod environment_name;
pub(crate) mod environment_names;
pub(crate) mod environment_patch_commit;
pub(crate) mod environments;
pub(crate) mod project_token;
pub(crate) mod service_create;
pub(crate) mod service_delete;
pub(crate) mod service_domain_create;
pub(crate) mod volume_create;
pub(crate) mod volume_delete;

use crate::schema;

/// The position in a connection of many pages.
#[derive(cynic::QueryFragment, Debug)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    pub(crate) end_cursor: Option<String>,
}

/// An environment's settings: opaque JSON that may hold every service's secrets, so it cannot be
/// printed.
#[derive(cynic::Scalar, Clone)]
#[cynic(graphql_type = "EnvironmentConfig")]
pub(crate) struct Config(pub(crate) serde_json::Value);

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
