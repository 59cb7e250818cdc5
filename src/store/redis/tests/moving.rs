//! From a folder to Redis and back, in the middle of random histories.

use proptest::prelude::*;

use super::*;
use crate::store::contract::model::{actions, play_over};
use crate::store::embedded::{EmbeddedConfig, EmbeddedStore};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl House for Folder {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
        let config = EmbeddedConfig { durability: Durability::Os, ..EmbeddedConfig::new(self.0.path()) };
        async { Arc::new(EmbeddedStore::open(config).unwrap()) as Arc<dyn Store> }.boxed()
    }

    fn reopen(&self, store: Arc<dyn Store>, _: Ending) -> BoxFuture<'_, Arc<dyn Store>> {
        async move {
            store.close().await.unwrap();
            drop(store);
            self.open().await
        }
        .boxed()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_history_goes_on_in_redis_and_back_in_a_folder(history in prop::collection::vec(actions(), 3..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = |answer| if answer == Appended::Late { Appended::New } else { answer };
        let houses: Vec<Box<dyn House>> = vec![Box::new(Folder::new()), Box::new(Tenancy::new()), Box::new(Folder::new())];
        runtime.block_on(play_over(houses, read, history));
    }
}
