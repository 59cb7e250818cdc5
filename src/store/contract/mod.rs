//! What every store must do, as one suite: `memory`, `embedded` and `redis` run it with [`contract_suite`].
//!
//! A behaviour is an async function over a [`House`], which opens the store and can end it gracefully or by force.

pub mod directory;
pub mod fixtures;
pub mod history;
pub mod lanes;
pub mod model;
pub mod retention;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Store;

/// How a store ends before it is opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// [`Store::close`].
    Closed,
    /// As after `kill -9`: only what was handed to the system is left.
    Killed,
}

/// A place where a store of one kind lives.
pub trait House: Send + Sync {
    /// Opens the store, empty the first time.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>>;
    /// Ends `store` and opens its data again.
    fn reopen(&self, store: Arc<dyn Store>, ending: Ending) -> BoxFuture<'_, Arc<dyn Store>>;
}

/// One test for each behaviour of the contract. `$house` makes a fresh [`House`].
#[macro_export]
macro_rules! contract_suite {
    ($house:expr) => {
        $crate::contract_suite!(@ $house, lanes:
            entries_wait_in_due_order_and_are_read_in_pages,
            a_repeated_client_id_is_a_duplicate_and_stores_nothing,
            a_client_id_is_free_again_after_24_hours,
            a_retry_leaves_its_old_place,
            settling_an_entry_that_is_gone_does_nothing,
            parked_entries_are_read_by_key,
            counts_and_active_lanes_are_exact,
            what_was_answered_survives_every_ending,
            a_deleted_webhook_is_cancelled_in_steps,
            a_closed_store_says_so,
        );
        $crate::contract_suite!(@ $house, history:
            a_timeline_tells_every_attempt,
            a_timeline_is_not_shown_to_a_webhook_it_does_not_concern,
            deliveries_are_listed_newest_first_with_filters_and_cursor,
            parked_and_early_entries_are_listed_too,
            a_finished_delivery_can_be_put_back,
            an_unfinished_delivery_is_not_put_back_twice,
            finished_deliveries_are_found_by_range_and_status,
        );
        $crate::contract_suite!(@ $house, retention:
            finished_events_go_after_their_time,
            unfinished_and_dead_deliveries_keep_their_event,
            an_expired_dead_letter_is_gone,
            the_oldest_history_goes_when_it_takes_too_much,
            message_states_expire,
        );
        $crate::contract_suite!(@ $house, directory:
            directory_records_are_kept_whole,
            settings_are_kept,
            of_those_who_write_a_setting_first_all_use_the_same,
            a_late_earlier_message_state_does_not_downgrade,
            events_are_answered_in_the_order_asked_for,
        );
    };
    (@ $house:expr, $part:ident: $($behaviour:ident,)*) => {
        mod $part {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test]
                async fn $behaviour() {
                    $crate::store::contract::$part::$behaviour(&$house).await;
                }
            )*
        }
    };
}

#[cfg(test)]
mod memory {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::store::memory::MemoryStore;

    /// Memory outlives nothing: its reopening hands the same store back, as far as it was not closed.
    struct InMemory;

    impl House for InMemory {
        fn open(&self) -> BoxFuture<'_, Arc<dyn Store>> {
            async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }.boxed()
        }

        fn reopen(&self, store: Arc<dyn Store>, _: Ending) -> BoxFuture<'_, Arc<dyn Store>> {
            async { store }.boxed()
        }
    }

    crate::contract_suite!(InMemory);
}
