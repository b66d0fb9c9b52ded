//! OpenRouter's and AgentMail's clients.

use std::time::Duration;

use pool_domain::{InboxId, Instance, KeyHash, Secret};
use pool_simulator::accounts::{AccountRefusal, NewInbox, NewKey};
use pool_simulator::world::View;
use pool_simulator::{Fault, World};

use super::{CallError, Class, transport_after, transport_before};
use crate::database::{Database, Row};
use crate::place::Place;
use crate::story::Kind;

const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Pages of one list.
const PAGES_MAX: usize = 200;

/// A key that was just made.
#[derive(Debug, Clone)]
pub(crate) struct MadeKey {
    pub(crate) hash: KeyHash,
    pub(crate) key: Secret,
}

/// When something that is gone went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// By this call.
    Now,
    /// It was not found.
    Before,
}

#[derive(Clone, Copy)]
struct Call {
    account: &'static str,
    operation: &'static str,
    /// May be repeated.
    is_repeated: bool,
}

impl Place {
    pub(crate) async fn make_key(&self, name: &str) -> Result<MadeKey, CallError> {
        let call = Call {
            account: "openrouter",
            operation: "keyCreate",
            is_repeated: false,
        };
        let made = self.account(call, name, |world, _| {
            let new = NewKey {
                name: Some(name.to_owned()),
                ..NewKey::default()
            };
            let now = world.now();
            let made = world.accounts_mut().openrouter.create(now, new);
            if let Ok(key) = &made {
                self.note_stale_key(&key.hash);
            }
            made
        });
        made.await.map(|key| MadeKey {
            hash: KeyHash::new(key.hash),
            key: Secret::new(key.secret),
        })
    }

    pub(crate) async fn find_keys(&self, name: &str) -> Result<Vec<KeyHash>, CallError> {
        let call = Call {
            account: "openrouter",
            operation: "keyList",
            is_repeated: true,
        };
        let mut seen: Vec<String> = Vec::new();
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let offset = seen.len();
            let page = self
                .account(call, name, |world, view| {
                    Ok(world.openrouter().list(world.now(), offset, view))
                })
                .await?;
            for key in page {
                if !seen.contains(&key.hash) {
                    if key.name == name {
                        found.push(KeyHash::new(key.hash.clone()));
                    }
                    seen.push(key.hash);
                }
            }
            if seen.len() == offset {
                return Ok(found);
            }
        }
        Err(endless())
    }

    pub(crate) async fn delete_key(&self, hash: &KeyHash) -> Result<Deleted, CallError> {
        let call = Call {
            account: "openrouter",
            operation: "keyDelete",
            is_repeated: true,
        };
        let deleted = self.account(call, hash.as_str(), |world, _| {
            self.check_key(hash);
            let now = world.now();
            world.accounts_mut().openrouter.delete(now, hash.as_str())
        });
        gone_is_deleted(deleted.await)
    }

    pub(crate) async fn make_inbox(&self, name: &str) -> Result<InboxId, CallError> {
        let call = Call {
            account: "agentmail",
            operation: "inboxCreate",
            is_repeated: false,
        };
        let made = self.account(call, name, |world, _| {
            let new = NewInbox {
                username: Some(name.to_owned()),
                client_id: Some(name.to_owned()),
                ..NewInbox::default()
            };
            let now = world.now();
            world.accounts_mut().agentmail.create(now, new)
        });
        made.await.map(|inbox| InboxId::new(inbox.inbox_id))
    }

    pub(crate) async fn find_inbox(&self, name: &str) -> Result<Option<InboxId>, CallError> {
        let call = Call {
            account: "agentmail",
            operation: "inboxList",
            is_repeated: true,
        };
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self
                .account(call, name, |world, view| {
                    let account = world.agentmail();
                    account.list(world.now(), Some(100), token.as_deref(), view)
                })
                .await?;
            let mut inboxes = page.inboxes.into_iter();
            if let Some(inbox) = inboxes.find(|inbox| inbox.client_id.as_deref() == Some(name)) {
                return Ok(Some(InboxId::new(inbox.inbox_id)));
            }
            match page.next_page_token {
                None => return Ok(None),
                next if next == token => return Err(endless()),
                next => token = next,
            }
        }
        Err(endless())
    }

    pub(crate) async fn delete_inbox(&self, inbox: &InboxId) -> Result<Deleted, CallError> {
        let call = Call {
            account: "agentmail",
            operation: "inboxDelete",
            is_repeated: true,
        };
        let deleted = self.account(call, inbox.as_str(), |world, _| {
            self.check_inbox(inbox);
            let now = world.now();
            world.accounts_mut().agentmail.delete(now, inbox.as_str())
        });
        gone_is_deleted(deleted.await)
    }

    /// Of all that is made, keys alone are not unique by their name: one that a leader makes which
    /// led when it asked, and leads no more, is known to nobody. The sweep tells of it.
    fn note_stale_key(&self, hash: &str) {
        self.sim.database(|db| {
            if db.lock_holder() != Some(self.owner) {
                db.ledger.stale_keys.insert(hash.to_owned());
            }
        });
    }

    /// A key that a deployed instance uses goes only with the instance. While one is being made its
    /// key may be made anew.
    fn check_key(&self, hash: &KeyHash) {
        self.sim.database(|db| {
            let row = row_where(db, |row| row.openrouter_key_hash.as_ref() == Some(hash));
            if row.as_ref().is_some_and(|row| is_whole(db, row)) {
                db.ledger.deletes("key", row.as_ref());
            }
        });
    }

    fn check_inbox(&self, inbox: &InboxId) {
        self.sim.database(|db| {
            let row = row_where(db, |row| row.agentmail_inbox_id.as_ref() == Some(inbox));
            db.ledger.deletes("inbox", row.as_ref());
        });
    }

    async fn account<T>(
        &self,
        call: Call,
        about: &str,
        carry_out: impl Fn(&mut World, &View) -> Result<T, AccountRefusal>,
    ) -> Result<T, CallError> {
        let mut pause = FIRST_PAUSE;
        let mut tries_left = RETRIES;
        loop {
            let answered = self.account_once(call, &carry_out).await;
            self.sim.tell(Kind::Call, || {
                let end = match &answered {
                    Ok(_) => "done".to_owned(),
                    Err(error) => error.to_string(),
                };
                format!(
                    "server {}: {} {about}: {end}",
                    self.server + 1,
                    call.operation
                )
            });
            let Err(error) = &answered else {
                return answered;
            };
            self.sim.count(|counts| counts.failed_calls += 1);
            let passes = matches!(
                error.class,
                Class::Network | Class::Timeout | Class::Transient
            );
            if !call.is_repeated || !passes || tries_left == 0 {
                return answered;
            }
            tries_left -= 1;
            self.sim.scheduler.sleep(pause).await;
            pause *= 2;
        }
    }

    async fn account_once<T>(
        &self,
        call: Call,
        carry_out: impl Fn(&mut World, &View) -> Result<T, AccountRefusal>,
    ) -> Result<T, CallError> {
        self.step().await;
        self.pause(20, 300).await;
        let names = [call.account, call.operation];
        let faults = self.sim.world(|world| world.admit_account(&names));
        let (delay, failed) = transport_before(&faults, TIMEOUT);
        self.sim.scheduler.sleep(delay).await;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if let Some(refused) = faults.iter().find_map(|fault| refused_by(fault, call)) {
            return Err(refused);
        }
        let view = View::through(&faults);
        let done = self.sim.world(|world| carry_out(world, &view));
        let (delay, failed) = match &done {
            Ok(_) => transport_after(&faults, TIMEOUT),
            Err(_) => (Duration::ZERO, None),
        };
        self.sim.scheduler.sleep(delay).await;
        self.pause(20, 300).await;
        self.step().await;
        match failed {
            Some(failed) => Err(failed),
            None => done.map_err(|refusal| said(refusal.status, refusal.message)),
        }
    }
}

fn row_where(db: &Database, is_it: impl Fn(&Instance) -> bool) -> Option<Row> {
    db.rows().find(|row| is_it(&row.instance)).cloned()
}

fn is_whole(db: &Database, row: &Row) -> bool {
    db.provision(&row.instance.id)
        .is_none_or(|provision| provision.stage == pool_domain::Stage::Created)
}

fn gone_is_deleted(deleted: Result<(), CallError>) -> Result<Deleted, CallError> {
    match deleted {
        Err(error) if error.class == Class::NotFound => Ok(Deleted::Before),
        deleted => deleted.map(|()| Deleted::Now),
    }
}

fn endless() -> CallError {
    CallError::new(Class::Undecodable, false, "the list does not end")
}

fn said(status: u16, message: &str) -> CallError {
    let class = match status {
        401 | 403 => Class::NotAuthorized,
        404 => Class::NotFound,
        408 | 500..=599 => Class::Transient,
        429 => Class::RateLimited,
        _ => Class::BadRequest,
    };
    CallError::new(class, class == Class::Transient, message)
}

fn refused_by(fault: &Fault, call: Call) -> Option<CallError> {
    let creates = call.operation.ends_with("Create");
    match fault {
        Fault::RateLimited { .. } => Some(said(429, "Rate limit exceeded")),
        Fault::HtmlOk => Some(CallError::new(Class::Undecodable, true, "a page of HTML")),
        Fault::NotAuthorized => Some(said(401, "Unauthorized")),
        Fault::BadRequest | Fault::Drift => Some(said(400, "Invalid request")),
        Fault::ProblemProcessing | Fault::NullAnswer { .. } | Fault::Error { .. } => {
            Some(said(500, "Internal Server Error"))
        }
        Fault::CreationThrottle if creates => Some(said(429, "Too many requests")),
        Fault::ProvisionLimit if creates => Some(said(402, "The limit of your plan is reached")),
        _ => None,
    }
}
