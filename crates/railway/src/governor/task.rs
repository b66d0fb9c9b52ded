//! What a call is about to do, which decides how much of the budget it may touch and whether it may
//! be repeated.

use pool_domain::CallPurpose;

/// What a call is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Begins a listing; its other pages follow as [`Self::NextPage`].
    FirstPage,
    /// Goes on with one.
    NextPage,
    /// Reads the variables that say whose services are.
    Adoption,
    /// Begins an instance; its other parts follow as [`Self::Finish`].
    Begin,
    /// Makes one more part of an instance, or deploys it.
    Finish,
    /// Deletes what is left of an instance.
    Destroy,
    /// Finds out where we are.
    Setup,
}

impl Task {
    /// What it is counted as.
    pub(crate) const fn purpose(self) -> CallPurpose {
        match self {
            Self::FirstPage | Self::NextPage => CallPurpose::Listing,
            Self::Adoption => CallPurpose::Adoption,
            Self::Begin | Self::Finish => CallPurpose::Creating,
            Self::Destroy => CallPurpose::Destroying,
            Self::Setup => CallPurpose::Other,
        }
    }

    /// Whether it changes nothing.
    pub(crate) const fn is_read(self) -> bool {
        match self {
            Self::FirstPage | Self::NextPage | Self::Adoption | Self::Setup => true,
            Self::Begin | Self::Finish | Self::Destroy => false,
        }
    }
}
