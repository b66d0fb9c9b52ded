//! OpenRouter: one API key for each instance, with a limit on what it may spend.

use std::collections::HashSet;

use pool_domain::sweep::ListedKey;
use pool_domain::{KeyHash, Secret};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::account::{MAX_PAGES, Request, segment};
use crate::{Credentials, Deleted, Error};

/// A key that was just made. The secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeKey {
    /// By which it is deleted.
    pub hash: KeyHash,
    /// The key itself, which OpenRouter tells this once.
    pub key: Secret,
}

#[derive(Deserialize)]
struct Made {
    key: String,
    data: Key,
}

#[derive(Deserialize)]
struct Key {
    hash: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Key>,
}

impl Credentials {
    /// Makes a key of this name. Names are not unique: after a lost answer there may be one already
    /// ([`Self::find_keys`]), whose secret nobody can know any more.
    ///
    /// # Errors
    ///
    /// [`Error`], of class `NotConfigured` without an account. It is not repeated where the answer
    /// was lost: then [`Error::may_have_happened`], and the key is found by its name.
    pub async fn make_key(&self, name: &str) -> Result<MadeKey, Error> {
        let openrouter = self.openrouter("make_key")?;
        let made = openrouter.account.make(Request {
            operation: "make_key",
            method: Method::POST,
            path: "/api/v1/keys".to_owned(),
            query: Vec::new(),
            body: Some(json!({
                "name": name,
                "limit": openrouter.key_limit,
                "limit_reset": openrouter.limit_reset,
            })),
        });
        let made: Made = made.await?;
        Ok(MadeKey {
            hash: KeyHash::new(made.data.hash),
            key: Secret::new(made.key),
        })
    }

    /// Every key of exactly this name.
    ///
    /// # Errors
    ///
    /// As [`Self::list_keys`].
    pub async fn find_keys(&self, name: &str) -> Result<Vec<KeyHash>, Error> {
        let keys = self.all_keys("find_keys").await?.into_iter();
        let keys = keys.filter(|key| key.name.as_deref() == Some(name));
        Ok(keys.map(|key| key.hash).collect())
    }

    /// Every key of the account, whosever it is. An error where a page of them did not arrive.
    ///
    /// # Errors
    ///
    /// [`Error`] where any page did not arrive whole: part of a list is none. Where
    /// [`Error::is_retryable`], it passes by itself.
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>, Error> {
        self.all_keys("list_keys").await
    }

    async fn all_keys(&self, operation: &'static str) -> Result<Vec<ListedKey>, Error> {
        let account = &self.openrouter(operation)?.account;
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            // Keys with which we were counted: a page that brings nothing new is the end too, for a
            // server that does not know of offsets.
            let offset = seen.len();
            let page: Page = account
                .read(Request {
                    operation,
                    method: Method::GET,
                    path: "/api/v1/keys".to_owned(),
                    query: vec![("offset", offset.to_string())],
                    body: None,
                })
                .await?;
            for key in page.data {
                if seen.insert(key.hash.clone()) {
                    all.push(ListedKey {
                        hash: KeyHash::new(key.hash),
                        name: key.name,
                    });
                }
            }
            if seen.len() == offset {
                return Ok(all);
            }
        }
        Err(account.endless(operation, "there are more pages than we read"))
    }

    /// Deletes a key, and says whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error`]; deleting again does no harm. One that is not there is no error.
    pub async fn delete_key(&self, hash: &KeyHash) -> Result<Deleted, Error> {
        let account = &self.openrouter("delete_key")?.account;
        // No key can have such a hash, so there is nothing to delete.
        let Some(segment) = segment(hash.as_str()) else {
            return Ok(Deleted::NotFound);
        };
        account
            .delete(Request {
                operation: "delete_key",
                method: Method::DELETE,
                path: format!("/api/v1/keys/{segment}"),
                query: Vec::new(),
                body: None,
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_page_makes_it_panic_and_a_key_without_a_hash_spoils_it(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            hashes in prop::collection::vec("\\PC{0,12}", 0..5),
            name in prop::option::of("\\PC{0,12}"),
            odd in prop_oneof![Just(json!(null)), Just(json!([])), Just(json!(7)), Just(json!({}))],
        ) {
            let _ = serde_json::from_slice::<Page>(&bytes);
            let _ = serde_json::from_slice::<Made>(&bytes);
            let keys: Vec<_> = hashes.iter().map(|hash| json!({"hash": hash, "name": name})).collect();
            let page: Page = serde_json::from_value(json!({"data": keys})).unwrap();
            let read: Vec<_> = page.data.iter().map(|key| (&key.hash, &key.name)).collect();
            let told: Vec<_> = hashes.iter().map(|hash| (hash, &name)).collect();
            prop_assert_eq!(read, told);
            // Read as a shorter list, it would say that a key is gone.
            let spoiled = [keys, vec![json!({"hash": odd})]].concat();
            let read = serde_json::from_value::<Page>(json!({"data": spoiled}));
            prop_assert!(read.is_err());
        }
    }
}
