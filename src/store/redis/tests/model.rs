//! Random histories: Redis must tell the same as the store in memory, also to a new process.

use proptest::prelude::*;

use super::*;
use crate::store::contract::model::{actions, play};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redis_tells_what_the_model_tells(history in prop::collection::vec(actions(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // After a reopening the process before was another one.
        let read = |answer| if answer == Appended::Late { Appended::New } else { answer };
        runtime.block_on(play(Box::new(Tenancy::new()), read, history));
    }
}
