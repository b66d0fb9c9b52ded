//! Asks one agent: whether it is in a conversation, where nobody knows, and whether it is ready.

use pool_agent::Heard;
use pool_domain::{Conversation, Policy, Probe, Secret};
use pool_planner::ProbeTarget;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::Context;

/// What one agent answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) target: ProbeTarget,
    /// None where it was not asked, having told already whose it is, or having said nothing at all, or as this
    /// machine could not call it.
    pub(crate) probe: Option<Probe>,
    /// What an unasked one said.
    pub(crate) said: Option<Conversation>,
    /// How long it was waited for; none where it answered.
    pub(crate) waited_in_vain: Option<Duration>,
}

pub(crate) async fn ask(
    context: &Context,
    target: ProbeTarget,
    patience: Duration,
    is_unasked: bool,
    token: Option<Secret>,
) -> Asked {
    let began = Instant::now();
    let answers = async {
        let mut said = None;
        if is_unasked {
            said = Some(conversation(context, &target, token.as_ref()).await);
        }
        let is_bound = matches!(said, Some(Conversation::In(_)));
        let probe = if is_bound {
            None
        } else {
            probe(context, &target).await
        };
        let said = said.map(|said| said.beside(probe.as_ref()));
        (probe, said)
    };
    // One that is cut off before a probe's time is over has neither answered nor failed.
    let (probe, said) = if patience < Policy::PROBE_TIMEOUT {
        timeout(patience, answers).await.unwrap_or_default()
    } else {
        answers.await
    };
    let is_ready = probe == Some(Probe::Ready);
    let took = began.elapsed();
    Asked {
        waited_in_vain: (took >= patience && !is_ready).then_some(took),
        target,
        probe,
        said,
    }
}

/// None where this machine could not call it.
async fn probe(context: &Context, target: &ProbeTarget) -> Option<Probe> {
    let repeats = if target.repeat {
        Policy::PROBE_REPEATS
    } else {
        0
    };
    let mut times = 0;
    loop {
        let limit = Policy::PROBE_TIMEOUT;
        match context.agent.health(&target.url, limit).await {
            Ok(_health) => return Some(Probe::Ready),
            Err(not_ready) if not_ready.heard == Heard::NotCalled => return None,
            Err(not_ready) if times >= repeats => {
                return Some(Probe::Failed {
                    times: times + 1,
                    reason: not_ready.reason,
                });
            }
            Err(_repeated) => times += 1,
        }
        sleep(Policy::PROBE_REPEAT_AFTER).await;
    }
}

/// Newer agents answer only to their gateway's token.
async fn conversation(
    context: &Context,
    target: &ProbeTarget,
    token: Option<&Secret>,
) -> Conversation {
    let (agent, limit) = (&context.agent, Policy::PROBE_TIMEOUT);
    match token {
        Some(token) => {
            let asked = agent.conversation_with_gateway_token(&target.url, token, limit);
            asked.await
        }
        None => agent.conversation(&target.url, limit).await,
    }
}
