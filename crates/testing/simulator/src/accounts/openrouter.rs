//! OpenRouter's management of keys: made with a name that need not be unique, told once, listed a
//! hundred at a time beginning with the latest, and deleted by their hash.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::AccountRefusal;
use super::forgetting::forget;
use crate::world::View;

/// How many keys one page has.
const PAGE_SIZE: usize = 100;

#[derive(Debug, Clone)]
pub struct OpenRouter {
    rng: fastrand::Rng,
    management_key: String,
    keys: Vec<Key>,
}

/// A key that may spend something.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// By which it is deleted.
    pub hash: String,
    /// The key itself; a client is told it once.
    pub secret: String,
    pub name: String,
    /// What it may spend, in US dollars.
    pub limit: Option<f64>,
    /// When what was spent is forgotten.
    pub limit_reset: Option<String>,
    pub created_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct NewKey {
    pub name: Option<String>,
    /// What it may spend, in US dollars.
    pub limit: Option<f64>,
    /// `daily`, `weekly` or `monthly`.
    pub limit_reset: Option<String>,
}

impl OpenRouter {
    pub(super) fn new(mut rng: fastrand::Rng) -> Self {
        let management_key = format!("sk-or-management-{:032x}", rng.u128(..));
        Self {
            rng,
            management_key,
            keys: Vec::new(),
        }
    }

    /// The key that makes and deletes keys.
    pub(crate) fn management_key(&self) -> &str {
        &self.management_key
    }

    /// The keys that were not deleted, oldest first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.deleted_at.is_none())
    }

    /// A key by its secret, a deleted one too.
    #[must_use]
    pub fn key_with_secret(&self, secret: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.secret == secret)
    }

    /// `POST /api/v1/keys`.
    ///
    /// # Errors
    ///
    /// 400 without a name, or with a reset of the limit that is none.
    pub fn create(&mut self, now: DateTime<Utc>, new: NewKey) -> Result<Key, AccountRefusal> {
        const NAMELESS: AccountRefusal = AccountRefusal::new(400, "name is required");
        const RESET: AccountRefusal = AccountRefusal::new(400, "limit_reset is invalid");
        let name = new.name.filter(|name| !name.is_empty()).ok_or(NAMELESS)?;
        let reset = new.limit_reset.as_deref();
        if !matches!(reset, None | Some("daily" | "weekly" | "monthly")) {
            return Err(RESET);
        }
        let key = Key {
            hash: format!("{:032x}{:032x}", self.rng.u128(..), self.rng.u128(..)),
            secret: format!(
                "sk-or-v1-{:032x}{:032x}",
                self.rng.u128(..),
                self.rng.u128(..)
            ),
            name,
            limit: new.limit,
            limit_reset: new.limit_reset,
            created_at: now,
            deleted_at: None,
        };
        self.keys.push(key.clone());
        Ok(key)
    }

    /// `GET /api/v1/keys`: a page, the latest key first. A key made or deleted meanwhile moves the
    /// others to another page. An endless list begins again where it ends, as that of a server which
    /// does not know of offsets does.
    #[must_use]
    pub fn list(&self, now: DateTime<Utc>, offset: usize, view: &View) -> Vec<Key> {
        let size = view.page_max.map_or(PAGE_SIZE, |max| max.min(PAGE_SIZE));
        let keys = (0..).zip(&self.keys);
        let shown = keys.filter(|(_, key)| view.shows(now, key.created_at, key.deleted_at));
        let shown = view.bend(shown.collect());
        let count = shown.len();
        let offset = match offset.checked_rem(count) {
            Some(again) if view.endless => again,
            _ => offset,
        };
        let latest_first = shown.into_iter().rev().map(|(_, key)| key);
        latest_first.skip(offset).take(size).cloned().collect()
    }

    /// `DELETE /api/v1/keys/{hash}`.
    ///
    /// # Errors
    ///
    /// 404 where there is no such key, or no longer.
    pub fn delete(&mut self, now: DateTime<Utc>, hash: &str) -> Result<(), AccountRefusal> {
        const GONE: AccountRefusal = AccountRefusal::new(404, "API key not found");
        let mut alive = self.keys.iter_mut().filter(|key| key.deleted_at.is_none());
        alive.find(|key| key.hash == hash).ok_or(GONE)?.deleted_at = Some(now);
        forget(&mut self.keys, |key| key.deleted_at.is_some());
        Ok(())
    }
}
