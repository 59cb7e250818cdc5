//! Bounds how many young attempts a thread has under way.
//!
//! Many requests in flight hide the time a receiver takes. One that answers at once has none to hide: thirty to it instead of four are
//! not done sooner, as all wait for the same thread, but each finds its connection, its task and the kernel's side of both cold.
//! At fan-out 100 a delivery took 1.7 times as long.
//!
//! So when a thread has more than a few young attempts, a webhook may start one only while it has less than its share of them. An
//! attempt is young until it ends or some milliseconds have passed: a slow receiver has as many in flight as its window allows,
//! started at no more than its share each time, and one that hangs takes nothing from the others (P5). A webhook that may not start
//! looks again when one of its attempts ends; if none does, it is told to look every few milliseconds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};

/// Young attempts of a thread with which anybody may start one more.
const PLACES: u32 = 32;
/// An attempt is young for so many ticks, the one it started in included.
const YOUNG_TICKS: u32 = 3;
const TICK: Duration = Duration::from_millis(2);

/// The shares of all webhooks that start something at about the same time, together. While an attempt is young that many more may
/// start, some 25 000 a second: fewer than a thread can do, so that what is in flight does not pile up by growing old.
const SHARED: u32 = 128;
/// The greatest share of a webhook with the usual concurrency of 32: some 800 a second to a receiver that takes its time.
const SHARE: u32 = 4;

/// The attempts that held a webhook up are no longer young.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Cleared;

/// See the module.
#[derive(Debug)]
pub(super) struct Runway {
    began: Instant,
    young: RefCell<Young>,
    /// How many webhooks have started something in the newest tick, and did in the one before.
    busy: Cell<Busy>,
    held: RefCell<Vec<(Recipient<Cleared>, Rc<Hold>)>>,
    is_watched: Cell<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Busy {
    tick: u32,
    webhooks: u32,
    before: u32,
}

/// What the runway knows of one webhook.
#[derive(Debug, Default)]
pub(super) struct Stand {
    young: Young,
    /// The tick in which it was counted as busy.
    counted: Option<u32>,
    hold: Rc<Hold>,
}

/// Whether a webhook is kept from starting, and whether it will be told.
#[derive(Debug, Default)]
struct Hold {
    is_held: Cell<bool>,
    is_listed: Cell<bool>,
}

/// The place of one attempt.
#[derive(Debug)]
pub(super) struct Place {
    runway: Rc<Runway>,
    pub(super) tick: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runway.young.borrow_mut().leave(self.tick);
    }
}

impl Runway {
    pub(super) fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self {
            began: now,
            young: RefCell::default(),
            busy: Cell::default(),
            held: RefCell::default(),
            is_watched: Cell::new(false),
        })
    }

    /// Whether a webhook may start an attempt. If not, it looks again when one of its own has landed, or when `webhook` is told to.
    pub(super) fn is_free(
        self: &Rc<Self>,
        now: Instant,
        stand: &mut Stand,
        concurrency: u16,
        webhook: impl FnOnce() -> Recipient<Cleared>,
    ) -> bool {
        let tick = self.tick(now);
        let is_free = self.young.borrow_mut().count_at(tick) < PLACES
            || stand.young.count_at(tick) < self.share(tick, concurrency);
        stand.hold.is_held.set(!is_free);
        if !is_free && !stand.hold.is_listed.replace(true) {
            self.held.borrow_mut().push((webhook(), Rc::clone(&stand.hold)));
            if !self.is_watched.replace(true) {
                actix::spawn(Rc::clone(self).watch());
            }
        }
        is_free
    }

    /// Takes a place; [`Stand::landed`] is to be told when the attempt has ended.
    pub(super) fn take(self: &Rc<Self>, now: Instant, stand: &mut Stand) -> Place {
        let tick = self.tick(now);
        if stand.counted.replace(tick) != Some(tick) {
            let busy = self.busy_at(tick);
            self.busy.set(Busy { webhooks: busy.webhooks + 1, ..busy });
        }
        stand.young.enter(tick);
        self.young.borrow_mut().enter(tick);
        Place { runway: Rc::clone(self), tick }
    }

    /// Of a webhook that may have so many requests in flight.
    fn share(&self, tick: u32, concurrency: u16) -> u32 {
        let busy = self.busy_at(tick);
        let greatest = SHARE.max(u32::from(concurrency / 8));
        SHARED.div_ceil(busy.webhooks.max(busy.before).max(1)).min(greatest)
    }

    fn busy_at(&self, tick: u32) -> Busy {
        let busy = self.busy.get();
        match tick.wrapping_sub(busy.tick) {
            0 => busy,
            1 => Busy { tick, webhooks: 0, before: busy.webhooks },
            _ => Busy { tick, webhooks: 0, before: 0 },
        }
    }

    /// Wraps after fourteen weeks, which harms nobody: what counts is how far two ticks are apart.
    fn tick(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.began).as_micros() / TICK.as_micros()) as u32
    }

    /// Tells those who are still held when their attempts have become old.
    async fn watch(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TICK * YOUNG_TICKS).await;
            let held = std::mem::take(&mut *self.held.borrow_mut());
            if held.is_empty() {
                self.is_watched.set(false);
                return;
            }
            for (webhook, hold) in held {
                hold.is_listed.set(false);
                if hold.is_held.get() {
                    webhook.do_send(Cleared);
                }
            }
        }
    }
}

impl Stand {
    /// The attempt that took its place in this tick has ended.
    pub(super) fn landed(&mut self, tick: u32) {
        self.young.leave(tick);
    }
}

/// Attempts under way by the tick of their start, those of the last few ticks only.
#[derive(Debug, Default)]
struct Young {
    count: u32,
    /// A power of two, so that no two young ticks meet when they wrap.
    by_tick: [(u32, u32); 4],
}

impl Young {
    fn of_tick(&mut self, tick: u32) -> &mut (u32, u32) {
        let slots = self.by_tick.len();
        &mut self.by_tick[tick as usize % slots]
    }

    fn enter(&mut self, tick: u32) {
        self.count_at(tick);
        let (known, entered) = self.of_tick(tick);
        *known = tick;
        *entered += 1;
        self.count += 1;
    }

    fn leave(&mut self, tick: u32) {
        let (known, entered) = self.of_tick(tick);
        if *known == tick && *entered > 0 {
            *entered -= 1;
            self.count -= 1;
        }
    }

    /// Forgets those that are old at this tick.
    fn count_at(&mut self, tick: u32) -> u32 {
        for (known, entered) in &mut self.by_tick {
            if tick.wrapping_sub(*known) >= YOUNG_TICKS {
                self.count -= std::mem::take(entered);
            }
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};

    use super::*;

    #[test]
    fn an_attempt_is_young_until_it_ends_or_its_time_is_over() {
        let mut young = Young::default();
        young.enter(7);
        young.enter(7);
        young.leave(7);
        assert_eq!(young.count_at(7), 1);
        young.enter(8);
        assert_eq!(young.count_at(9), 2);
        assert_eq!(young.count_at(10), 1, "the first has had its time");
        young.leave(7);
        assert_eq!(young.count_at(10), 1, "it was not counted any more");
        young.leave(8);
        assert_eq!(young.count_at(10), 0);
    }

    #[test]
    fn ticks_may_wrap() {
        let mut young = Young::default();
        young.enter(u32::MAX);
        young.enter(0);
        assert!(young.count_at(0) >= 1);
        young.leave(u32::MAX);
        young.leave(0);
        assert_eq!(young.count_at(0), 0);
        young.enter(u32::MAX);
        assert_eq!(young.count_at(u32::MAX.wrapping_add(YOUNG_TICKS)), 0);
    }

    /// Counts how often it was told.
    #[derive(Default)]
    struct Webhook(Rc<Cell<u32>>);

    impl Actor for Webhook {
        type Context = Context<Self>;
    }

    impl Handler<Cleared> for Webhook {
        type Result = ();

        fn handle(&mut self, _: Cleared, _: &mut Context<Self>) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    struct Bed {
        runway: Rc<Runway>,
        told: Rc<Cell<u32>>,
        recipient: Recipient<Cleared>,
    }

    impl Bed {
        fn new() -> Self {
            tokio::time::pause();
            let told = Rc::default();
            let recipient = Webhook(Rc::clone(&told)).start().recipient();
            Self { runway: Runway::new(now()), told, recipient }
        }

        /// Starts as many as may; at most a hundred.
        fn start_all(&self, stand: &mut Stand) -> Vec<Place> {
            let may = |stand: &mut Stand| self.runway.is_free(now(), stand, 64, || self.recipient.clone());
            let mut places = Vec::new();
            while places.len() < 100 && may(stand) {
                places.push(self.runway.take(now(), stand));
            }
            places
        }
    }

    #[actix::test]
    async fn the_places_are_anybodys_and_everybody_has_a_share_besides() {
        let bed = Bed::new();
        let [mut first, mut second] = [Stand::default(), Stand::default()];
        let mut places = bed.start_all(&mut first);
        assert_eq!(places.len(), PLACES as usize);
        let others = bed.start_all(&mut second);
        assert_eq!(others.len(), 8);
        for place in places.drain(..=8) {
            first.landed(place.tick);
        }
        assert_eq!(bed.start_all(&mut first).len(), 1, "the other has eight");
    }

    #[actix::test]
    async fn the_more_webhooks_are_busy_the_smaller_is_a_share() {
        let bed = Bed::new();
        let mut stands: Vec<_> = (0..PLACES).map(|_| Stand::default()).collect();
        let first: Vec<_> = stands.iter_mut().map(|stand| bed.runway.take(now(), stand)).collect();
        assert_eq!(bed.start_all(&mut stands[0]).len(), 3, "128 for 32, one of which it has");
        let mut more: Vec<_> = (0..SHARED).map(|_| Stand::default()).collect();
        let second: Vec<_> = more.iter_mut().map(|stand| bed.runway.take(now(), stand)).collect();
        assert!(bed.start_all(&mut stands[1]).is_empty());
        assert_eq!(bed.start_all(&mut Stand::default()).len(), 1, "one with nothing under way may always start");
        drop((first, second));
    }

    #[actix::test]
    async fn a_webhook_that_starts_again_and_again_is_one() {
        let bed = Bed::new();
        let mut stand = Stand::default();
        for _ in 0..SHARED {
            let place = bed.runway.take(now(), &mut stand);
            stand.landed(place.tick);
        }
        assert_eq!(bed.runway.busy.get().webhooks, 1);
    }

    #[actix::test]
    async fn attempts_that_nobody_answers_hold_their_webhook_up_for_a_moment_only() {
        let bed = Bed::new();
        let mut stand = Stand::default();
        let unanswered = bed.start_all(&mut stand);
        tokio::time::sleep(TICK * (YOUNG_TICKS + 1)).await;
        tokio::task::yield_now().await;
        assert_eq!(bed.told.get(), 1);
        let more = bed.start_all(&mut stand);
        assert_eq!(more.len(), PLACES as usize);
        drop(unanswered);
        assert!(bed.start_all(&mut stand).is_empty(), "the old ones were not counted any more");
    }

    #[actix::test]
    async fn who_has_started_since_is_not_told_and_nobody_is_when_all_is_quiet() {
        let bed = Bed::new();
        let mut stand = Stand::default();
        let places = bed.start_all(&mut stand);
        for place in places {
            stand.landed(place.tick);
        }
        assert!(bed.runway.is_free(now(), &mut stand, 64, || bed.recipient.clone()));
        tokio::time::sleep(TICK * 100).await;
        assert_eq!(bed.told.get(), 0);
        assert!(!bed.runway.is_watched.get());
    }
}
