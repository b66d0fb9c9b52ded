//! What goes wrong on a bad day, as long as it lasts.

use std::sync::Arc;

use pool_domain::ServiceId;
use pool_simulator::faults::FaultRule;
use pool_simulator::world::{AgentConversation, LimitBody};
use pool_simulator::{AgentFault, Fault};
use tokio::time::sleep;

use crate::day::BadDay;
use crate::nemesis::{give_fault, live_services, switch_on};
use crate::scenario::seconds;
use crate::stage::Stage;
use crate::trace::Kind;

/// All of the day's trouble, until it is over.
pub(crate) async fn goes_by(stage: Arc<Stage>) {
    let Some(day) = stage.scenario.day else {
        return;
    };
    loop {
        sleep(seconds(stage.random(|rng| rng.u64(30..120)))).await;
        if stage.is_healed() {
            return;
        }
        let lasts = stage.random(|rng| rng.u64(120..400));
        stage.oracle.spell_begins();
        match day {
            BadDay::AccountHangs => {
                let account = some_account(&stage);
                trouble(&stage, Fault::Hang, Some(account), lasts);
            }
            BadDay::CommitHangs => {
                trouble(&stage, Fault::Hang, Some("environmentPatchCommit"), lasts);
            }
            BadDay::Quota => {
                let account = some_account(&stage);
                let fault = if stage.random(fastrand::Rng::bool) {
                    Fault::ProvisionLimit
                } else {
                    Fault::RateLimited {
                        retry_after_s: 600,
                        body: LimitBody::Json,
                    }
                };
                trouble(&stage, fault, Some(account), lasts);
            }
            BadDay::BadImage => {
                let fault = stage.random(|rng| match rng.u8(..3) {
                    0 => Fault::DeployFails,
                    1 => Fault::BornBroken {
                        fault: AgentFault::Unready,
                    },
                    _ => Fault::BornBroken {
                        fault: AgentFault::Close,
                    },
                });
                trouble(&stage, fault, None, lasts);
            }
            BadDay::AgentsHang => every_second_hangs(&stage),
            BadDay::AgentsRefuse => all_refuse(&stage, lasts),
            BadDay::AgentsBound => bind_one(&stage),
            BadDay::ReadOnly => {
                let lasts = seconds(stage.random(|rng| rng.u64(2..20)));
                stage.tell(Kind::Outside, || {
                    format!("the database fails over, and can only be read for {lasts:?}")
                });
                stage.gate.fail_over(lasts);
                sleep(lasts).await;
            }
        }
        if day != BadDay::AgentsBound && day != BadDay::ReadOnly {
            sleep(seconds(lasts)).await;
        }
        if matches!(day, BadDay::AgentsHang | BadDay::AgentsRefuse) {
            for (id, _) in live_services(&stage) {
                give_fault(&stage, &id, None);
            }
            stage.tell(Kind::Outside, || "the agents are well again".to_owned());
        }
    }
}

fn some_account(stage: &Stage) -> &'static str {
    if stage.random(fastrand::Rng::bool) {
        "openrouter"
    } else {
        "agentmail"
    }
}

fn trouble(stage: &Stage, fault: Fault, operation: Option<&str>, lasts: u64) {
    let mut rule = FaultRule::always(fault).lasting(lasts * 1_000);
    if let Some(operation) = operation {
        rule = rule.on(operation);
    }
    stage.tell(Kind::Outside, || {
        let whose = operation.unwrap_or("whatever is deployed");
        format!("for {lasts} s {whose} is in {:?}", rule.fault)
    });
    switch_on(stage, rule);
}

fn every_second_hangs(stage: &Stage) {
    let hanging = live_services(stage).into_iter().step_by(2);
    for (id, name) in hanging {
        stage.tell(Kind::Outside, || format!("the agent of {name} hangs"));
        give_fault(stage, &id, Some(AgentFault::Hang));
    }
}

fn all_refuse(stage: &Stage, lasts: u64) {
    let fault = AgentFault::RefuseProvision { status: 401 };
    for (id, _) in live_services(stage) {
        give_fault(stage, &id, Some(fault));
    }
    trouble(stage, Fault::BornBroken { fault }, None, lasts);
}

/// Somebody else set the agent of an idle one up.
fn bind_one(stage: &Stage) {
    let instances = stage.oracle.instances().unwrap_or_default();
    let idle: Vec<_> = instances
        .into_iter()
        .filter(|it| it.status == "idle")
        .collect();
    let Some(one) = stage.some(&idle) else {
        return;
    };
    stage.oracle.is_bound_outside(&one.service_id);
    stage.simulator.world(|world| {
        let home = world.home().environment.clone();
        let key = (ServiceId::new(&one.service_id), home);
        if let Some(agent) = world.agent_mut(&key) {
            agent.conversation = Some(AgentConversation {
                id: format!("elsewhere-{}", one.id),
                agent_name: "Somebody's".to_owned(),
                invite_url: None,
            });
        }
    });
    stage.tell(Kind::Outside, || {
        format!("the agent of {} is set up by somebody else", one.id)
    });
}
