//! Runs the search, and tells what it found.

use std::fmt::Write as _;

use pool_domain::{State, Status};
use pool_model::action::Action;
use pool_model::explore::{Violation, explore};
use pool_model::protocol::{Protocol, Scope, Search};
use pool_model::rules::Rules;
use pool_model::state::Code;
use pool_model::world::World;

/// Two claims beside whole ticks; statements that take effect after they were given up.
pub(crate) const CLAIMS: Scope = Scope {
    claims: 2,
    leaders_apart: false,
    late_statements: true,
    restored: false,
};
/// Two servers that lead, plan and act at any time, beside one claim.
pub(crate) const LEADERS: Scope = Scope {
    claims: 1,
    leaders_apart: true,
    late_statements: false,
    restored: false,
};
/// All of it, for one instance.
pub(crate) const ALL: Scope = Scope {
    claims: 2,
    leaders_apart: true,
    late_statements: true,
    restored: false,
};

/// The rows at the beginning.
pub(crate) type Rows = [Code; 2];

/// Proven ready, nobody's.
pub(crate) fn idle() -> Code {
    Code::new(Status::Idle)
}

/// Found without a row, in a stranger's conversation, and not yet asked for it.
pub(crate) fn adopted() -> Code {
    unasked(Status::Starting)
}

/// In a stranger's conversation, of which the records say nothing.
pub(crate) fn unasked(status: Status) -> Code {
    Code::of(State {
        unasked: true,
        ..State::new(status)
    })
}

/// Visits every state under the rules as they are, and prints how many there are.
pub(crate) fn holds(name: &str, scope: Scope, begins: &[Rows], at_least: usize) {
    let outcome = explore(&Protocol {
        scope,
        rules: Rules::default(),
        begins: begins.to_vec(),
        search: Search::Violation,
    });
    println!(
        "{name}: {} states, {} steps, the farthest {} steps away",
        outcome.states, outcome.steps, outcome.depth
    );
    if let Some(violation) = outcome.violation {
        panic!("{}", told(&violation));
    }
    assert!(outcome.states >= at_least, "the model has become smaller");
}

/// The way to a state in which the sentence does not hold.
pub(crate) fn broken(
    scope: Scope,
    begins: Rows,
    rules: Rules,
    sentence: &'static str,
) -> Option<String> {
    let outcome = explore(&Protocol {
        scope,
        rules,
        begins: vec![begins],
        search: Search::ViolationOf(sentence),
    });
    outcome.violation.as_ref().map(told)
}

/// Makes sure that such a state is visited.
pub(crate) fn reached(scope: Scope, what: &str, wanted: fn(&World) -> bool) {
    let outcome = explore(&Protocol {
        scope,
        rules: Rules::default(),
        begins: vec![[idle(); 2]],
        search: Search::State(wanted),
    });
    assert!(outcome.violation.is_some(), "never: {what}");
}

fn told(violation: &Violation<World, Action>) -> String {
    let mut text = format!("it does not hold that {}:\n", violation.what);
    for (action, world) in &violation.way {
        if let Some(action) = action {
            let _ = writeln!(text, "{:?} ({})", action.verb, action.index);
        }
        let _ = writeln!(text, "    {world:?}");
    }
    text
}
