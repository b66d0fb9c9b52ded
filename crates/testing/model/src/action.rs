//! The names of the steps, for whoever reads the way to a violation.

/// What happens in one step, and to which server or instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    pub verb: Verb,
    pub index: u8,
}

/// What happens in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    ServerLeases,
    ServerLeasesAndTheAnswerIsLost,
    ServerFindsNothingIdle,
    ServerSeesOneThatIsIdle,
    ServerTakesWhatItSaw,
    ServerGivesUp,
    ServerSendsAStatementThatWaits,
    AgentIsProvisionedAndSaysSo,
    AgentIsProvisionedAndTheAnswerIsLost,
    AgentIsSlowAndTheCallIsGivenUp,
    AgentIsNotProvisionedAndSaysSo,
    AgentSaysThatItIsSomebodys,
    AgentIsProvisionedAfterTheCallWasGivenUp,
    RequestToAnAgentIsLost,
    ServerConfirms,
    ServerConfirmsAndTheAnswerIsLost,
    ServerBinds,
    ServerFailsToBind,
    ServerReleases,
    ServerFailsToRelease,
    ServerAbandons,
    ServerFailsToAbandon,
    AStatementThatWaitedTakesEffect,
    AStatementThatWaitedIsLost,
    ServerIsKilledAndStartsAnew,
    LeaseRunsOut,
    PersonKills,
    LockIsLost,
    ServerTakesTheLead,
    ServerNoticesThatItLeadsNoMore,
    LeaderPlans,
    LeaderDoesWhatItPlanned,
    LeaderPlansAndDoesIt,
}

impl Verb {
    /// With its server or instance.
    #[must_use]
    pub fn of(self, index: usize) -> Action {
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        Action { verb: self, index }
    }
}
