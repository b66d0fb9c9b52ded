//! AgentMail's inboxes: made with a client id, of which there is only one inbox, so that making it
//! again gives the same; listed page by page with tokens; deleted by their address.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::AccountRefusal;
use super::forgetting::forget;
use crate::world::View;

/// The largest page.
const PAGE_MAX: usize = 100;

/// The page where none is asked for. The documentation's own examples have ten; a small one finds
/// out the client that does not page.
const PAGE_DEFAULT: usize = 10;

/// Where inboxes are made that name no domain.
const DOMAIN: &str = "agentmail.to";

#[derive(Debug, Clone)]
pub struct AgentMail {
    rng: fastrand::Rng,
    api_key: String,
    pod_id: String,
    seq: u64,
    inboxes: Vec<Inbox>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// Its address, by which it is deleted.
    pub inbox_id: String,
    /// What the client calls it.
    pub client_id: Option<String>,
    /// Who a person sees as the sender.
    pub display_name: Option<String>,
    pub created_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    seq: u64,
}

/// What a new inbox is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct NewInbox {
    /// What stands before the @; made up where there is none.
    pub username: Option<String>,
    /// What stands behind it; AgentMail's own where there is none.
    pub domain: Option<String>,
    /// Who a person sees as the sender.
    pub display_name: Option<String>,
    /// What the client calls it.
    pub client_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    pub inboxes: Vec<Inbox>,
    /// How many were asked for.
    pub limit: usize,
    /// What leads to the next page, where there is one.
    pub next_page_token: Option<String>,
}

impl AgentMail {
    pub(super) fn new(mut rng: fastrand::Rng) -> Self {
        let api_key = format!("am_{:032x}", rng.u128(..));
        let pod_id = format!("pod-{:08x}", rng.u32(..));
        Self {
            rng,
            api_key,
            pod_id,
            seq: 0,
            inboxes: Vec::new(),
        }
    }

    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The account's only pod.
    pub(crate) fn pod_id(&self) -> &str {
        &self.pod_id
    }

    /// The inboxes that were not deleted, oldest first.
    pub fn inboxes(&self) -> impl Iterator<Item = &Inbox> {
        self.inboxes
            .iter()
            .filter(|inbox| inbox.deleted_at.is_none())
    }

    /// An inbox by its address; a deleted one where none is alive.
    #[must_use]
    pub fn inbox(&self, inbox_id: &str) -> Option<&Inbox> {
        let mut alive = self.inboxes();
        alive.find(|inbox| inbox.inbox_id == inbox_id).or_else(|| {
            let mut deleted = self.inboxes.iter().rev();
            deleted.find(|inbox| inbox.inbox_id == inbox_id)
        })
    }

    /// `POST /v0/inboxes`. With a client id that an inbox has already, that inbox.
    ///
    /// # Errors
    ///
    /// 403 for a user name that another inbox has, 404 for a domain that is not the account's.
    pub fn create(&mut self, now: DateTime<Utc>, new: NewInbox) -> Result<Inbox, AccountRefusal> {
        const TAKEN: AccountRefusal = AccountRefusal::new(403, "Username is already taken");
        const NO_DOMAIN: AccountRefusal = AccountRefusal::new(404, "Domain not found");
        let again = new.client_id.as_ref().and_then(|client_id| {
            let mut alive = self.inboxes();
            alive.find(|inbox| inbox.client_id.as_ref() == Some(client_id))
        });
        if let Some(inbox) = again {
            return Ok(inbox.clone());
        }
        let username = match new.username.filter(|username| !username.is_empty()) {
            Some(username) => username,
            None => format!("agent{:08x}", self.rng.u32(..)),
        };
        let domain = new.domain.unwrap_or_else(|| DOMAIN.to_owned());
        if domain.is_empty() || domain.contains(char::is_whitespace) {
            return Err(NO_DOMAIN);
        }
        let inbox_id = format!("{username}@{domain}");
        if self.inboxes().any(|inbox| inbox.inbox_id == inbox_id) {
            return Err(TAKEN);
        }
        self.seq += 1;
        let inbox = Inbox {
            inbox_id,
            client_id: new.client_id,
            display_name: new.display_name,
            created_at: now,
            deleted_at: None,
            seq: self.seq,
        };
        self.inboxes.push(inbox.clone());
        Ok(inbox)
    }

    /// `GET /v0/inboxes`: a page, the oldest inbox first.
    ///
    /// # Errors
    ///
    /// 400 for a page token that is none.
    pub fn list(
        &self,
        now: DateTime<Utc>,
        limit: Option<usize>,
        page_token: Option<&str>,
        view: &View,
    ) -> Result<InboxPage, AccountRefusal> {
        const BAD_TOKEN: AccountRefusal = AccountRefusal::new(400, "Invalid page token");
        let after = match page_token.filter(|token| !token.is_empty()) {
            Some(token) => number_of(token).ok_or(BAD_TOKEN)?,
            None => 0,
        };
        let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let size = view.page_max.map_or(limit, |max| limit.min(max.max(1)));
        let shown = (self.inboxes.iter())
            .filter(|inbox| view.shows(now, inbox.created_at, inbox.deleted_at));
        let shown = view.bend(shown.map(|inbox| (inbox.seq, inbox)).collect());
        let mut rest = shown
            .into_iter()
            .filter(|(seq, _)| *seq > after)
            .map(|(_, inbox)| inbox);
        let inboxes: Vec<_> = rest.by_ref().take(size).cloned().collect();
        let more = rest.next().is_some() || view.endless;
        let last = inboxes.last().filter(|_| more);
        Ok(InboxPage {
            next_page_token: last.map(|inbox| token_of(inbox.seq)),
            inboxes,
            limit,
        })
    }

    /// `DELETE /v0/inboxes/{inbox_id}`.
    ///
    /// # Errors
    ///
    /// 404 where there is no such inbox, or no longer.
    pub fn delete(&mut self, now: DateTime<Utc>, inbox_id: &str) -> Result<(), AccountRefusal> {
        const GONE: AccountRefusal = AccountRefusal::new(404, "Inbox not found");
        let mut alive = self
            .inboxes
            .iter_mut()
            .filter(|inbox| inbox.deleted_at.is_none());
        let inbox = alive.find(|inbox| inbox.inbox_id == inbox_id).ok_or(GONE)?;
        inbox.deleted_at = Some(now);
        forget(&mut self.inboxes, |inbox| inbox.deleted_at.is_some());
        Ok(())
    }
}

/// A token says nothing to its reader.
fn token_of(seq: u64) -> String {
    format!("pt{:016x}", seq.reverse_bits())
}

fn number_of(token: &str) -> Option<u64> {
    let digits = token.strip_prefix("pt")?;
    Some(u64::from_str_radix(digits, 16).ok()?.reverse_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn named(name: &str) -> NewInbox {
        NewInbox {
            username: Some(name.to_owned()),
            client_id: Some(name.to_owned()),
            ..NewInbox::default()
        }
    }

    fn account() -> AgentMail {
        AgentMail::new(fastrand::Rng::with_seed(1))
    }

    #[test]
    fn an_inbox_made_again_is_the_same_and_after_its_end_a_new_one() {
        let mut account = account();
        let first = account.create(NOW, named("Ada")).unwrap();
        assert_eq!(first.inbox_id, "Ada@agentmail.to");
        assert_eq!(account.create(NOW, named("Ada")), Ok(first.clone()));
        account.delete(NOW, &first.inbox_id).unwrap();
        assert_eq!(
            account.delete(NOW, &first.inbox_id).unwrap_err().status,
            404
        );
        let second = account.create(NOW, named("Ada")).unwrap();
        assert_ne!(second, first);
        assert_eq!(account.inboxes().count(), 1);
    }

    #[test]
    fn an_address_that_another_client_id_has_is_taken() {
        let mut account = account();
        account.create(NOW, named("ada")).unwrap();
        let other = NewInbox {
            client_id: Some("other".to_owned()),
            ..named("ada")
        };
        assert_eq!(account.create(NOW, other).unwrap_err().status, 403);
    }

    #[test]
    fn pages_follow_one_another_while_inboxes_go() {
        let mut account = account();
        for number in 0..5 {
            account.create(NOW, named(&format!("a{number}"))).unwrap();
        }
        let first = account.list(NOW, Some(2), None, &View::default()).unwrap();
        let token = first.next_page_token.unwrap();
        account.delete(NOW, "a1@agentmail.to").unwrap();
        let second = account
            .list(NOW, Some(100), Some(&token), &View::default())
            .unwrap();
        let names: Vec<_> = second
            .inboxes
            .iter()
            .filter_map(|i| i.client_id.clone())
            .collect();
        assert_eq!(names, ["a2", "a3", "a4"]);
        assert_eq!(second.next_page_token, None);
        let bad = account.list(NOW, None, Some("x"), &View::default());
        assert_eq!(bad.unwrap_err().status, 400);
    }
}
