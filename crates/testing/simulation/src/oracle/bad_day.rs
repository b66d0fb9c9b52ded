//! What a bad day may cost: how much is made and thrown away while one thing goes wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::known::Spell;
use super::watched::Oracle;
use crate::day::BadDay;

/// While nothing succeeds, one at a time is tried so often: `Policy::TRY_CREATING_EVERY`.
const TRIED_EVERY: Duration = Duration::from_secs(20);
/// Those that are in the making when it begins, of two leaders.
const IN_FLIGHT: u32 = 10;
/// How many agents that refuse may be given up, before it is clear that it is not for them.
const GIVEN_UP: u32 = 3;

impl Oracle {
    /// One thing begins to go wrong.
    pub(crate) fn spell_begins(&self) {
        let counts = self.trace.counts();
        let mut known = self.known();
        known.spell = Some(Spell {
            began: Instant::now(),
            counts,
            asked: known.asked_of_accounts,
        });
    }

    /// It goes on, or it ends: it must not have cost more than this by now.
    pub(crate) fn check_spell(&self, day: BadDay) {
        let counts = self.trace.counts();
        let known = self.known();
        let Some(spell) = &known.spell else { return };
        let tried = spell.began.elapsed().as_secs() / TRIED_EVERY.as_secs();
        let tried = u32::try_from(tried).unwrap_or(u32::MAX);
        let target = u32::try_from(self.scenario.target).unwrap_or(u32::MAX);
        let made = counts.created - spell.counts.created;
        let deleted = counts.destroyed - spell.counts.destroyed;
        let asked = known.asked_of_accounts - spell.asked;
        let (what, count, most) = match day {
            BadDay::BadImage => ("services are made", made, target + IN_FLIGHT + tried),
            BadDay::AgentsRefuse => ("services are deleted", deleted, GIVEN_UP),
            BadDay::Quota => ("keys and inboxes are asked for", asked, IN_FLIGHT + tried),
            _ => return,
        };
        if count > most {
            let after = spell.began.elapsed().as_secs();
            let sentence = format!("{count} {what} in {after} s of {day}, and {most} may be");
            self.trace.violated("bad-day-is-cheap", sentence);
        }
    }

    /// Somebody else set its agent up.
    pub(crate) fn is_bound_outside(&self, service: &str) {
        self.known().bound_outside.insert(service.to_owned());
    }
}
