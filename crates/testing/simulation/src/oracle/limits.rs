//! The cap, the fuse, and in calm weather the target.

use anyhow::Result;

use super::watched::{Instance, Oracle};

/// As many may be lost within ten minutes: `Policy::FUSE_LIMIT_MIN` and `Policy::FUSE_LIMIT_PERCENT`.
const FUSE_LIMIT_MIN: i64 = 5;
const FUSE_LIMIT_PERCENT: i64 = 20;

impl Oracle {
    pub(super) fn check_limits(&self, instances: &[Instance]) -> Result<()> {
        let scenario = &self.scenario;
        let standing = instances
            .iter()
            .filter(|it| it.status != "dead" && !it.delete_requested)
            .count();
        if standing > scenario.cap {
            let sentence = format!("{standing} instances, and the cap is {}", scenario.cap);
            self.trace.violated("cap-holds", sentence);
        }
        let lost = self.database.query(
            "SELECT count(*), (SELECT coalesce(max(rows), 0) FROM public.fuse_row_counts) \
             FROM public.fuse_losses AS lost WHERE at > to_timestamp($1::bigint / 1000.0) \
             - interval '10 minutes' AND NOT EXISTS (SELECT FROM public.instance_events AS event \
             WHERE event.instance_id = lost.instance_id AND event.actor = 'claim' \
             AND event.to_status = 'dead')",
            &[&self.clock.now_utc().timestamp_millis()],
        )?;
        if let Some(row) = lost.first() {
            let (lost, rows): (i64, i64) = (row.get(0), row.get(1));
            let limit = FUSE_LIMIT_MIN.max(rows * FUSE_LIMIT_PERCENT / 100);
            if lost > limit {
                let sentence = format!("{lost} of {rows} were lost within ten minutes");
                self.trace.violated("fuse-holds", sentence);
            }
        }
        let free = instances
            .iter()
            .filter(|it| matches!(it.status.as_str(), "idle" | "starting"))
            .count();
        let most = scenario.target + scenario.adoptees;
        if scenario.is_calm() && scenario.rates.people == 0.0 && free > most {
            let sentence = format!(
                "{free} idle or starting, and the target is {}",
                scenario.target
            );
            self.trace.violated("no-more-than-wanted", sentence);
        }
        Ok(())
    }
}
