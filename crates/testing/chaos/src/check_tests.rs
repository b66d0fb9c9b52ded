//! Histories made by hand: a good one, and one for each thing that can be wrong with it.

use super::*;

fn event(instance: &str, from: Option<&str>, to: Option<&str>, epoch: i64) -> Event {
    Event {
        instance_id: instance.to_owned(),
        service_id: format!("service of {instance}"),
        from_status: from.map(str::to_owned),
        to_status: to.map(str::to_owned),
        epoch,
        reason: None,
    }
}

fn life(instance: &str, statuses: &[&str]) -> Vec<Event> {
    let mut before = None;
    let mut events = Vec::new();
    for (epoch, status) in (0..).zip(statuses) {
        events.push(event(instance, before, Some(status), epoch));
        before = Some(*status);
    }
    events
}

fn row(instance: &str, status: &str, epoch: i64, name: Option<&str>) -> Row {
    Row {
        id: instance.to_owned(),
        service_id: format!("service of {instance}"),
        status: status.to_owned(),
        epoch,
        agent_name: name.map(str::to_owned),
        conversation_id: name.map(|name| format!("conversation of {name}")),
        delete_requested: false,
    }
}

fn call(instance: &str, name: &str, outcome: Outcome) -> Call {
    Call {
        service_id: format!("service of {instance}"),
        agent_name: name.to_owned(),
        outcome,
    }
}

fn ask(name: &str, answer: impl Into<Option<Answer>>) -> Ask {
    Ask {
        agent_name: name.to_owned(),
        is_keyed: true,
        sent_ms: 1,
        answered_ms: 2,
        answer: answer.into(),
    }
}

fn ok(instance: &str, name: &str) -> Answer {
    Answer {
        status: 200,
        instance_id: Some(instance.to_owned()),
        conversation_id: Some(format!("conversation of {name}")),
        ..Answer::default()
    }
}

fn refusal(status: u16, has_retry_after: bool) -> Answer {
    Answer {
        status,
        has_retry_after,
        error: "why".to_owned(),
        ..Answer::default()
    }
}

const CLAIMED: [&str; 4] = ["starting", "idle", "claiming", "claimed"];

/// Ada has `a`, Bob's claim came to nothing, `b` is idle, and Cy's `c` was destroyed on request.
fn good() -> History {
    let mut events = life("a", &CLAIMED);
    events.extend(life("b", &["starting", "idle"]));
    events.extend(life("c", &CLAIMED));
    events.push(event("c", Some("claimed"), Some("claimed"), 4));
    events.push(event("c", Some("claimed"), None, 4));
    History {
        asks: vec![
            ask("Ada", ok("a", "Ada")),
            ask("Bob", refusal(503, true)),
            ask("Cy", ok("c", "Cy")),
            ask("Di", None),
        ],
        unwanted: vec!["c".to_owned()],
        events,
        rows: vec![
            row("a", "claimed", 3, Some("Ada")),
            row("b", "idle", 1, None),
        ],
        calls: vec![
            call("a", "Ada", Outcome::Done),
            call("b", "Bob", Outcome::Refused),
            call("c", "Cy", Outcome::Done),
        ],
    }
}

/// What is found in the good history once this was done to it.
fn found(spoil: impl FnOnce(&mut History)) -> Vec<String> {
    let mut history = good();
    spoil(&mut history);
    check(&history).iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_history_is_found_good() {
    assert_eq!(found(|_| {}), [""; 0]);
}

#[test]
fn a_claimed_instance_may_crash_and_recover() {
    let good = found(|it| {
        it.events
            .push(event("a", Some("claimed"), Some("crashed"), 4));
        it.events
            .push(event("a", Some("crashed"), Some("claimed"), 5));
        it.rows[0].epoch = 5;
    });
    assert_eq!(good, [""; 0]);
}

#[test]
fn a_repeated_claim_may_get_the_same_answer_again() {
    assert_eq!(
        found(|it| it.asks.push(ask("Ada", ok("a", "Ada")))),
        [""; 0]
    );
}

#[test]
fn an_instance_in_two_answers_is_found() {
    let found = found(|it| it.asks[1].answer = Some(ok("a", "Ada")));
    assert!(found.contains(&"Twice: instance a was given to Ada and to Bob".to_owned()));
}

#[test]
fn two_instances_for_one_claim_are_found() {
    let found = found(|it| {
        it.asks.push(ask("Ada", ok("d", "Ada")));
        it.events.extend(life("d", &CLAIMED));
        it.rows.push(row("d", "claimed", 3, Some("Ada")));
        it.calls.push(call("d", "Ada", Outcome::Done));
    });
    let expected = [
        "Twice: the claim of Ada set up the agents of service of a and service of d",
        "Twice: the claim of Ada was given a and d",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_agent_that_was_provisioned_twice_is_found() {
    let found = found(|it| it.calls.push(call("a", "Bob", Outcome::Twice)));
    assert_eq!(
        found,
        ["Twice: the agent of service service of a was given to Bob as well"]
    );
}

#[test]
fn an_agent_that_was_given_to_a_stranger_is_found() {
    let found = found(|it| it.calls.push(call("z", "Eve", Outcome::Done)));
    assert_eq!(
        found,
        ["Twice: the agent of service service of z was given to Eve, unasked"]
    );
}

#[test]
fn an_idle_row_whose_agent_is_somebodys_is_found() {
    let found = found(|it| it.calls[1].outcome = Outcome::Done);
    assert_eq!(found, ["Twice: b is idle, and Bob's already"]);
}

#[test]
fn an_answer_whose_instance_was_never_claimed_is_found() {
    let found = found(|it| it.asks[1].answer = Some(ok("b", "Bob")));
    assert_eq!(found, ["Lost: Bob got b, and it never was claimed"]);
}

#[test]
fn an_answer_whose_agent_knows_nothing_is_found() {
    let found = found(|it| it.calls.retain(|call| call.agent_name != "Ada"));
    assert_eq!(
        found,
        ["Lost: Ada got a, and its agent never heard of them"]
    );
}

#[test]
fn a_row_for_somebody_else_is_found() {
    let found = found(|it| it.rows[0].agent_name = Some("Bob".to_owned()));
    assert_eq!(found, ["Lost: Ada got a, and its row names Some(\"Bob\")"]);
}

#[test]
fn a_lost_conversation_is_found() {
    let found = found(|it| it.rows[0].conversation_id = None);
    let told = "told Some(\"conversation of Ada\"), and its row has None";
    assert_eq!(found, [format!("Lost: Ada got a, {told}")]);
}

#[test]
fn a_claimed_row_that_vanished_is_found() {
    let found = found(|it| it.rows.retain(|row| row.id != "a"));
    let is = "None in its row and Some((\"claimed\", 3)) in its last event";
    assert_eq!(found, [format!("Lost: a is {is}")]);
}

#[test]
fn a_claimed_row_that_was_removed_without_a_request_is_found() {
    let found = found(|it| {
        it.events.push(event("a", Some("claimed"), None, 3));
        it.rows.retain(|row| row.id != "a");
    });
    let why = "and its row is gone, without a request for its end";
    assert_eq!(found, [format!("Lost: a was claimed, {why}")]);
}

#[test]
fn a_request_that_nobody_made_is_found() {
    let found = found(|it| it.unwanted.clear());
    assert_eq!(
        found,
        ["Lost: c was claimed, and its end was requested, by nobody"]
    );
}

#[test]
fn a_change_that_the_state_machine_lacks_is_found() {
    let found = found(|it| {
        it.events.push(event("a", Some("claimed"), Some("idle"), 4));
        it.rows[0] = row("a", "idle", 4, Some("Ada"));
    });
    let wrong = "Illegal: a: claimed → idle at epoch 4: there is no such change";
    assert!(found.contains(&wrong.to_owned()), "{found:?}");
    assert!(
        found.contains(&"Lost: Ada got a, and it is idle".to_owned()),
        "{found:?}"
    );
}

#[test]
fn epochs_that_are_left_out_or_repeated_are_found() {
    for epoch in [1, 3] {
        let found = found(|it| {
            it.events
                .push(event("b", Some("idle"), Some("starting"), epoch));
            it.rows[1] = row("b", "starting", epoch, None);
        });
        let why = "an epoch was left out or repeated";
        assert_eq!(
            found,
            [format!(
                "Illegal: b: idle → starting at epoch {epoch}: {why}"
            )]
        );
    }
}

#[test]
fn an_event_that_does_not_follow_from_the_last_is_found() {
    let found = found(|it| {
        it.events
            .push(event("b", Some("claiming"), Some("dead"), 2));
        it.rows[1] = row("b", "dead", 2, None);
    });
    let why = "it was in another status before";
    assert_eq!(
        found,
        [format!("Illegal: b: claiming → dead at epoch 2: {why}")]
    );
}

#[test]
fn a_row_that_comes_back_after_its_removal_is_found() {
    let found = found(|it| {
        it.events.push(event("c", None, Some("starting"), 0));
        it.rows.push(row("c", "starting", 0, None));
    });
    let wrong = "Illegal: c: no row → starting at epoch 0: its row was gone for ever";
    assert!(found.contains(&wrong.to_owned()), "{found:?}");
}

#[test]
fn a_row_without_events_and_events_without_their_beginning_are_found() {
    let unknown = found(|it| it.rows.push(row("z", "idle", 0, None)));
    assert_eq!(unknown, ["Illegal: z is idle, and no event tells why"]);
    let headless = found(|it| drop(it.events.remove(0)));
    let why = "its row was never inserted";
    assert_eq!(
        headless,
        [format!("Illegal: a: starting → idle at epoch 1: {why}")]
    );
}

#[test]
fn a_row_that_its_last_event_does_not_explain_is_found() {
    let found = found(|it| it.rows[1].epoch = 7);
    let is = "Some((\"idle\", 7)) in its row and Some((\"idle\", 1)) in its last event";
    assert_eq!(found, [format!("Illegal: b is {is}")]);
}

#[test]
fn answers_that_the_api_does_not_promise_are_found() {
    let bare = found(|it| it.asks[1].answer = Some(refusal(503, false)));
    assert_eq!(
        bare,
        ["Answer: the claim of Bob was answered 503 without Retry-After"]
    );
    let bug = found(|it| it.asks[1].answer = Some(refusal(500, false)));
    assert_eq!(bug, ["Answer: the claim of Bob was answered 500: why"]);
    let unkeyed = found(|it| {
        it.asks[1].is_keyed = false;
        it.asks[1].answer = Some(refusal(410, false));
    });
    assert_eq!(unkeyed, ["Answer: the claim of Bob was answered 410: why"]);
    for known in [410, 502, 504] {
        assert_eq!(
            found(|it| it.asks[1].answer = Some(refusal(known, false))),
            [""; 0]
        );
    }
}
