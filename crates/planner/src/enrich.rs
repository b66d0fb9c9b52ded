//! What a row lacks and Railway knows: URL, deploy status, image, name, and from the variables the
//! gateway token and inbox. Pure, so that the tick and `pool-migrate enrich` say the same.

use pool_domain::write::Refresh;
use pool_domain::{Instance, ObservedService, ServiceVariables, Status};

use crate::Identity;

/// The observed columns of the row as stored.
#[must_use]
pub fn stored(row: &Instance) -> Refresh {
    Refresh {
        id: row.id.clone(),
        epoch: row.epoch,
        name: row.name.clone(),
        url: row.url.clone(),
        deploy_status: row.deploy_status.clone(),
        runtime_image: row.runtime_image.clone(),
        gateway_token: row.gateway_token.clone(),
        agentmail_inbox_id: row.agentmail_inbox_id.clone(),
        claimed_at: row.claimed_at,
        missing_since: row.missing_since,
        unasked: row.unasked,
    }
}

/// The observed columns of the row as they should be. What Railway does not say stays as it is:
/// a known URL or image is never replaced by none.
#[must_use]
pub fn enriched(
    row: &Instance,
    seen: Option<&ObservedService>,
    variables: Option<&ServiceVariables>,
    identity: &Identity,
) -> Refresh {
    let mut refresh = stored(row);
    if let Some(service) = seen {
        refresh.name.clone_from(&service.name);
        if let Some(host) = &service.host {
            refresh.url = Some(identity.url_of(host));
        }
        if service.image.is_some() {
            refresh.runtime_image.clone_from(&service.image);
        }
        refresh.deploy_status = service.deploy_status().cloned();
    }
    if let Some(variables) = variables {
        refresh.gateway_token = refresh
            .gateway_token
            .or_else(|| variables.gateway_token.clone());
        refresh.agentmail_inbox_id = refresh
            .agentmail_inbox_id
            .or_else(|| variables.inbox_id.clone());
    }
    if row.status == Status::Claimed {
        refresh.claimed_at = refresh.claimed_at.or(Some(row.created_at));
    }
    refresh
}
