//! Who wants what: businesses, instances and webhooks in memory, written through to the store.
//!
//! - A change is durable before it is visible, visible before it is told to subscribers, and never half applied:
//!   also when the caller goes away in the middle of it.
//! - Changes are made one at a time; [`Directory::transact`] decides on what is there and writes without a gap between the two.
//! - Reads never wait for the store. [`Directory::route`] is one look into a map for an instance that was asked for before.
//! - Where other processes change the store's directory too, [`Directory::reload`] takes their changes over, and a version tells whether
//!   there are any: before each change, and when somebody asks for what is not known ([`Directory::catch_up`]).
//! - Nothing outlives its owner: deleting a business deletes its instances, deleting either deletes its webhooks.

mod change;
mod records;
mod route;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc};

pub use change::Changed;
pub use records::Records;
pub use route::Route;

use crate::domain::{Business, BusinessId, Instance, InstanceId, Timestamp, Webhook, WebhookId};
use crate::store::{DirectoryChange, Store, StoreError};
use route::Routes;

/// A handle to share; see the module.
#[derive(Debug)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    records: RwLock<Records>,
    routes: Routes,
    /// Held from the decision to the last subscriber told.
    writing: Arc<AsyncMutex<()>>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Changed>>>,
    /// Of what is in memory; see [`Store::directory_version`].
    version: Mutex<Option<u64>>,
    looked_at: Mutex<Instant>,
}

impl Directory {
    /// # Errors
    /// When the store cannot be read.
    pub async fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let version = store.directory_version().await?;
        let records = Records::from_stored(store.directory().await?);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                records: RwLock::new(records),
                routes: Routes::default(),
                writing: Arc::default(),
                subscribers: Mutex::default(),
                version: Mutex::new(version),
                looked_at: Mutex::new(Instant::now()),
            }),
        })
    }

    /// Several reads of one moment. Changes wait until `look` is done.
    pub fn read<T>(&self, look: impl FnOnce(&Records) -> T) -> T {
        look(&self.inner.records.read())
    }

    /// Cached; rebuilt on a change of the instance, its business or one of their webhooks.
    pub fn route(&self, instance: &InstanceId) -> Option<Arc<Route>> {
        self.inner.routes.get(instance, &self.inner.records)
    }

    pub fn business(&self, id: BusinessId) -> Option<Arc<Business>> {
        self.read(|records| records.business(id).cloned())
    }

    /// Whose token this is; compared in constant time.
    pub fn business_by_token(&self, token: &str) -> Option<Arc<Business>> {
        self.read(|records| records.business_by_token(token).cloned())
    }

    /// Oldest first.
    pub fn businesses(&self) -> Vec<Arc<Business>> {
        self.read(Records::businesses)
    }

    pub fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.read(|records| records.instance(id).cloned())
    }

    pub fn instance_by_name(&self, business: BusinessId, name: &str) -> Option<Arc<Instance>> {
        self.read(|records| records.instance_by_name(business, name).cloned())
    }

    /// Oldest first.
    pub fn instances_of_business(&self, id: BusinessId) -> Vec<Arc<Instance>> {
        self.read(|records| records.instances_of(id).cloned().collect())
    }

    pub fn webhook(&self, id: WebhookId) -> Option<Arc<Webhook>> {
        self.read(|records| records.webhook(id).cloned())
    }

    /// Oldest first.
    pub fn webhooks_of_instance(&self, id: &InstanceId) -> Vec<Arc<Webhook>> {
        self.read(|records| records.webhooks_of(id).to_vec())
    }

    pub fn business_webhook(&self, id: BusinessId) -> Option<Arc<Webhook>> {
        self.read(|records| records.business_webhook(id).cloned())
    }

    pub fn instance_count(&self) -> usize {
        self.read(Records::instance_count)
    }

    pub fn all_webhooks(&self) -> Vec<Arc<Webhook>> {
        self.read(|records| records.webhooks().cloned().collect())
    }

    /// Makes changes durable, then visible, then known to subscribers. One at a time.
    /// A put whose owner has been deleted meanwhile is left out; [`Self::transact`] lets a caller notice.
    ///
    /// # Errors
    /// When the store refuses; nothing has changed then.
    pub async fn apply(&self, changes: Vec<DirectoryChange>) -> Result<(), StoreError> {
        self.transact(|_| Ok((changes, ()))).await
    }

    /// Decides on what is there now and applies the decision, with no other change in between.
    ///
    /// # Errors
    /// What `decide` answers, or as [`Self::apply`].
    pub async fn transact<T, E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&Records) -> Result<(Vec<DirectoryChange>, T), E>,
    ) -> Result<T, E> {
        let turn = Arc::clone(&self.inner.writing).lock_owned().await;
        if self.is_shared() {
            self.inner.take_over_changes().await?;
        }
        let (changes, answer) = self.read(|records| {
            decide(records).map(|(changes, answer)| (change::with_cascades(records, changes), answer))
        })?;
        self.commit(turn, changes).await?;
        Ok(answer)
    }

    /// In a task of its own: a caller that goes away must not leave a change durable and invisible.
    async fn commit(&self, turn: OwnedMutexGuard<()>, changes: Vec<DirectoryChange>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        let commit = tokio::spawn(async move {
            inner.store.change_directory(changes.clone()).await?;
            inner.publish(changes);
            inner.note_own_change().await;
            drop(turn);
            Ok(())
        });
        match commit.await {
            Ok(result) => result,
            Err(ended) if ended.is_cancelled() => Err(StoreError::Closed),
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Takes over what other processes have changed in the store, and tells subscribers of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.inner.writing.lock().await;
        self.inner.take_over_changes().await
    }

    /// Whether other processes may change the store's directory too.
    pub fn is_shared(&self) -> bool {
        self.inner.version.lock().is_some()
    }

    /// As [`Self::reload`], for callers that miss something: those who come while one looks share what it finds. Answers whether
    /// the store was looked at; without other processes it need not be.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn catch_up(&self) -> Result<bool, StoreError> {
        let missed_at = Instant::now();
        if !self.is_shared() {
            return Ok(false);
        }
        let _turn = self.inner.writing.lock().await;
        if *self.inner.looked_at.lock() < missed_at {
            self.inner.take_over_changes().await?;
        }
        Ok(true)
    }

    /// Reads, changes and writes one webhook without a lost update; `None` when it does not exist.
    /// Sets `updated_at`; a change that changes nothing is not written.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn update_webhook(
        &self,
        id: WebhookId,
        change: impl FnOnce(&mut Webhook) + Send,
    ) -> Result<Option<Arc<Webhook>>, StoreError> {
        self.transact(|records| {
            let Some(old) = records.webhook(id) else { return Ok((vec![], false)) };
            let mut new = Webhook::clone(old);
            change(&mut new);
            if new == **old {
                return Ok((vec![], true));
            }
            new.updated_at = Timestamp::now();
            Ok::<_, StoreError>((vec![DirectoryChange::PutWebhook(Box::new(new))], true))
        })
        .await
        .map(|found| if found { self.webhook(id) } else { None })
    }

    /// As [`Self::update_webhook`], for an instance.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn update_instance(
        &self,
        id: &InstanceId,
        change: impl FnOnce(&mut Instance) + Send,
    ) -> Result<Option<Arc<Instance>>, StoreError> {
        self.transact(|records| {
            let Some(old) = records.instance(id) else { return Ok((vec![], false)) };
            let mut new = Instance::clone(old);
            change(&mut new);
            if new == **old {
                return Ok((vec![], true));
            }
            new.updated_at = Timestamp::now();
            Ok::<_, StoreError>((vec![DirectoryChange::PutInstance(Box::new(new))], true))
        })
        .await
        .map(|found| if found { self.instance(id) } else { None })
    }

    /// Changes from now on, in the order they became visible.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Changed> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inner.subscribers.lock().push(sender);
        receiver
    }
}

impl Inner {
    /// Only while `writing` is held.
    async fn take_over_changes(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let version = self.store.directory_version().await?;
        if version.is_none() || version != *self.version.lock() {
            let stored = self.store.directory().await?;
            let changes = change::difference(&self.records.read(), stored);
            if !changes.is_empty() {
                self.publish(changes);
            }
            *self.version.lock() = version;
        }
        *self.looked_at.lock() = began;
        Ok(())
    }

    /// A change of one's own need not be read back, unless others have made changes meanwhile.
    async fn note_own_change(&self) {
        let before = *self.version.lock();
        if let Some(before) = before
            && let Ok(Some(now)) = self.store.directory_version().await
            && now == before + 1
        {
            *self.version.lock() = Some(now);
        }
    }

    fn publish(&self, changes: Vec<DirectoryChange>) {
        let mut told = Vec::new();
        {
            let mut records = self.records.write();
            for change in changes {
                change::make_visible(&mut records, &self.routes, change, &mut told);
            }
        }
        self.subscribers.lock().retain(|subscriber| told.iter().all(|event| subscriber.send(event.clone()).is_ok()));
    }
}

#[cfg(test)]
mod tests;
