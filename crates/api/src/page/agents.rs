//! What agents answer, where that is why this server refuses claims.

use maud::{Markup, html};
use pool_domain::AgentsReport;

use super::words::seconds;

pub(super) fn render(agents: &AgentsReport) -> Markup {
    html! {
        h2 { "Claims are refused" }
        p.bad role="alert" {
            @if agents.none_answers { "No agent answers this server. " } @else {
                "Agents fail at every claim of this server. "
            }
            (agents.failures) " failures in " (seconds(agents.since_ms / 1_000))
            "; the last one: " (agents.last_words)
        }
        p {
            "Nobody is blamed for it, and one claim at a time is tried until one succeeds. Where all agents \
             say the same, look at their image and its key; where none answers, at this server's network."
        }
    }
}
