//! The route of an event: its instance, its business and the webhooks that may want it, as one snapshot.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::RwLock;

use super::Records;
use crate::domain::{Business, Instance, InstanceId, Webhook};

/// What an event of an instance needs to be routed, as one consistent snapshot.
#[derive(Clone, Debug)]
pub struct Route {
    pub instance: Arc<Instance>,
    pub business: Arc<Business>,
    /// The instance's webhooks, then the business's.
    pub webhooks: Arc<[Arc<Webhook>]>,
}

impl Route {
    fn build(records: &Records, id: &InstanceId) -> Option<Self> {
        let instance = Arc::clone(records.instance(id)?);
        let business = Arc::clone(records.business(instance.business)?);
        let of_business = records.business_webhook(business.id);
        let webhooks = records.webhooks_of(id).iter().chain(of_business).cloned().collect();
        Some(Self { instance, business, webhooks })
    }
}

/// Routes asked for since their last change.
///
/// Never stale: a route is built and put here under the read lock of the records, and dropped under their write lock.
#[derive(Debug, Default)]
pub(super) struct Routes {
    cached: RwLock<AHashMap<InstanceId, Arc<Route>>>,
}

impl Routes {
    pub(super) fn get(&self, id: &InstanceId, records: &RwLock<Records>) -> Option<Arc<Route>> {
        if let Some(route) = self.cached.read().get(id) {
            return Some(Arc::clone(route));
        }
        let records = records.read();
        let route = Arc::new(Route::build(&records, id)?);
        self.cached.write().insert(route.instance.id.clone(), Arc::clone(&route));
        drop(records);
        Some(route)
    }

    /// To be called with the records' write lock held.
    pub(super) fn forget<'a>(&self, instances: impl IntoIterator<Item = &'a InstanceId>) {
        let mut cached = self.cached.write();
        for instance in instances {
            cached.remove(instance);
        }
    }
}
