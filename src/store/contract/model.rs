//! Random histories: a store must tell the same as the one in memory, also after it was killed or opened by a new process.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::directory::an_instance;
use super::fixtures::{self, HOUR, append, at, attempt, entry, event, event_id, instance, part, webhook};
use super::moving::copy;
use super::{Ending, House};
use crate::domain::{AttemptOrigin, DeadReason, Delivery, DeliveryStatus, EventId, LaneClass, LaneEntry, MessageState};
use crate::store::memory::MemoryStore;
use crate::store::{
    Append, Appended, DeliveryQuery, DirectoryChange, LaneQuery, Next, Requeue, Retention, Settle, Store, Timeline,
};

/// What can be done. Numbers pick among what is there, modulo.
#[derive(Clone, Debug)]
pub enum Action {
    Append(Vec<Arrival>),
    /// Of entries that wait, or of any that ever did: those must be skipped unless they are back.
    Settle(Vec<Decision>),
    Requeue {
        webhook: u128,
        event: usize,
        due: u64,
    },
    Cancel {
        webhook: u128,
        limit: usize,
    },
    Retain {
        days: u64,
    },
    Reopen(bool),
}

#[derive(Clone, Debug)]
pub struct Arrival {
    /// For each webhook the class of its entry, or none.
    classes: [Option<LaneClass>; 3],
    client_id: Option<u8>,
    order_key: u64,
    due_after: i64,
    message: Option<(u8, usize, bool)>,
}

#[derive(Clone, Debug)]
pub struct Decision {
    entry: usize,
    attempted: bool,
    next: usize,
    due: u64,
}

fn arrivals() -> impl Strategy<Value = Arrival> {
    let class = prop::option::weighted(0.7, prop::sample::select(LaneClass::ALL.to_vec()));
    let classes = [class.clone(), class.clone(), class];
    (classes, prop::option::of(0..4_u8), 0..3_u64, -50..200_i64, prop::option::of((0..3_u8, 0..7_usize, any::<bool>())))
        .prop_map(|(classes, client_id, order_key, due_after, message)| Arrival {
            classes,
            client_id,
            order_key,
            due_after,
            message,
        })
}

pub fn actions() -> impl Strategy<Value = Action> {
    let decisions = (any::<prop::sample::Index>(), any::<bool>(), 0..9_usize, 0..400_u64)
        .prop_map(|(entry, attempted, next, due)| Decision { entry: entry.index(1 << 20), attempted, next, due });
    prop_oneof![
        5 => prop::collection::vec(arrivals(), 1..5).prop_map(Action::Append),
        6 => prop::collection::vec(decisions, 1..6).prop_map(Action::Settle),
        2 => (1..4_u128, any::<prop::sample::Index>(), 0..400_u64)
            .prop_map(|(webhook, event, due)| Action::Requeue { webhook, event: event.index(1 << 20), due }),
        1 => (1..4_u128, 1..6_usize).prop_map(|(webhook, limit)| Action::Cancel { webhook, limit }),
        1 => (0..5_u64).prop_map(|days| Action::Retain { days }),
        1 => any::<bool>().prop_map(Action::Reopen),
    ]
}

/// Both stores and what was ever put into them.
struct Twins {
    model: MemoryStore,
    house: Box<dyn House>,
    read: fn(Appended) -> Appended,
    store: Arc<dyn Store>,
    now: u64,
    /// Dead letters that have expired.
    expired: u64,
    entries: Vec<LaneEntry>,
    ids: Vec<EventId>,
}

impl Twins {
    async fn act(&mut self, action: Action) {
        self.now += 7;
        match action {
            Action::Append(arrivals) => {
                let batch: Vec<_> = arrivals.into_iter().map(|arrival| self.arrive(&arrival)).collect();
                let answers = self.store.append(batch.clone()).await.unwrap();
                let answers: Vec<_> = answers.into_iter().map(self.read).collect();
                assert_eq!(answers, self.model.append(batch.clone()).await.unwrap());
                let new = batch.iter().zip(answers).filter(|(_, answer)| *answer == Appended::New);
                self.entries.extend(new.flat_map(|(append, _)| append.entries.clone()));
            }
            Action::Settle(decisions) if !self.entries.is_empty() => {
                let batch: Vec<_> = decisions.iter().map(|decision| self.decide(decision)).collect();
                self.store.settle(batch.clone()).await.unwrap();
                self.model.settle(batch).await.unwrap();
            }
            Action::Requeue { webhook: number, event, due } if !self.ids.is_empty() => {
                let id = self.ids[event % self.ids.len()];
                let requeue = |store: &dyn Store| {
                    store.requeue(webhook(number), id, AttemptOrigin::Replay, at(due)).now_or_never()
                };
                let expected = requeue(&self.model).unwrap().unwrap();
                let answer = self.store.requeue(webhook(number), id, AttemptOrigin::Replay, at(due)).await.unwrap();
                assert_eq!(answer, expected);
                if let Requeue::Queued(entry) = answer {
                    self.entries.push(entry);
                }
            }
            Action::Cancel { webhook: number, limit } => {
                let more = self.store.cancel_lane(webhook(number), limit).await.unwrap();
                assert_eq!(more, self.model.cancel_lane(webhook(number), limit).await.unwrap());
            }
            Action::Retain { days } => {
                // More than an hour on: the walk over old events begins anew.
                self.now += days * 24 * HOUR + 2 * HOUR;
                let retention = Retention { dead: Duration::from_hours(60), ..fixtures::a_week() };
                let step = fixtures::retained(&*self.store, at(self.now), retention).await;
                let expected = fixtures::retained(&self.model, at(self.now), retention).await;
                assert_eq!((step.dead, step.events), (expected.dead, expected.events));
                self.expired += step.dead;
                let counted = expected.deliveries..=expected.deliveries + self.expired;
                assert!(counted.contains(&step.deliveries), "{} of {counted:?}", step.deliveries);
            }
            Action::Reopen(killed) => {
                let ending = if killed { Ending::Killed } else { Ending::Closed };
                self.store = self.house.reopen(self.store.clone(), ending).await;
            }
            Action::Settle(_) | Action::Requeue { .. } => {}
        }
    }

    fn arrive(&mut self, arrival: &Arrival) -> Append {
        let id = event_id(self.now, self.ids.len() as u128);
        self.ids.push(id);
        let due = at(self.now.saturating_add_signed(arrival.due_after));
        let owed = arrival.classes.iter().zip(1..).filter_map(|(class, number)| {
            let base = entry(webhook(number), id);
            (*class).map(|class| LaneEntry { class, due, order_key: arrival.order_key, ..base })
        });
        let mut event = event(id);
        event.client_id = arrival.client_id.map(|number| number.to_string().into());
        let mut append = append(event, &owed.collect::<Vec<_>>());
        append.messages.extend(arrival.message.map(|(message, state, knows_number)| crate::domain::MessageStatus {
            message_id: message.to_string().into(),
            state: MessageState::ALL[state],
            number: if knows_number { "5511".into() } else { "".into() },
            updated_at: at(self.now),
        }));
        append
    }

    fn decide(&mut self, decision: &Decision) -> Settle {
        let entry = self.entries[decision.entry % self.entries.len()];
        let attempts = entry.attempts + u16::from(decision.attempted);
        let moved = |class| LaneEntry { class, due: at(decision.due), attempts, ..entry };
        let next = match decision.next {
            0..=2 => Next::Delivered,
            3 => Next::Dead(DeadReason::Exhausted),
            4 => Next::Superseded { by: EventId::MAX },
            5 => Next::Cancelled,
            6 => Next::Move(moved(LaneClass::Parked)),
            7 => Next::Move(LaneEntry { due: entry.due, ..moved(LaneClass::Live) }),
            _ => Next::Move(moved(LaneClass::Retry)),
        };
        if let Next::Move(moved) = next {
            self.entries.push(moved);
        }
        let attempt = decision.attempted.then(|| attempt(attempts, next == Next::Delivered));
        Settle { entry, attempt, next, at: at(self.now) }
    }

    /// Everything that can be asked is answered alike.
    async fn compare(&self) {
        let (store, model) = (&*self.store, &self.model as &dyn Store);
        for webhook in (1..4).map(webhook) {
            assert_eq!(store.lane_counts(webhook), model.lane_counts(webhook), "counts of {webhook}");
            let keys = model.parked_keys(webhook, 9).await.unwrap();
            assert_eq!(store.parked_keys(webhook, 9).await.unwrap(), keys);
            for class in LaneClass::ALL {
                for order_key in 0..3 {
                    let query = LaneQuery { order_key, ..part(webhook, class) };
                    assert_eq!(store.lane(query).await.unwrap(), model.lane(query).await.unwrap(), "{query:?}");
                }
            }
            for status in DeliveryStatus::ALL.into_iter().map(Some).chain([None]) {
                for (limit, before) in [(100, None), (2, None), (3, self.ids.get(self.ids.len() / 2).copied())] {
                    let query = DeliveryQuery { webhook, status, kind: None, before, limit };
                    let expected = model.deliveries(query.clone()).await.unwrap();
                    let listed = store.deliveries(query.clone()).await.unwrap();
                    assert_eq!(comparable(listed), comparable(expected), "{query:?}");
                }
            }
            let finished = vec![DeliveryStatus::Delivered, DeliveryStatus::Dead];
            let all = EventId::MIN..EventId::MAX;
            assert_eq!(
                store.finished(webhook, all.clone(), finished.clone(), 5).await.unwrap(),
                model.finished(webhook, all, finished, 5).await.unwrap()
            );
            for id in &self.ids {
                let told = |timeline: Option<Timeline>| {
                    timeline.map(|all| (all.event, comparable(all.delivery.into_iter().collect())))
                };
                let expected = told(model.timeline(webhook, *id).await.unwrap());
                assert_eq!(told(store.timeline(webhook, *id).await.unwrap()), expected);
            }
        }
        assert_eq!(store.events(self.ids.clone()).await.unwrap(), model.events(self.ids.clone()).await.unwrap());
        for message in 0..3 {
            let id = message.to_string();
            assert_eq!(store.message(&instance(), &id).await.unwrap(), model.message(&instance(), &id).await.unwrap());
        }
        let (stats, expected) = (store.stats(), model.stats());
        assert_eq!((stats.unfinished, stats.dead), (expected.unfinished, expected.dead));
    }
}

/// Cancelling a lane takes the instant from the clock: not compared.
fn comparable(mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
    for delivery in &mut deliveries {
        if delivery.status == DeliveryStatus::Cancelled {
            delivery.finished_at = None;
        }
    }
    deliveries
}

/// Plays a history on a new store of `house` and on the model, and compares all that can be read now and then.
/// `read` is what an answer to an append means here.
pub async fn play(house: Box<dyn House>, read: fn(Appended) -> Appended, history: Vec<Action>) {
    play_over(vec![house], read, history).await;
}

/// The same on one store after the other: each takes over from the one before what that tells.
pub async fn play_over(houses: Vec<Box<dyn House>>, read: fn(Appended) -> Appended, history: Vec<Action>) {
    let parts = houses.len();
    let mut houses = houses.into_iter();
    let house = houses.next().expect("a house at least");
    let store = house.open().await;
    let model = MemoryStore::new();
    store.change_directory(vec![DirectoryChange::PutInstance(Box::new(an_instance()))]).await.unwrap();
    let mut twins = Twins { model, house, read, store, now: 0, expired: 0, entries: Vec::new(), ids: Vec::new() };
    let moves = history.len().div_ceil(parts).max(1);
    for (step, action) in history.into_iter().enumerate() {
        if step > 0 && step % moves == 0 {
            let house = houses.next().expect("as many as parts");
            let store = house.open().await;
            copy(&*twins.store, &*store).await;
            (twins.store, twins.house) = (store, house);
            twins.compare().await;
        }
        twins.act(action).await;
        if step % 4 == 0 {
            twins.compare().await;
        }
    }
    twins.compare().await;
    twins.store.close().await.unwrap();
}
