//! What agents said since the last round, and of which epoch of their rows it tells.

use std::collections::{BTreeMap, HashMap};

use pool_domain::{Conversation, Epoch, Instance, InstanceId, Probe};

/// Written by whoever asks the agents, read by the rounds. What it does not hold was not asked.
#[derive(Debug, Default)]
pub struct ProbeBook {
    entries: BTreeMap<InstanceId, Entry>,
}

#[derive(Debug)]
struct Entry {
    epoch: Epoch,
    probe: Option<Probe>,
    said: Option<Conversation>,
}

/// What the agents of a round's rows said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How the probed ones answered.
    pub probes: HashMap<InstanceId, Probe>,
    /// What the unasked ones said of their conversations.
    pub conversations: HashMap<InstanceId, Conversation>,
}

impl ProbeBook {
    /// Notes what an agent answered, and of which epoch of its row.
    pub fn note(&mut self, id: &InstanceId, epoch: Epoch, probe: Probe) {
        let entry = self.entry(id, epoch);
        entry.probe = Some(match entry.probe.take() {
            Some(before) => before.then(probe),
            None => probe,
        });
    }

    /// Notes what an unasked one said. What it said lately counts.
    pub fn note_conversation(&mut self, id: &InstanceId, epoch: Epoch, said: Conversation) {
        self.entry(id, epoch).said = Some(said);
    }

    /// Everything that tells of these rows as they are, which is told once. What was said of an
    /// earlier epoch says nothing of this one.
    pub fn take(&mut self, rows: &[Instance]) -> Said {
        let mut entries = std::mem::take(&mut self.entries);
        let mut told = Said::default();
        for row in rows {
            let Some(entry) = entries.remove(&row.id).filter(|it| it.epoch == row.epoch) else {
                continue;
            };
            if let Some(probe) = entry.probe {
                told.probes.insert(row.id.clone(), probe);
            }
            if let Some(said) = entry.said {
                told.conversations.insert(row.id.clone(), said);
            }
        }
        told
    }

    /// Whether any agent did not answer as it should.
    #[must_use]
    pub fn tells_of_trouble(&self) -> bool {
        let mut probes = self.entries.values().filter_map(|it| it.probe.as_ref());
        probes.any(|probe| *probe != Probe::Ready)
    }

    fn entry(&mut self, id: &InstanceId, epoch: Epoch) -> &mut Entry {
        let fresh = || Entry {
            epoch,
            probe: None,
            said: None,
        };
        let entry = self.entries.entry(id.clone()).or_insert_with(fresh);
        if entry.epoch != epoch {
            *entry = fresh();
        }
        entry
    }
}
