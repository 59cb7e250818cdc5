//! The records in memory and the indexes over them. Whoever changes them has already made the change durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use ring::digest;
use subtle::ConstantTimeEq;

use crate::domain::{Business, BusinessId, Instance, InstanceId, Timestamp, Webhook, WebhookId, WebhookOwner};
use crate::store::DirectoryRecords;

/// Businesses, instances and webhooks with the ways to find them.
#[derive(Debug, Default)]
pub struct Records {
    businesses: AHashMap<BusinessId, Tenant>,
    instances: AHashMap<InstanceId, Held>,
    webhooks: AHashMap<WebhookId, Arc<Webhook>>,
    /// By SHA-256 of the token: how long the look takes tells nothing of the token itself.
    tokens: AHashMap<[u8; 32], BusinessId>,
}

#[derive(Debug)]
struct Tenant {
    business: Arc<Business>,
    /// In the order of creation: pages stay put while others are added.
    instances: BTreeMap<(Timestamp, InstanceId), Arc<Instance>>,
    names: AHashMap<Box<str>, InstanceId>,
    webhook: Option<Arc<Webhook>>,
}

#[derive(Debug)]
struct Held {
    instance: Arc<Instance>,
    /// In the order of creation.
    webhooks: Vec<Arc<Webhook>>,
}

impl Records {
    /// Leaves out, loudly, what has no owner: it could never be reached.
    pub(super) fn from_stored(stored: DirectoryRecords) -> Self {
        let mut records = Self::default();
        for business in stored.businesses {
            records.put_business(business);
        }
        for instance in stored.instances {
            let id = instance.id.clone();
            if !records.put_instance(instance) {
                tracing::warn!(instance = %id, "instance without its business left out");
            }
        }
        for webhook in stored.webhooks {
            let id = webhook.id;
            if !records.put_webhook(webhook) {
                tracing::warn!(webhook = %id, "webhook without its owner left out");
            }
        }
        records
    }

    pub fn business(&self, id: BusinessId) -> Option<&Arc<Business>> {
        self.businesses.get(&id).map(|tenant| &tenant.business)
    }

    pub fn business_by_token(&self, token: &str) -> Option<&Arc<Business>> {
        let business = self.business(*self.tokens.get(&token_digest(token))?)?;
        bool::from(business.token.as_bytes().ct_eq(token.as_bytes())).then_some(business)
    }

    /// Oldest first.
    pub fn businesses(&self) -> Vec<Arc<Business>> {
        let mut all: Vec<_> = self.businesses.values().map(|tenant| Arc::clone(&tenant.business)).collect();
        all.sort_unstable_by_key(|business| (business.created_at, business.id));
        all
    }

    pub fn business_webhook(&self, id: BusinessId) -> Option<&Arc<Webhook>> {
        self.businesses.get(&id)?.webhook.as_ref()
    }

    pub fn instance(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.instances.get(id).map(|held| &held.instance)
    }

    pub fn instance_by_name(&self, business: BusinessId, name: &str) -> Option<&Arc<Instance>> {
        self.instance(self.businesses.get(&business)?.names.get(name)?)
    }

    /// Oldest first.
    pub fn instances_of(&self, business: BusinessId) -> impl Iterator<Item = &Arc<Instance>> {
        self.businesses.get(&business).into_iter().flat_map(|tenant| tenant.instances.values())
    }

    pub fn webhook(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.webhooks.get(&id)
    }

    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values().map(|held| &held.instance)
    }

    pub fn instance_count(&self) -> usize {
        self.instances.len()
    }

    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.webhooks.values()
    }

    /// Oldest first; empty for an instance that does not exist.
    pub fn webhooks_of(&self, instance: &InstanceId) -> &[Arc<Webhook>] {
        self.instances.get(instance).map_or(&[], |held| &held.webhooks)
    }

    pub(super) fn put_business(&mut self, business: Business) {
        let (id, token) = (business.id, token_digest(&business.token));
        let business = Arc::new(business);
        if let Some(tenant) = self.businesses.get_mut(&id) {
            self.tokens.remove(&token_digest(&tenant.business.token));
            tenant.business = business;
        } else {
            let tenant = Tenant { business, instances: BTreeMap::new(), names: AHashMap::default(), webhook: None };
            self.businesses.insert(id, tenant);
        }
        self.tokens.insert(token, id);
    }

    /// Answers whether its business is there; nothing is changed otherwise.
    pub(super) fn put_instance(&mut self, instance: Instance) -> bool {
        if !self.businesses.contains_key(&instance.business) {
            return false;
        }
        if let Some(old) = self.instances.get(&instance.id).map(|held| Arc::clone(&held.instance)) {
            self.unlink(&old);
        }
        let instance = Arc::new(instance);
        if let Some(tenant) = self.businesses.get_mut(&instance.business) {
            tenant.instances.insert((instance.created_at, instance.id.clone()), Arc::clone(&instance));
            tenant.names.insert(instance.name.as_str().into(), instance.id.clone());
        }
        match self.instances.get_mut(&instance.id) {
            Some(held) => held.instance = instance,
            None => {
                self.instances.insert(instance.id.clone(), Held { instance, webhooks: Vec::new() });
            }
        }
        true
    }

    /// Answers whether its owner is there; nothing is changed otherwise.
    pub(super) fn put_webhook(&mut self, mut webhook: Webhook) -> bool {
        match &webhook.owner {
            WebhookOwner::Instance(id) => {
                let Some(held) = self.instances.get_mut(id) else { return false };
                // One text for the id of an instance, however many webhooks name it.
                webhook.owner = WebhookOwner::Instance(held.instance.id.clone());
                let webhook = Arc::new(webhook);
                held.webhooks.retain(|known| known.id != webhook.id);
                let place = held.webhooks.partition_point(|k| (k.created_at, k.id) < (webhook.created_at, webhook.id));
                held.webhooks.insert(place, Arc::clone(&webhook));
                self.webhooks.insert(webhook.id, webhook);
            }
            WebhookOwner::Business(id) => {
                let Some(tenant) = self.businesses.get_mut(id) else { return false };
                let webhook = Arc::new(webhook);
                tenant.webhook = Some(Arc::clone(&webhook));
                self.webhooks.insert(webhook.id, webhook);
            }
        }
        true
    }

    pub(super) fn remove_webhook(&mut self, id: WebhookId) -> Option<Arc<Webhook>> {
        let webhook = self.webhooks.remove(&id)?;
        match &webhook.owner {
            WebhookOwner::Instance(owner) => {
                if let Some(held) = self.instances.get_mut(owner) {
                    held.webhooks.retain(|known| known.id != id);
                }
            }
            WebhookOwner::Business(owner) => {
                if let Some(tenant) = self.businesses.get_mut(owner) {
                    tenant.webhook.take_if(|known| known.id == id);
                }
            }
        }
        Some(webhook)
    }

    /// Answers whether it was there. Its webhooks have been removed before.
    pub(super) fn remove_instance(&mut self, id: &InstanceId) -> bool {
        let Some(held) = self.instances.remove(id) else { return false };
        self.unlink(&held.instance);
        true
    }

    /// Its instances and its webhook have been removed before.
    pub(super) fn remove_business(&mut self, id: BusinessId) {
        if let Some(tenant) = self.businesses.remove(&id) {
            self.tokens.remove(&token_digest(&tenant.business.token));
        }
    }

    fn unlink(&mut self, instance: &Instance) {
        if let Some(tenant) = self.businesses.get_mut(&instance.business) {
            tenant.instances.remove(&(instance.created_at, instance.id.clone()));
            if tenant.names.get(instance.name.as_str()) == Some(&instance.id) {
                tenant.names.remove(instance.name.as_str());
            }
        }
    }
}

fn token_digest(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
