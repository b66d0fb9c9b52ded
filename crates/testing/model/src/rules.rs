//! What the protocol keeps to. A test takes one rule away and shows that the search finds the harm:
//! the proof that the model can fail, and that the rule is needed.

/// Each rule as the code has it, or not.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each rule is there or not, apart from the others"
)]
pub struct Rules {
    /// A lease takes an idle row and makes it claiming in one statement (`claims/lease_idle.sql`). That
    /// others take theirs in the same one is a step of each, one after the other.
    pub lease_is_one_statement: bool,
    /// A lease that ran out makes the instance dead, and not idle (`claims/expire.sql`).
    pub expired_is_dead: bool,
    /// Leases run out at all, whoever lives.
    pub leases_run_out: bool,
    /// An outcome that nobody knows makes the instance dead, and not idle (`claims/abandon.sql`).
    pub unknown_is_dead: bool,
    /// A confirmation that finds no lease says so, and the caller is told (`claims/confirm.sql`).
    pub overtaken_is_told: bool,
    /// A confirmation names the instance beside the token, so that a lease that takes effect late, on
    /// another instance, is not taken for the one whose agent was called.
    pub confirm_names_the_instance: bool,
    /// A confirmation knows its earlier success by its token, and not by the instance.
    pub confirmed_by_token: bool,
    /// An agent that says that it is somebody's is kept for him (`claims/bind.sql`), and not released.
    pub bound_is_kept: bool,
    /// And that names the instance beside the token, as a confirmation does.
    pub bind_names_the_instance: bool,
    /// A leader's write names the status and epoch that it was decided from
    /// (`instances/change_statuses.sql`).
    pub writes_name_what_they_saw: bool,
    /// And the epoch, not the status alone.
    pub writes_name_the_epoch: bool,
    /// A leader's write checks its term in its own transaction (`fencing.rs`).
    pub writes_check_the_term: bool,
    /// A claimed instance whose service is missing becomes crashed, and not dead.
    pub missing_claimed_is_crashed: bool,
    /// The trigger refuses what the state machine lacks.
    pub trigger: bool,
    /// An adopted instance is asked for its conversation before it may be idle.
    pub adopted_are_asked: bool,
    /// Only what is dead, or what a person asked for, is destroyed.
    pub destroys_only_what_ended: bool,
}

impl Default for Rules {
    /// As the code is.
    fn default() -> Self {
        Self {
            lease_is_one_statement: true,
            expired_is_dead: true,
            leases_run_out: true,
            unknown_is_dead: true,
            overtaken_is_told: true,
            confirm_names_the_instance: true,
            confirmed_by_token: true,
            bound_is_kept: true,
            bind_names_the_instance: true,
            writes_name_what_they_saw: true,
            writes_name_the_epoch: true,
            writes_check_the_term: true,
            missing_claimed_is_crashed: true,
            trigger: true,
            adopted_are_asked: true,
            destroys_only_what_ended: true,
        }
    }
}
