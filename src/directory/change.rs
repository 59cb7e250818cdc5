//! What a change entails, how it becomes visible, and what subscribers hear of it.

use std::sync::Arc;

use ahash::AHashSet;

use super::Records;
use super::route::Routes;
use crate::domain::{BusinessId, InstanceId, Webhook, WebhookId, WebhookOwner};
use crate::store::{DirectoryChange, DirectoryRecords};

/// Told to the engine after a change is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changed {
    /// Also when what changed is the business it belongs to.
    Instance(InstanceId),
    Webhook(WebhookId),
    WebhookDeleted(WebhookId),
    InstanceDeleted(InstanceId),
}

/// The changes with the deletions they entail before them, so that the store never holds a thing without its owner.
/// Puts whose owner is not there are left out.
pub(super) fn with_cascades(records: &Records, changes: Vec<DirectoryChange>) -> Vec<DirectoryChange> {
    let mut all = Vec::with_capacity(changes.len());
    for change in changes {
        match &change {
            DirectoryChange::PutBusiness(_) | DirectoryChange::DeleteWebhook(_) => {}
            DirectoryChange::PutInstance(instance) => {
                if !has_business(records, &all, instance.business) {
                    tracing::warn!(instance = %instance.id, "instance not written: its business is gone");
                    continue;
                }
            }
            DirectoryChange::PutWebhook(webhook) => {
                let owned = match &webhook.owner {
                    WebhookOwner::Instance(id) => has_instance(records, &all, id),
                    WebhookOwner::Business(id) => has_business(records, &all, *id),
                };
                if !owned {
                    tracing::warn!(webhook = %webhook.id, "webhook not written: its owner is gone");
                    continue;
                }
            }
            DirectoryChange::DeleteInstance(id) => delete_webhooks_of_instance(records, id, &mut all),
            DirectoryChange::DeleteBusiness(id) => delete_contents(records, *id, &mut all),
        }
        all.push(change);
    }
    all
}

/// What leads from the records in memory to those in the store. Owners come before what they own and go after it.
pub(super) fn difference(records: &Records, stored: DirectoryRecords) -> Vec<DirectoryChange> {
    let webhooks: AHashSet<WebhookId> = stored.webhooks.iter().map(|webhook| webhook.id).collect();
    let gone = records.webhooks().map(|webhook| webhook.id).filter(|id| !webhooks.contains(id));
    let mut changes: Vec<_> = gone.map(DirectoryChange::DeleteWebhook).collect();
    let instances: AHashSet<&InstanceId> = stored.instances.iter().map(|instance| &instance.id).collect();
    let gone = records.instances().map(|instance| &instance.id).filter(|id| !instances.contains(id));
    changes.extend(gone.cloned().map(DirectoryChange::DeleteInstance));
    let businesses: AHashSet<BusinessId> = stored.businesses.iter().map(|business| business.id).collect();
    let gone = records.businesses().into_iter().map(|business| business.id).filter(|id| !businesses.contains(id));
    changes.extend(gone.map(DirectoryChange::DeleteBusiness));

    let DirectoryRecords { businesses, instances, webhooks } = stored;
    let new = businesses.into_iter().filter(|new| records.business(new.id).is_none_or(|old| **old != *new));
    changes.extend(new.map(|business| DirectoryChange::PutBusiness(Box::new(business))));
    let new = instances.into_iter().filter(|new| records.instance(&new.id).is_none_or(|old| **old != *new));
    changes.extend(new.map(|instance| DirectoryChange::PutInstance(Box::new(instance))));
    let new = webhooks.into_iter().filter(|new| records.webhook(new.id).is_none_or(|old| **old != *new));
    changes.extend(new.map(|webhook| DirectoryChange::PutWebhook(Box::new(webhook))));
    changes
}

/// What the changes so far say of something; `None` when they do not touch it.
fn said<T>(so_far: &[DirectoryChange], read: impl FnMut(&DirectoryChange) -> Option<T>) -> Option<T> {
    so_far.iter().rev().find_map(read)
}

fn has_business(records: &Records, so_far: &[DirectoryChange], id: BusinessId) -> bool {
    said(so_far, |change| match change {
        DirectoryChange::PutBusiness(business) if business.id == id => Some(true),
        DirectoryChange::DeleteBusiness(deleted) if *deleted == id => Some(false),
        _ => None,
    })
    .unwrap_or_else(|| records.business(id).is_some())
}

fn has_instance(records: &Records, so_far: &[DirectoryChange], id: &InstanceId) -> bool {
    said(so_far, |change| match change {
        DirectoryChange::PutInstance(instance) if instance.id == *id => Some(true),
        DirectoryChange::DeleteInstance(deleted) if deleted == id => Some(false),
        _ => None,
    })
    .unwrap_or_else(|| records.instance(id).is_some())
}

fn delete_webhooks_of_instance(records: &Records, id: &InstanceId, all: &mut Vec<DirectoryChange>) {
    let owner = WebhookOwner::Instance(id.clone());
    delete_webhooks(records.webhooks_of(id).iter(), &owner, all);
}

fn delete_webhooks<'a>(
    stored: impl Iterator<Item = &'a Arc<Webhook>>,
    owner: &WebhookOwner,
    all: &mut Vec<DirectoryChange>,
) {
    let fresh = all.iter().filter_map(|change| match change {
        DirectoryChange::PutWebhook(webhook) if webhook.owner == *owner => Some(webhook.id),
        _ => None,
    });
    let mut doomed: Vec<_> = stored.map(|webhook| webhook.id).chain(fresh).collect();
    doomed.sort_unstable();
    doomed.dedup();
    all.extend(doomed.into_iter().map(DirectoryChange::DeleteWebhook));
}

fn delete_contents(records: &Records, id: BusinessId, all: &mut Vec<DirectoryChange>) {
    let fresh = all.iter().filter_map(|change| match change {
        DirectoryChange::PutInstance(instance) if instance.business == id => Some(instance.id.clone()),
        _ => None,
    });
    let mut doomed: Vec<_> = records.instances_of(id).map(|instance| instance.id.clone()).chain(fresh).collect();
    doomed.sort_unstable();
    doomed.dedup();
    for instance in doomed {
        delete_webhooks_of_instance(records, &instance, all);
        all.push(DirectoryChange::DeleteInstance(instance));
    }
    delete_webhooks(records.business_webhook(id).into_iter(), &WebhookOwner::Business(id), all);
}

/// Applies one durable change to the records and drops the routes it touches.
pub(super) fn make_visible(records: &mut Records, routes: &Routes, change: DirectoryChange, told: &mut Vec<Changed>) {
    match change {
        DirectoryChange::PutBusiness(business) => {
            let id = business.id;
            records.put_business(*business);
            routes.forget(records.instances_of(id).map(|instance| &instance.id));
            told.extend(records.instances_of(id).map(|instance| Changed::Instance(instance.id.clone())));
        }
        DirectoryChange::PutInstance(instance) => {
            let id = instance.id.clone();
            records.put_instance(*instance);
            routes.forget([&id]);
            told.push(Changed::Instance(id));
        }
        DirectoryChange::PutWebhook(webhook) => {
            let (id, owner) = (webhook.id, webhook.owner.clone());
            records.put_webhook(*webhook);
            forget_routes_of(records, routes, &owner);
            told.push(Changed::Webhook(id));
        }
        DirectoryChange::DeleteWebhook(id) => {
            if let Some(webhook) = records.remove_webhook(id) {
                forget_routes_of(records, routes, &webhook.owner);
                told.push(Changed::WebhookDeleted(id));
            }
        }
        DirectoryChange::DeleteInstance(id) => {
            routes.forget([&id]);
            if records.remove_instance(&id) {
                told.push(Changed::InstanceDeleted(id));
            }
        }
        DirectoryChange::DeleteBusiness(id) => records.remove_business(id),
    }
}

fn forget_routes_of(records: &Records, routes: &Routes, owner: &WebhookOwner) {
    match owner {
        WebhookOwner::Instance(id) => routes.forget([id]),
        WebhookOwner::Business(id) => routes.forget(records.instances_of(*id).map(|instance| &instance.id)),
    }
}
