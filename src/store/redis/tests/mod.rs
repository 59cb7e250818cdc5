//! The contract on a real Redis, and what only a store shared by several nodes can do wrong.

mod batches;
mod bodies;
mod many;
mod model;
mod moving;
mod nodes;
mod orphans;
mod paging;
mod rights;
mod weather;

use std::time::Instant;

use futures_util::future::BoxFuture;

use super::testing::Server;
use super::*;
use crate::store::contract::fixtures::{self, append, appended, at, entry, event, event_id, part, settle, webhook};
use crate::store::contract::{Ending, House};
use crate::store::{LaneQuery, Next};

/// One server; each store is another process as far as Redis can tell.
struct Tenancy(Server);

impl Tenancy {
    fn new() -> Self {
        Self(Server::start(&[]))
    }

    async fn enter(&self) -> Arc<RedisStore> {
        Arc::new(RedisStore::open(RedisConfig::new(self.0.url())).await.unwrap())
    }
}

impl House for Tenancy {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        async { self.enter().await as Arc<dyn Store> }.boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>, ending: Ending) -> BoxFuture<'_, Arc<dyn Store>> {
        async move {
            if ending == Ending::Closed {
                store.close().await.unwrap();
            }
            drop(store);
            self.open().await
        }
        .boxed()
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

mod contract {
    use super::Tenancy;
    crate::contract_suite!(Tenancy::new());
}
