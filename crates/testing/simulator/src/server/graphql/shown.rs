//! What is shown of each thing in the world, under Railway's own names. What leads on to other things
//! is not among it.

use chrono::SecondsFormat;
use pool_domain::DeploymentStatus;
use serde_json::{Value, json};

use crate::world::{Deployment, Environment, Page, Service, ServiceInstance, View, Volume};

/// A page whose items know their place in it.
pub(super) fn page<T>(page: Page<T>, show: impl Fn(usize, T) -> Value) -> Value {
    let info = json!({
        "endCursor": page.items.last().map(|(cursor, _)| cursor),
        "hasNextPage": page.has_next,
    });
    let items = page.items.into_iter().enumerate();
    let edges: Value = items
        .map(|(index, (_, item))| json!({"node": show(index, item)}))
        .collect();
    json!({"edges": edges, "pageInfo": info})
}

pub(super) fn environment(environment: &Environment) -> Value {
    json!({"deletedAt": null, "id": environment.id, "name": environment.name})
}

/// What is shown of the one at this place of its page. Of every so many-th a fault may take the
/// domains or the deployment.
pub(super) fn service_instance(
    index: usize,
    service: &Service,
    instance: &ServiceInstance,
    view: &View,
) -> Value {
    let strikes = |every: Option<usize>| every.is_some_and(|every| index.is_multiple_of(every));
    let show = |run: &Deployment| deployment(run, view);
    let active = instance.active().filter(|_| !view.says_over());
    let created_at = instance.created_at;
    let mut shown = json!({
        "activeDeployments": active.map(show).collect::<Value>(),
        // With milliseconds and a `Z`, as JavaScript writes it.
        "createdAt": created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        // A listing that lags behind a deletion knows nothing of it.
        "deletedAt": null,
        "serviceId": service.id,
        "serviceName": service.name,
        "source": instance.config.image().map(|image| json!({"image": image})),
    });
    if !strikes(view.null_answer_every) {
        let given = instance.domains.iter();
        let given = given.map(|given| json!({"domain": given.domain}));
        shown["domains"] = json!({"serviceDomains": given.collect::<Value>()});
    }
    if !strikes(view.null_deployment_every) {
        shown["latestDeployment"] = instance.latest().map_or(Value::Null, show);
    }
    shown
}

fn deployment(deployment: &Deployment, view: &View) -> Value {
    let status = view.every_status.as_ref().unwrap_or(&deployment.status);
    json!({
        "deploymentStopped": deployment.stopped,
        "id": deployment.id,
        "status": match status {
            DeploymentStatus::Other(_) => "HIBERNATING",
            known => known.as_str(),
        },
    })
}

pub(super) fn volume_instance(volume: &Volume) -> Value {
    json!({
        "isPendingDeletion": volume.is_pending_deletion(),
        "serviceId": volume.service,
        "volumeId": volume.id,
    })
}
