//! Walks every pair of state and event, and compares the table with `docs/LIFECYCLE.md`.

use super::*;

fn row(from: State, event: Event) -> String {
    match from.apply(event) {
        Ok(Next::To(to)) if to == from => format!("| {from} | {event} | (unchanged) |"),
        Ok(Next::To(to)) => format!("| {from} | {event} | {to} |"),
        Ok(Next::Gone) => format!("| {from} | {event} | (no row) |"),
        Err(error) => format!("| {from} | {event} | refused: {error} |"),
    }
}

#[test]
fn every_pair_of_state_and_event_leads_where_the_table_says() {
    let rows: Vec<_> = State::all()
        .into_iter()
        .flat_map(|from| Event::ALL.map(|event| row(from, event)))
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn the_lifecycle_document_holds_the_same_table() {
    let document = include_str!("../../../docs/LIFECYCLE.md");
    let written: Vec<_> = document
        .lines()
        .skip_while(|line| *line != "<!-- the state machine begins -->")
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let coded: Vec<_> = State::all()
        .into_iter()
        .flat_map(|from| Event::ALL.map(|event| (from, event)))
        .filter(|(from, event)| from.apply(*event).is_ok())
        .map(|(from, event)| row(from, event))
        .collect();
    assert_eq!(
        written,
        coded,
        "docs/LIFECYCLE.md should hold:\n{}\n",
        coded.join("\n")
    );
}

#[test]
fn nothing_claimed_claiming_or_crashed_dies_unless_a_person_asked_or_its_claim_failed() {
    for (from, to) in legal_changes() {
        if to == Status::Dead {
            assert!(
                matches!(from, Status::Starting | Status::Idle | Status::Claiming),
                "{from}"
            );
        }
    }
}

#[test]
fn a_refusal_names_the_state_and_the_verb() {
    let refused = State::new(Status::Claiming).kill().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot kill an instance that is claiming"
    );
}
