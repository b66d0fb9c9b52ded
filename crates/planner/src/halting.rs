//! What Railway wants no more of. Whoever hears of it stops the others that were begun with it.

use pool_domain::CreateStep;

/// What is not to be made any more. A later order begins without it: that it is small is the pace's
/// business.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Halted {
    services: bool,
    volumes: bool,
}

impl Halted {
    /// Railway said at this step that it wants no more. No service is made after any such refusal:
    /// each would only be one more to finish.
    pub fn at(&mut self, step: CreateStep) {
        self.services = true;
        self.volumes |= step == CreateStep::Volume;
    }

    /// Whether anything is halted.
    #[must_use]
    pub const fn is_halted(self) -> bool {
        self.services
    }

    /// Whether an instance at this step is not to be gone on with: it still needs what Railway does
    /// not want to make.
    #[must_use]
    pub fn stops(self, step: CreateStep, has_service: bool, has_volume: bool) -> bool {
        let makes_service = step <= CreateStep::Service && !has_service;
        let makes_volume = step <= CreateStep::Volume && !has_volume;
        (makes_service && self.services) || (makes_volume && self.volumes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_volumes_stops_services_too_and_finishes_what_needs_neither() {
        let mut halted = Halted::default();
        assert!(!halted.stops(CreateStep::Key, false, false));
        halted.at(CreateStep::Service);
        assert!(halted.stops(CreateStep::Key, false, false));
        assert!(!halted.stops(CreateStep::Volume, true, false));
        halted.at(CreateStep::Volume);
        assert!(halted.stops(CreateStep::Volume, true, false));
        assert!(!halted.stops(CreateStep::Domain, true, true));
        assert!(!halted.stops(CreateStep::Commit, true, true));
    }
}
