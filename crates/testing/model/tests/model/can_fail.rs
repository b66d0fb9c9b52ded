//! Each rule is taken away, and the search finds what goes wrong: the model can fail, and every rule
//! is needed.

use pool_model::protocol::{
    ANSWERED, DESTROYED, HEALS, KEPT_FOR_NOBODY, OLD_DECISION, SOMEBODYS, STALE_LEADER, Scope,
    TWICE, UNKNOWN,
};
use pool_model::rules::Rules;

use crate::check::{CLAIMS, LEADERS, Rows, adopted, broken, idle};

fn breaks(scope: Scope, begins: Rows, rules: Rules, sentence: &'static str) {
    match broken(scope, begins, rules, sentence) {
        Some(way) => println!("{way}"),
        None => panic!("it still holds that {sentence}"),
    }
}

#[test]
fn a_lease_of_two_statements_hands_an_agent_out_twice() {
    let rules = Rules {
        lease_is_one_statement: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, TWICE);
}

#[test]
fn an_expired_lease_that_becomes_idle_hands_an_agent_out_twice() {
    let rules = Rules {
        expired_is_dead: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, TWICE);
}

#[test]
fn a_lease_that_never_runs_out_stays_for_ever() {
    let rules = Rules {
        leases_run_out: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, HEALS);
}

#[test]
fn an_unknown_outcome_that_becomes_idle_hands_an_agent_out_twice() {
    let rules = Rules {
        unknown_is_dead: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, TWICE);
}

#[test]
fn a_confirmation_whose_count_of_rows_is_ignored_answers_200_for_a_dead_instance() {
    let rules = Rules {
        overtaken_is_told: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, ANSWERED);
}

#[test]
fn a_confirmation_by_the_token_alone_confirms_another_instance() {
    let rules = Rules {
        confirm_names_the_instance: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, ANSWERED);
}

#[test]
fn a_confirmation_without_the_token_answers_200_for_a_dead_instance() {
    let rules = Rules {
        confirmed_by_token: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, ANSWERED);
}

/// Two claims of instances one of which is somebody's, and its row does not know.
const RESTORED: Scope = Scope {
    restored: true,
    ..CLAIMS
};

#[test]
fn an_agent_that_says_that_it_is_somebodys_and_is_released_is_offered_again() {
    let rules = Rules {
        bound_is_kept: false,
        ..Rules::default()
    };
    breaks(RESTORED, [idle(); 2], rules, SOMEBODYS);
}

#[test]
fn one_that_is_kept_by_the_token_alone_keeps_another_for_nobody() {
    let rules = Rules {
        bind_names_the_instance: false,
        ..Rules::default()
    };
    breaks(RESTORED, [idle(); 2], rules, KEPT_FOR_NOBODY);
}

#[test]
fn a_write_that_compares_nothing_hands_an_agent_out_twice() {
    let rules = Rules {
        writes_name_what_they_saw: false,
        ..Rules::default()
    };
    let two_claims = Scope {
        claims: 2,
        ..LEADERS
    };
    breaks(two_claims, [idle(); 2], rules, TWICE);
}

#[test]
fn a_write_that_compares_the_status_alone_takes_effect_on_what_it_did_not_see() {
    let rules = Rules {
        writes_name_the_epoch: false,
        ..Rules::default()
    };
    breaks(LEADERS, [idle(); 2], rules, OLD_DECISION);
}

#[test]
fn a_write_that_checks_no_term_lets_a_stale_leader_write() {
    let rules = Rules {
        writes_check_the_term: false,
        ..Rules::default()
    };
    breaks(LEADERS, [idle(); 2], rules, STALE_LEADER);
}

#[test]
fn a_lying_listing_costs_a_claimed_agent_where_neither_rule_nor_trigger_forbids() {
    let rules = Rules {
        missing_claimed_is_crashed: false,
        trigger: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, ANSWERED);
    // The trigger alone is enough.
    let rules = Rules {
        trigger: true,
        ..rules
    };
    let scope = Scope {
        late_statements: false,
        ..CLAIMS
    };
    assert_eq!(broken(scope, [idle(); 2], rules, ANSWERED), None);
}

#[test]
fn an_adopted_agent_that_is_not_asked_brings_its_conversation_into_the_stock() {
    let rules = Rules {
        adopted_are_asked: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [adopted(), idle()], rules, UNKNOWN);
    breaks(CLAIMS, [adopted(), idle()], rules, TWICE);
}

#[test]
fn a_destruction_that_looks_at_no_row_destroys_what_is_in_use() {
    let rules = Rules {
        destroys_only_what_ended: false,
        ..Rules::default()
    };
    breaks(CLAIMS, [idle(); 2], rules, DESTROYED);
}
