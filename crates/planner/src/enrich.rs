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
        if service.has_details {
            refresh.deploy_status = service.deploy_status().cloned();
        }
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

/// Whether the row lacks anything that Railway may know.
#[must_use]
pub fn has_gap(row: &Instance, seen: Option<&ObservedService>) -> bool {
    row.url.is_none()
        || row.deploy_status.is_none()
        || row.runtime_image.is_none()
        || row.gateway_token.is_none()
        || row.agentmail_inbox_id.is_none()
        || (row.status == Status::Claimed && row.claimed_at.is_none())
        || seen.is_some_and(|service| service.name != row.name)
}

/// One value of a row, before and after. A secret is masked: it is only told whether there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The column's name in the table `instances`.
    pub column: &'static str,
    /// What is stored; none is null.
    pub before: Option<String>,
    /// What it should be.
    pub after: Option<String>,
}

/// What a refresh would change of the row.
#[must_use]
pub fn differences(row: &Instance, after: &Refresh) -> Vec<Difference> {
    let before = stored(row);
    let masked =
        |secret: &Option<pool_domain::Secret>| secret.as_ref().map(|_| "(secret)".to_owned());
    let mut differences: Vec<_> = [
        ("name", Some(before.name.clone()), Some(after.name.clone())),
        ("url", before.url.clone(), after.url.clone()),
        (
            "deploy_status",
            before.deploy_status.as_ref().map(ToString::to_string),
            after.deploy_status.as_ref().map(ToString::to_string),
        ),
        (
            "runtime_image",
            before.runtime_image.clone(),
            after.runtime_image.clone(),
        ),
        (
            "agentmail_inbox_id",
            before.agentmail_inbox_id.as_ref().map(ToString::to_string),
            after.agentmail_inbox_id.as_ref().map(ToString::to_string),
        ),
        (
            "claimed_at",
            before.claimed_at.map(|at| at.to_rfc3339()),
            after.claimed_at.map(|at| at.to_rfc3339()),
        ),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(column, before, after)| Difference {
        column,
        before,
        after,
    })
    .collect();
    if before.gateway_token != after.gateway_token {
        differences.push(Difference {
            column: "gateway_token",
            before: masked(&before.gateway_token),
            after: masked(&after.gateway_token),
        });
    }
    differences
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use pool_domain::{
        DeploymentId, DeploymentStatus, Epoch, ObservedDeployment, Secret, ServicePrefix,
    };

    use super::*;
    use crate::Accounts;

    fn identity() -> Identity {
        Identity {
            prefix: ServicePrefix::new("convos-agent-"),
            agent_scheme: "https".to_owned(),
            own_service: None,
            accounts: Accounts::default(),
        }
    }

    fn claimed_row() -> Instance {
        Instance {
            id: "old".into(),
            service_id: "service".into(),
            name: "convos-agent-old".to_owned(),
            url: None,
            status: Status::Claimed,
            deploy_status: None,
            agent_name: None,
            conversation_id: None,
            invite_url: None,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            claimed_at: None,
            source_branch: None,
            openrouter_key_hash: None,
            agentmail_inbox_id: None,
            gateway_token: None,
            runtime_image: None,
            epoch: Epoch(3),
            status_changed_at: DateTime::<Utc>::UNIX_EPOCH,
            failed_claims: 0,
            missing_since: None,
            delete_requested_at: None,
            unasked: false,
        }
    }

    fn service() -> ObservedService {
        ObservedService {
            service_id: "service".into(),
            name: "renamed".to_owned(),
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            deployment: Some(ObservedDeployment {
                id: DeploymentId::new("deployment"),
                status: DeploymentStatus::from("SUCCESS".to_owned()),
                stopped: false,
            }),
            has_details: true,
            has_active_deployment: true,
            host: Some("old.up.railway.app".to_owned()),
            image: Some("image:1".to_owned()),
        }
    }

    #[test]
    fn every_gap_is_filled_and_no_difference_shows_a_secret() {
        let variables = ServiceVariables {
            has_our_key: true,
            gateway_token: Some(Secret::new("hunter2")),
            inbox_id: Some("inbox".into()),
            manager_id: None,
        };
        let row = claimed_row();
        let after = enriched(&row, Some(&service()), Some(&variables), &identity());
        let told = format!("{:?}", differences(&row, &after));
        for part in [
            "renamed",
            "https://old.up.railway.app",
            "SUCCESS",
            "image:1",
            "inbox",
            "1970-01-01",
            "(secret)",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn what_is_known_is_not_replaced_by_none_and_only_a_gap_is_a_gap() {
        let row = Instance {
            url: Some("https://kept".to_owned()),
            runtime_image: Some("kept".to_owned()),
            gateway_token: Some(Secret::new("kept")),
            agentmail_inbox_id: Some("kept".into()),
            deploy_status: Some(DeploymentStatus::from("SUCCESS".to_owned())),
            claimed_at: Some(DateTime::<Utc>::UNIX_EPOCH),
            ..claimed_row()
        };
        assert!(!has_gap(&row, None));
        assert!(has_gap(&row, Some(&service())), "its name is another");
        assert!(has_gap(&claimed_row(), None));
        let bare = ObservedService {
            host: None,
            image: None,
            name: row.name.clone(),
            ..service()
        };
        let after = enriched(&row, Some(&bare), None, &identity());
        assert_eq!(differences(&row, &after), []);
    }
}
