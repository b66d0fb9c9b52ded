//! Reads a history and says what must not be in it. Shares nothing with the code that it judges:
//! the state machine stands here once more, as docs/LIFECYCLE.md has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{Answer, Ask, Call, Event, History, Outcome, Row};

/// What kind of harm was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// One agent for two callers.
    Twice,
    /// A caller's agent or its conversation is not there any more.
    Lost,
    /// The event log does not follow the state machine.
    Illegal,
    /// A caller was told what the API does not promise.
    Answer,
    /// Something is left over, or missing, after everything calmed down.
    Unsettled,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    pub(super) harm: Harm,
    pub(super) sentence: String,
}

impl Violation {
    pub(super) fn new(harm: Harm, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { harm, sentence }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.harm, self.sentence)
    }
}

/// Everything that is wrong, each once.
pub(super) fn check(history: &History) -> Vec<Violation> {
    let index = Index::of(history);
    let mut found = Vec::new();
    found.extend(history.asks.iter().filter_map(answer_of));
    found.extend(handed_out_once(history));
    for (name, answer) in granted(history) {
        found.extend(kept(&index, name, answer));
    }
    for (instance, events) in &index.events {
        found.extend(legal(instance, events));
        found.extend(ended_by_a_person(instance, events, history));
        found.extend(agrees(instance, events, index.rows.get(instance).copied()));
    }
    found.extend(history.rows.iter().filter_map(|row| free(&index, row)));
    found.sort();
    found.dedup();
    found
}

/// The history by instance and by service.
struct Index<'a> {
    events: BTreeMap<&'a str, Vec<&'a Event>>,
    rows: BTreeMap<&'a str, &'a Row>,
    /// Who got the agent of a service.
    done: BTreeMap<&'a str, Vec<&'a Call>>,
}

impl<'a> Index<'a> {
    fn of(history: &'a History) -> Self {
        let mut events: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in &history.events {
            let of_one = events.entry(event.instance_id.as_str()).or_default();
            of_one.push(event);
        }
        let mut done: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for call in history
            .calls
            .iter()
            .filter(|it| it.outcome == Outcome::Done)
        {
            done.entry(call.service_id.as_str()).or_default().push(call);
        }
        let rows = history.rows.iter().map(|row| (row.id.as_str(), row));
        Self {
            events,
            rows: rows.collect(),
            done,
        }
    }
}

/// The answers that gave an agent away: who got it, and what was said.
fn granted(history: &History) -> impl Iterator<Item = (&str, &Answer)> {
    history.asks.iter().filter_map(|ask| {
        let answer = ask.answer.as_ref().filter(|it| it.status == 200)?;
        Some((ask.agent_name.as_str(), answer))
    })
}

/// An answer that the API does not have for a claim that is in order.
fn answer_of(ask: &Ask) -> Option<Violation> {
    let answer = ask.answer.as_ref()?;
    let name = &ask.agent_name;
    let wrong = match answer.status {
        200 if answer.instance_id.is_none() => "200 without an instance".to_owned(),
        503 | 409 if !answer.has_retry_after => {
            format!("{} without Retry-After", answer.status)
        }
        200 | 502 | 503 | 504 => return None,
        // One with its key is running; its agent was destroyed since.
        409 | 410 if ask.is_keyed => return None,
        status => format!("{status}: {}", answer.error),
    };
    let sentence = format!("the claim of {name} was answered {wrong}");
    Some(Violation::new(Harm::Answer, sentence))
}

/// No instance for two callers, no two instances for one claim, no agent asked twice.
fn handed_out_once(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut by_instance: BTreeMap<&str, &str> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, answer) in granted(history) {
        let Some(instance) = answer.instance_id.as_deref() else {
            continue;
        };
        let other = *by_instance.entry(instance).or_insert(name);
        if other != name {
            let sentence = format!("instance {instance} was given to {other} and to {name}");
            found.push(Violation::new(Harm::Twice, sentence));
        }
        let other = *by_name.entry(name).or_insert(instance);
        if other != instance {
            let sentence = format!("the claim of {name} was given {other} and {instance}");
            found.push(Violation::new(Harm::Twice, sentence));
        }
    }
    let mut set_up: BTreeMap<&str, &str> = BTreeMap::new();
    for call in history
        .calls
        .iter()
        .filter(|it| it.outcome == Outcome::Done)
    {
        let (service, name) = (call.service_id.as_str(), call.agent_name.as_str());
        let other = *set_up.entry(name).or_insert(service);
        if other != service {
            let sentence =
                format!("the claim of {name} set up the agents of {other} and {service}");
            found.push(Violation::new(Harm::Twice, sentence));
        }
    }
    let known: BTreeSet<&str> = history
        .asks
        .iter()
        .map(|it| it.agent_name.as_str())
        .collect();
    for call in &history.calls {
        let (service, name) = (&call.service_id, &call.agent_name);
        if call.outcome == Outcome::Twice {
            let sentence = format!("the agent of service {service} was given to {name} as well");
            found.push(Violation::new(Harm::Twice, sentence));
        }
        if !known.contains(name.as_str()) {
            let sentence = format!("the agent of service {service} was given to {name}, unasked");
            found.push(Violation::new(Harm::Twice, sentence));
        }
    }
    found
}

/// Whoever got 200 has the agent: it was claimed for that caller, in the conversation that was
/// named, and still is, unless the log says what came after.
fn kept(index: &Index<'_>, name: &str, answer: &Answer) -> Vec<Violation> {
    let Some(instance) = answer.instance_id.as_deref() else {
        return Vec::new();
    };
    let lost = |why: String| Violation::new(Harm::Lost, format!("{name} got {instance}, {why}"));
    let events = index.events.get(instance).map_or(&[][..], Vec::as_slice);
    let claimed = events
        .iter()
        .find(|it| it.to_status.as_deref() == Some("claimed"));
    let Some(claimed) = claimed else {
        return vec![lost("and it never was claimed".to_owned())];
    };
    let mut found = Vec::new();
    let done = index.done.get(claimed.service_id.as_str());
    let done = done.map_or(&[][..], Vec::as_slice);
    if !done.iter().any(|call| call.agent_name == name) {
        found.push(lost("and its agent never heard of them".to_owned()));
    }
    let Some(row) = index.rows.get(instance) else {
        return found;
    };
    if !matches!(row.status.as_str(), "claimed" | "crashed") {
        found.push(lost(format!("and it is {}", row.status)));
    }
    if row.agent_name.as_deref() != Some(name) {
        found.push(lost(format!("and its row names {:?}", row.agent_name)));
    }
    if row.conversation_id != answer.conversation_id {
        let (row, told) = (&row.conversation_id, &answer.conversation_id);
        found.push(lost(format!("told {told:?}, and its row has {row:?}")));
    }
    found
}

/// The changes of status that there are; docs/LIFECYCLE.md.
const LEGAL: [(&str, &str); 14] = [
    ("starting", "idle"),
    ("starting", "claimed"),
    ("starting", "crashed"),
    ("starting", "dead"),
    ("idle", "starting"),
    ("idle", "claiming"),
    ("idle", "dead"),
    ("claiming", "idle"),
    ("claiming", "starting"),
    ("claiming", "claimed"),
    ("claiming", "crashed"),
    ("claiming", "dead"),
    ("claimed", "crashed"),
    ("crashed", "claimed"),
];

/// Each event goes on from the one before it, by one epoch, and as the state machine allows.
fn legal(instance: &str, events: &[&Event]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut before: Option<&Event> = None;
    for event in events {
        if let Some(why) = wrong_step(before, event) {
            let (from, to) = (
                told(event.from_status.as_ref()),
                told(event.to_status.as_ref()),
            );
            let sentence = format!("{instance}: {from} → {to} at epoch {}: {why}", event.epoch);
            found.push(Violation::new(Harm::Illegal, sentence));
        }
        before = Some(event);
    }
    found
}

fn told(status: Option<&String>) -> &str {
    status.map_or("no row", String::as_str)
}

fn wrong_step(before: Option<&Event>, event: &Event) -> Option<&'static str> {
    let (from, to) = (event.from_status.as_deref(), event.to_status.as_deref());
    let Some(before) = before else {
        return from.is_some().then_some("its row was never inserted");
    };
    if before.to_status.is_none() {
        return Some("its row was gone for ever");
    }
    if before.to_status.as_deref() != from {
        return Some("it was in another status before");
    }
    let (Some(from), Some(to)) = (from, to) else {
        return (event.epoch != before.epoch).then_some("the removal is of another epoch");
    };
    if event.epoch != before.epoch + 1 {
        return Some("an epoch was left out or repeated");
    }
    let asked_for_its_end = from == to && matches!(from, "claimed" | "crashed");
    (!asked_for_its_end && !LEGAL.contains(&(from, to))).then_some("there is no such change")
}

/// What was claimed goes only when a person asked for it.
fn ended_by_a_person(instance: &str, events: &[&Event], history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let lost = |why: &str| Violation::new(Harm::Lost, format!("{instance} was claimed, {why}"));
    let was_claimed = events
        .iter()
        .any(|it| matches!(it.to_status.as_deref(), Some("claimed" | "crashed")));
    if !was_claimed {
        return found;
    }
    let asked = events
        .iter()
        .any(|it| it.from_status.is_some() && it.from_status == it.to_status);
    let gone = events.last().is_some_and(|it| it.to_status.is_none());
    if gone && !asked {
        found.push(lost("and its row is gone, without a request for its end"));
    }
    if asked && !history.unwanted.iter().any(|it| it == instance) {
        found.push(lost("and its end was requested, by nobody"));
    }
    found
}

/// The row is where its last event left it, or gone with it.
fn agrees(instance: &str, events: &[&Event], row: Option<&Row>) -> Option<Violation> {
    let last = events.last()?;
    let (told, is) = (
        last.to_status.as_deref().map(|status| (status, last.epoch)),
        row.map(|row| (row.status.as_str(), row.epoch)),
    );
    if told == is {
        return None;
    }
    let harm = match told {
        Some(("claimed" | "crashed", _)) => Harm::Lost,
        _ => Harm::Illegal,
    };
    let sentence = format!("{instance} is {is:?} in its row and {told:?} in its last event");
    Some(Violation::new(harm, sentence))
}

/// What may be handed out is nobody's; and every row has its history.
fn free(index: &Index<'_>, row: &Row) -> Option<Violation> {
    let (id, status) = (&row.id, &row.status);
    if !index.events.contains_key(id.as_str()) {
        let sentence = format!("{id} is {status}, and no event tells why");
        return Some(Violation::new(Harm::Illegal, sentence));
    }
    let done = index.done.get(row.service_id.as_str())?.first()?;
    let sentence = format!("{id} is {status}, and {}'s already", done.agent_name);
    matches!(status.as_str(), "starting" | "idle").then(|| Violation::new(Harm::Twice, sentence))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
