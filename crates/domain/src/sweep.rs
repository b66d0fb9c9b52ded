//! What the sweep looks at, and what it says: things outside that our records say are ours and that
//! nobody needs any more, and things that only look like ours.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{InboxId, InstanceId, KeyHash, Redactor, ServiceId, VolumeId};

/// A key as OpenRouter lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// By which it is deleted.
    pub hash: KeyHash,
    /// Its name, which need not be unique.
    pub name: Option<String>,
}

/// An inbox as AgentMail lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInbox {
    /// By which it is deleted.
    pub inbox_id: InboxId,
    /// The name that it was made with, which is unique.
    pub client_id: Option<String>,
}

/// What is recorded as an instance's: the kinds of `belongings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Belonging {
    /// The name of its service, key and inbox.
    Name,
    /// A service that it had, by id.
    Service,
    /// A volume that was made for it or seen attached to its service, by id.
    Volume,
    /// An OpenRouter key, by its hash.
    Key,
    /// An AgentMail inbox, by its address.
    Inbox,
}

impl Belonging {
    /// Every kind that the column may hold.
    pub const ALL: [Self; 5] = [
        Self::Name,
        Self::Service,
        Self::Volume,
        Self::Key,
        Self::Inbox,
    ];

    /// The word in the column `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Service => "service",
            Self::Volume => "volume",
            Self::Key => "key",
            Self::Inbox => "inbox",
        }
    }

    /// The kind with this name, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Something outside, by what it is deleted with. No secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "lowercase")]
pub enum Thing {
    /// A volume of Railway's. Before services: one that is attached to a service goes before it.
    Volume(VolumeId),
    /// A service of Railway's.
    Service(ServiceId),
    /// A key of OpenRouter's.
    Key(KeyHash),
    /// An inbox of AgentMail's.
    Inbox(InboxId),
}

impl Thing {
    /// What it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Volume(_) => "volume",
            Self::Service(_) => "service",
            Self::Key(_) => "key",
            Self::Inbox(_) => "inbox",
        }
    }

    /// Its id, as whoever made it calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Volume(id) => id.as_str(),
            Self::Service(id) => id.as_str(),
            Self::Key(hash) => hash.as_str(),
            Self::Inbox(id) => id.as_str(),
        }
    }
}

/// Something that the sweep found, and why it is what it takes it for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The thing outside, with the id by which it is removed.
    #[serde(flatten)]
    pub thing: Thing,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The instance that it was made for, where our records say so.
    pub instance_id: Option<InstanceId>,
    /// Why it is removed, or only reported.
    pub why: String,
}

/// What a sweep found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepReport {
    /// When it began, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whether it only looked.
    pub dry_run: bool,
    /// What is destroyed from now on, as what belongs to an instance that ends.
    #[serde(default)]
    pub handed_over: Vec<Found>,
    /// What would have been, had it not only looked.
    #[serde(default)]
    pub would_remove: Vec<Found>,
    /// What only looks like ours. Never touched.
    #[serde(default)]
    pub reported: Vec<Found>,
    /// Which lists are not whole, and why: nothing of what they hold is destroyed.
    #[serde(default)]
    pub incomplete: Vec<String>,
    /// How many more there are, which the next sweeps hand over.
    #[serde(default)]
    pub left_for_later: usize,
    /// How many entries the lists above lack, since a report is kept small.
    #[serde(default)]
    pub left_out: usize,
    /// How many keys were listed; none where the account is not configured, or did not list them.
    #[serde(default)]
    pub keys: Option<usize>,
    /// How many inboxes, alike.
    #[serde(default)]
    pub inboxes: Option<usize>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

impl SweepReport {
    /// How many entries each of its lists holds at most: it stands in the report of every tick until
    /// the next sweep, and a thousand of these are kept.
    pub const ENTRIES_MAX: usize = 50;

    /// A sweep that has found nothing yet.
    #[must_use]
    pub const fn begun(at: DateTime<Utc>, dry_run: bool) -> Self {
        Self {
            at,
            dry_run,
            handed_over: Vec::new(),
            would_remove: Vec::new(),
            reported: Vec::new(),
            incomplete: Vec::new(),
            left_for_later: 0,
            left_out: 0,
            keys: None,
            inboxes: None,
            duration_ms: 0,
        }
    }

    /// Takes secrets out of the names that strangers gave.
    pub fn redact(&mut self, redactor: &Redactor) {
        let lists = [
            &mut self.handed_over,
            &mut self.would_remove,
            &mut self.reported,
        ];
        for found in lists.into_iter().flatten() {
            found.name = found.name.as_deref().map(|name| redactor.redact(name));
        }
    }

    /// Cuts every list to its limit, and says so.
    pub fn bound(&mut self) {
        fn cut<T>(list: &mut Vec<T>) -> usize {
            let over = list.len().saturating_sub(SweepReport::ENTRIES_MAX);
            list.truncate(SweepReport::ENTRIES_MAX);
            over
        }
        self.left_out +=
            cut(&mut self.handed_over) + cut(&mut self.would_remove) + cut(&mut self.reported);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_as_it_was_written() {
        for kind in Belonging::ALL {
            assert_eq!(Belonging::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Belonging::parse("domain"), None);
    }

    #[test]
    fn what_strangers_name_like_a_secret_is_not_told() {
        let found = Found {
            thing: Thing::Service("s1".into()),
            name: Some("convos-agent-the-key".to_owned()),
            instance_id: None,
            why: "it looks like ours".to_owned(),
        };
        let mut sweep = SweepReport::begun(DateTime::UNIX_EPOCH, true);
        sweep.handed_over = vec![found.clone()];
        sweep.would_remove = vec![found.clone()];
        sweep.reported = vec![found];
        let mut report = crate::Report {
            foreign: vec![crate::report::ForeignService {
                service_id: "s1".into(),
                name: "convos-agent-the-key".to_owned(),
                why: "its POOL_API_KEY is not ours".to_owned(),
            }],
            sweep: Some(sweep),
            ..crate::Report::default()
        };
        report.hold_back("adopting convos-agent-the-key", "the-key", 1);
        report.redact(&Redactor::new([crate::Secret::new("the-key")]));
        let told = serde_json::to_string(&report).unwrap();
        assert!(!told.contains("the-key"), "{told}");
        assert_eq!(told.matches("[REDACTED]").count(), 6);
    }

    #[test]
    fn what_was_found_reads_as_one_flat_object() {
        let found = Found {
            thing: Thing::Key("hash".into()),
            name: Some("convos-agent-a".to_owned()),
            instance_id: Some("a".into()),
            why: "its instance is gone".to_owned(),
        };
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "kind": "key", "id": "hash", "name": "convos-agent-a", "instanceId": "a",
                "why": "its instance is gone",
            })
        );
        assert_eq!(serde_json::from_value::<Found>(json).unwrap(), found);
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let found = Found {
            thing: Thing::Volume("v".into()),
            name: None,
            instance_id: None,
            why: String::new(),
        };
        let mut report = SweepReport::begun(DateTime::UNIX_EPOCH, false);
        report.reported = vec![found; SweepReport::ENTRIES_MAX + 7];
        report.bound();
        assert_eq!(report.reported.len(), SweepReport::ENTRIES_MAX);
        assert_eq!(report.left_out, 7);
    }
}
