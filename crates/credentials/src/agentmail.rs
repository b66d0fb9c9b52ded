//! AgentMail: one inbox for each instance, found again by its client id.

use pool_domain::InboxId;
use pool_domain::sweep::ListedInbox;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::account::{Account, MAX_PAGES, Request, segment};
use crate::client::AgentMail;
use crate::{Credentials, Deleted, Error};

/// What a person sees as the sender.
const DISPLAY_NAME: &str = "Convos Agent";

/// The largest page that AgentMail gives.
const PAGE_SIZE: usize = 100;

#[derive(Deserialize)]
struct Inbox {
    inbox_id: String,
    #[serde(default)]
    client_id: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    inboxes: Vec<Inbox>,
    #[serde(default)]
    next_page_token: Option<String>,
}

impl Credentials {
    /// Makes an inbox with this name as user name and client id, of which there is only one: made
    /// again, it is the same.
    ///
    /// # Errors
    ///
    /// [`Error`], of class `NotConfigured` without an account. What passes by itself was repeated
    /// already, as often as it may be; repeating it later gives the same inbox.
    pub async fn make_inbox(&self, name: &str) -> Result<InboxId, Error> {
        let agentmail = self.agentmail("make_inbox")?;
        let mut body = json!({
            "username": name,
            "display_name": DISPLAY_NAME,
            "client_id": name,
        });
        if let Some(domain) = &agentmail.domain {
            body["domain"] = json!(domain);
        }
        let made = agentmail.account.make(Request {
            operation: "make_inbox",
            method: Method::POST,
            path: "/v0/inboxes".to_owned(),
            query: Vec::new(),
            body: Some(body),
        });
        let made: Inbox = made.await?;
        Ok(InboxId::new(made.inbox_id))
    }

    /// The inbox with this client id, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::list_inboxes`].
    pub async fn find_inbox(&self, client_id: &str) -> Result<Option<InboxId>, Error> {
        let mut pages = self.agentmail("find_inbox")?.pages("find_inbox");
        while let Some(inboxes) = pages.next().await? {
            let mut inboxes = inboxes.into_iter();
            if let Some(inbox) = inboxes.find(|i| i.client_id.as_deref() == Some(client_id)) {
                return Ok(Some(InboxId::new(inbox.inbox_id)));
            }
        }
        Ok(None)
    }

    /// Every inbox of the account, whosever it is. An error where a page of them did not arrive.
    ///
    /// # Errors
    ///
    /// [`Error`] where any page did not arrive whole: part of a list is none. Where
    /// [`Error::is_retryable`], it passes by itself.
    pub async fn list_inboxes(&self) -> Result<Vec<ListedInbox>, Error> {
        let mut pages = self.agentmail("list_inboxes")?.pages("list_inboxes");
        let mut all = Vec::new();
        while let Some(inboxes) = pages.next().await? {
            all.extend(inboxes.into_iter().map(|inbox| ListedInbox {
                inbox_id: InboxId::new(inbox.inbox_id),
                client_id: inbox.client_id,
            }));
        }
        Ok(all)
    }

    /// Deletes an inbox, and says whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error`]; deleting again does no harm. One that is not there is no error.
    pub async fn delete_inbox(&self, inbox: &InboxId) -> Result<Deleted, Error> {
        let account = &self.agentmail("delete_inbox")?.account;
        // No inbox can have such an id, so there is nothing to delete.
        let Some(segment) = segment(inbox.as_str()) else {
            return Ok(Deleted::NotFound);
        };
        account
            .delete(Request {
                operation: "delete_inbox",
                method: Method::DELETE,
                path: format!("/v0/inboxes/{segment}"),
                query: Vec::new(),
                body: None,
            })
            .await
    }
}

/// The account's inboxes, page by page.
struct Pages<'a> {
    account: &'a Account,
    operation: &'static str,
    token: Option<String>,
    read: usize,
    is_over: bool,
}

impl Pages<'_> {
    /// The inboxes of the next page; none after the last one.
    async fn next(&mut self) -> Result<Option<Vec<Inbox>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let endless = |message| Err(self.account.endless(self.operation, message));
        if self.read == MAX_PAGES {
            return endless("there are more pages than we read");
        }
        let mut query = vec![("limit", PAGE_SIZE.to_string())];
        query.extend(self.token.iter().map(|token| ("page_token", token.clone())));
        let request = Request {
            operation: self.operation,
            method: Method::GET,
            path: "/v0/inboxes".to_owned(),
            query,
            body: None,
        };
        let page: Page = self.account.read(request).await?;
        self.read += 1;
        let next = page.next_page_token.filter(|token| !token.is_empty());
        if next.is_some() && next == self.token {
            return endless("a page leads back to itself");
        }
        self.is_over = next.is_none();
        self.token = next;
        Ok(Some(page.inboxes))
    }
}

impl AgentMail {
    fn pages(&self, operation: &'static str) -> Pages<'_> {
        Pages {
            account: &self.account,
            operation,
            token: None,
            read: 0,
            is_over: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_page_makes_it_panic_and_an_inbox_without_an_id_spoils_it(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            ids in prop::collection::vec("\\PC{0,12}", 0..5),
            client_id in prop::option::of("\\PC{0,12}"),
            next in prop::option::of("\\PC{0,12}"),
            odd in prop_oneof![Just(json!(null)), Just(json!([])), Just(json!(7)), Just(json!({}))],
        ) {
            let _ = serde_json::from_slice::<Page>(&bytes);
            let inboxes: Vec<_> = ids
                .iter()
                .map(|id| json!({"inbox_id": id, "client_id": client_id}))
                .collect();
            let page = json!({"inboxes": inboxes, "next_page_token": next});
            let page: Page = serde_json::from_value(page).unwrap();
            let read: Vec<_> = page.inboxes.iter().map(|it| (&it.inbox_id, &it.client_id)).collect();
            let told: Vec<_> = ids.iter().map(|id| (id, &client_id)).collect();
            prop_assert_eq!((read, page.next_page_token), (told, next));
            // Read as a shorter list, it would say that an inbox is gone.
            let spoiled = [inboxes, vec![json!({"inbox_id": odd})]].concat();
            let read = serde_json::from_value::<Page>(json!({"inboxes": spoiled}));
            prop_assert!(read.is_err());
        }
    }
}
