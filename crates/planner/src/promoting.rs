//! Which starting instances are proven by what their agents said just now. The same rules as in a
//! round, asked as soon as an agent answers.

use std::collections::BTreeMap;

use pool_domain::write::StatusChange;
use pool_domain::{Conversation, Instance, InstanceId, Probe};

use crate::Index;
use crate::transition::{decided, proven};

/// The changes that prove them: to idle, or to claimed where an agent names a conversation. `index`
/// is of the last listing. Nothing is given up here: that is a round's business, and the fuse's.
#[must_use]
pub fn promotions(
    rows: &[Instance],
    index: &Index<'_>,
    probes: &BTreeMap<InstanceId, Probe>,
    conversations: &BTreeMap<InstanceId, Conversation>,
) -> Vec<StatusChange> {
    let prove = |row: &Instance| {
        let said = conversations.get(&row.id);
        let proof = proven(row, index, probes.get(&row.id), said)?;
        decided(row, said, proof)
    };
    rows.iter().filter_map(prove).collect()
}
