//! Random histories: the embedded store must tell the same as the one in memory, also after it was killed.

use proptest::prelude::*;

use super::*;
use crate::store::contract::model::{actions, play};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_tells_what_the_model_tells(history in prop::collection::vec(actions(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(Box::new(Folders::new()), |answer| answer, history));
    }
}
