//! Visits every state of the protocol, and shows that the search finds the harm where a rule is gone.

mod can_fail;
mod check;
mod exhaustive;
