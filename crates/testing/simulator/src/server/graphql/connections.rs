//! Pages of things, each kind with the names that Railway gives to its connection and its edge.

use async_graphql::SimpleObject;

use super::deployment::Deployment;
use super::environment::Environment;
use super::project::Bucket;
use super::service::{Service, ServiceInstance};
use super::volume::{Volume, VolumeInstance};
use crate::world::Page;

#[derive(Debug, SimpleObject)]
pub(super) struct PageInfo {
    end_cursor: Option<String>,
    has_next_page: bool,
    has_previous_page: bool,
    start_cursor: Option<String>,
}

macro_rules! connections {
    ($($connection:ident, $edge:ident, $node:ident;)+) => {$(
        #[derive(Debug, SimpleObject)]
        pub(super) struct $edge {
            cursor: String,
            node: $node,
        }

        #[derive(Debug, SimpleObject)]
        pub(super) struct $connection {
            edges: Vec<$edge>,
            page_info: PageInfo,
        }

        impl $connection {
            pub(super) fn of<T>(page: Page<T>, mut show: impl FnMut(T) -> $node) -> Self {
                let page_info = PageInfo {
                    end_cursor: page.items.last().map(|(cursor, _)| cursor.clone()),
                    has_next_page: page.has_next,
                    has_previous_page: page.has_previous,
                    start_cursor: page.items.first().map(|(cursor, _)| cursor.clone()),
                };
                let edge = |(cursor, item)| $edge { cursor, node: show(item) };
                Self { edges: page.items.into_iter().map(edge).collect(), page_info }
            }
        }
    )+};
}

connections! {
    EnvironmentDeploymentsConnection, EnvironmentDeploymentsConnectionEdge, Deployment;
    EnvironmentServiceInstancesConnection, EnvironmentServiceInstancesConnectionEdge,
        ServiceInstance;
    EnvironmentVolumeInstancesConnection, EnvironmentVolumeInstancesConnectionEdge, VolumeInstance;
    ProjectBucketsConnection, ProjectBucketsConnectionEdge, Bucket;
    ProjectDeploymentsConnection, ProjectDeploymentsConnectionEdge, Deployment;
    ProjectEnvironmentsConnection, ProjectEnvironmentsConnectionEdge, Environment;
    ProjectServicesConnection, ProjectServicesConnectionEdge, Service;
    ProjectVolumesConnection, ProjectVolumesConnectionEdge, Volume;
    QueryDeploymentsConnection, QueryDeploymentsConnectionEdge, Deployment;
    QueryEnvironmentsConnection, QueryEnvironmentsConnectionEdge, Environment;
    ServiceDeploymentsConnection, ServiceDeploymentsConnectionEdge, Deployment;
    ServiceServiceInstancesConnection, ServiceServiceInstancesConnectionEdge, ServiceInstance;
    VolumeVolumeInstancesConnection, VolumeVolumeInstancesConnectionEdge, VolumeInstance;
}
