//! Small builders for rows and listings, and what executing a plan makes of a snapshot.

use chrono::{DateTime, TimeDelta, Utc};
use pool_domain::*;
use pool_planner::*;

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
}

pub(crate) fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

pub(crate) fn identity() -> Identity {
    Identity {
        prefix: ServicePrefix::new("convos-agent-"),
        agent_scheme: "https".into(),
        own_service: None,
        accounts: Accounts {
            openrouter: true,
            agentmail: true,
        },
    }
}

pub(crate) fn id(n: usize) -> InstanceId {
    InstanceId::new(format!("id{n:010}"))
}

pub(crate) fn service_id(n: usize) -> ServiceId {
    ServiceId::new(format!("service-{n}"))
}

/// A row that has had its status for an hour, with everything an ordinary one has.
pub(crate) fn row(n: usize, status: Status) -> Instance {
    Instance {
        id: id(n),
        service_id: service_id(n),
        name: identity().prefix.name_of(&id(n)),
        url: Some(format!("https://{n}.example")),
        status,
        deploy_status: Some(DeploymentStatus::Success),
        agent_name: None,
        conversation_id: None,
        invite_url: None,
        created_at: ago(7_200),
        claimed_at: matches!(status, Status::Claimed | Status::Crashed).then(|| ago(3_600)),
        source_branch: None,
        openrouter_key_hash: None,
        agentmail_inbox_id: None,
        gateway_token: None,
        runtime_image: Some("image".into()),
        epoch: Epoch(3),
        status_changed_at: ago(3_600),
        failed_claims: 0,
        missing_since: None,
        delete_requested_at: None,
        unasked: false,
    }
}

/// The service of a row, up.
pub(crate) fn service(n: usize) -> ObservedService {
    ObservedService {
        service_id: service_id(n),
        name: identity().prefix.name_of(&id(n)),
        created_at: ago(7_200),
        has_details: true,
        deployment: Some(ObservedDeployment {
            id: "deployment".into(),
            status: DeploymentStatus::Success,
            stopped: false,
        }),
        has_active_deployment: true,
        host: Some(format!("{n}.example")),
        image: Some("image".into()),
    }
}

pub(crate) fn with_status(mut service: ObservedService, status: &str) -> ObservedService {
    service.has_active_deployment = false;
    service.deployment = Some(ObservedDeployment {
        id: "d".into(),
        status: status.into(),
        stopped: false,
    });
    service
}

pub(crate) fn volume(n: usize) -> ObservedVolume {
    ObservedVolume {
        volume_id: VolumeId::new(format!("volume-{n}")),
        service_id: Some(service_id(n)),
        pending_deletion: false,
    }
}

pub(crate) fn snapshot(rows: Vec<Instance>, services: Vec<ObservedService>) -> Snapshot {
    Snapshot {
        now: now(),
        rows,
        unreadable: Vec::new(),
        provisions: Vec::new(),
        listing: Listing {
            started_at: now(),
            completeness: Completeness::Complete,
            services,
            volumes: Vec::new(),
            requests: 1,
        },
        probes: std::collections::HashMap::new(),
        conversations: std::collections::HashMap::new(),
        evidence: std::collections::HashMap::new(),
        managers: Managers::default(),
        requested_creates: 0,
        fuse: FuseRecord::default(),
        in_flight: InFlight::default(),
    }
}

/// No instance is wanted, so that plans are about the rows alone.
pub(crate) fn quiet() -> Policy {
    Policy {
        min_idle: 0,
        ..Policy::default()
    }
}

pub(crate) fn index(snapshot: &Snapshot) -> Index<'_> {
    Index::new(&snapshot.rows, &snapshot.provisions, &snapshot.listing)
        .with_unreadable(&snapshot.unreadable)
}

/// Plans as a leader does that has watched without a gap, and creates at full speed.
pub(crate) fn decide(snapshot: &Snapshot, policy: &Policy) -> Plan {
    let mut history = History::new(Some(ago(1))).at_pace(Pace {
        at_once: Policy::CREATES_PER_TICK_MAX,
        ..Pace::default()
    });
    let index = index(snapshot);
    history.record(snapshot, &index, policy, &identity());
    plan(snapshot, &index, &history, policy, &identity())
}

/// What the database holds after the plan's writes to rows.
pub(crate) fn execute(plan: &Plan, mut snapshot: Snapshot) -> Snapshot {
    for refresh in &plan.refreshes {
        let row = snapshot.rows.iter_mut().find(|row| row.id == refresh.id);
        let row = row.unwrap_or_else(|| panic!("a refresh of a row that is not there"));
        row.name.clone_from(&refresh.name);
        row.url.clone_from(&refresh.url);
        row.deploy_status.clone_from(&refresh.deploy_status);
        row.runtime_image.clone_from(&refresh.runtime_image);
        row.claimed_at = refresh.claimed_at;
        row.missing_since = refresh.missing_since;
        row.unasked = refresh.unasked;
    }
    for change in &plan.changes {
        let row = snapshot.rows.iter_mut().find(|row| row.id == change.id);
        let row = row.unwrap_or_else(|| panic!("a change of a row that is not there"));
        assert_eq!((row.status, row.epoch), (change.from, change.epoch));
        row.status = change.to;
        row.epoch = Epoch(row.epoch.0 + 1);
        row.status_changed_at = snapshot.now;
        row.unasked &= change.to == Status::Crashed;
        if change.is_loss {
            let losses = &mut snapshot.fuse.losses;
            losses.insert(change.id.clone(), snapshot.now);
        }
        if change.to == Status::Claimed {
            row.claimed_at = row.claimed_at.or(Some(snapshot.now));
        }
    }
    for adoption in &plan.adoptions {
        snapshot.rows.push(Instance {
            id: adoption.id.clone(),
            service_id: adoption.service_id.clone(),
            name: adoption.name.clone(),
            url: adoption.url.clone(),
            deploy_status: adoption.deploy_status.clone(),
            runtime_image: adoption.runtime_image.clone(),
            created_at: adoption.created_at,
            claimed_at: adoption.claimed_at,
            gateway_token: adoption.gateway_token.clone(),
            agentmail_inbox_id: adoption.agentmail_inbox_id.clone(),
            status_changed_at: snapshot.now,
            unasked: adoption.status == Status::Starting,
            ..row(0, adoption.status)
        });
    }
    for n in 0..plan.create {
        snapshot
            .provisions
            .push(provision(10_000 + n, Stage::Creating(CreateStep::Key)));
    }
    snapshot.requested_creates = 0;
    snapshot.fuse.tripped.clone_from(&plan.report.fuse);
    snapshot.fuse.confirmed.clear();
    snapshot
}

pub(crate) fn provision(n: usize, stage: Stage) -> ResourceRecord {
    ResourceRecord {
        id: id(n),
        name: identity().prefix.name_of(&id(n)),
        service_id: None,
        volume_id: None,
        openrouter_key_hash: None,
        agentmail_inbox_id: None,
        gateway_token: None,
        stage,
        attempts: 0,
        next_attempt_at: None,
        last_error: None,
        created_at: ago(10),
        step_began_at: ago(10),
        service_deleted_at: None,
        destroyed: Vec::new(),
    }
}
