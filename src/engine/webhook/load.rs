//! Reads what the lane asks for and writes what it moves. Reads wait for the settlements before them, so that a page never shows
//! an entry where it no longer is.

use std::rc::Rc;

use actix::{Addr, AsyncContext as _, Context, Handler, Message};

use super::WebhookActor;
use crate::domain::{LaneClass, LaneEntry, Timestamp, WebhookId};
use crate::engine::carried::Carried;
use crate::engine::lane::{Ask, Place, Waiting};
use crate::engine::room::Room;
use crate::store::{LaneQuery, Next, Settle, StoreError};

/// A page of the lane.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Loaded {
    class: LaneClass,
    order_key: u64,
    page: Result<Vec<Waiting>, StoreError>,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ParkedKeys(Result<Vec<u64>, StoreError>);

/// Bodies read together with one page; the rest is read when it starts.
const PAGE_BYTES: u64 = 1 << 20;

impl WebhookActor {
    pub(super) fn carry_out_asks(&mut self, at: Timestamp, ctx: &Context<Self>) {
        for ask in self.lane.take_asks() {
            match ask {
                Ask::Load { class, order_key, after } => self.load(class, order_key, after, ctx),
                Ask::Park(entry) => {
                    let parked = LaneEntry { class: LaneClass::Parked, ..entry };
                    self.room.settle(Settle { entry, attempt: None, next: Next::Move(parked), at });
                }
                Ask::Supersede { entry, by } => {
                    self.room.core.meters.superseded(entry.kind);
                    self.room.settle(Settle { entry, attempt: None, next: Next::Superseded { by }, at });
                }
            }
        }
    }

    fn load(&self, class: LaneClass, order_key: u64, after: Option<Place>, ctx: &Context<Self>) {
        let limit = self.room.core.config.bounds.page;
        let query = LaneQuery { webhook: self.config.id, class, order_key, after, limit };
        // While nothing is sent, bodies would only take memory.
        let with_bodies = self.config.is_delivering();
        let (room, actor) = (Rc::clone(&self.room), ctx.address());
        actix::spawn(async move {
            room.flush();
            room.core.settler.barrier().await;
            let page = read_page(&room, query, with_bodies).await;
            actor.do_send(Loaded { class, order_key, page });
        });
    }

    pub(super) fn load_parked_keys(&self, ctx: &Context<Self>) {
        let limit = self.room.core.config.bounds.blocked_keys;
        read_parked_keys(Rc::clone(&self.room), self.config.id, limit, ctx.address());
    }
}

fn read_parked_keys(room: Rc<Room>, webhook: WebhookId, limit: usize, actor: Addr<WebhookActor>) {
    actix::spawn(async move {
        room.flush();
        room.core.settler.barrier().await;
        let keys = room.core.store.parked_keys(webhook, limit).await;
        actor.do_send(ParkedKeys(keys));
    });
}

async fn read_page(room: &Room, query: LaneQuery, with_bodies: bool) -> Result<Vec<Waiting>, StoreError> {
    let entries = room.core.store.lane(query).await?;
    let on_shelf = |entry: &LaneEntry| with_bodies.then(|| room.shelf.get(entry.event)).flatten();
    let mut page: Vec<_> = entries.into_iter().map(|entry| Waiting { carried: on_shelf(&entry), entry }).collect();
    let mut bytes = 0;
    let fits = |waiting: &&mut Waiting| {
        bytes += u64::from(waiting.entry.data_bytes);
        with_bodies && bytes <= PAGE_BYTES
    };
    let without: Vec<_> = page.iter_mut().filter(|waiting| waiting.carried.is_none()).take_while(fits).collect();
    if !without.is_empty() {
        let ids = without.iter().map(|waiting| waiting.entry.event).collect();
        let events = room.core.store.events(ids).await?;
        for (waiting, event) in without.into_iter().zip(events) {
            waiting.carried = event.and_then(|event| Carried::new(event, &room.core.budget));
            if let Some(carried) = &waiting.carried {
                room.shelf.put(carried);
            }
        }
    }
    Ok(page)
}

impl Handler<Loaded> for WebhookActor {
    type Result = ();

    fn handle(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        match loaded.page {
            Ok(page) => self.lane.loaded(loaded.class, loaded.order_key, page),
            Err(error) => {
                self.room.core.meters.read_errors.increment(1);
                tracing::warn!(webhook = %self.config.id, %error, cause = "store", "a lane could not be read; it is read again");
                self.lane.load_failed(loaded.class, loaded.order_key);
                let later = self.room.core.clock.mono() + crate::engine::attempt::STORE_AWAY;
                super::set_alarm(self, ctx, later);
                return;
            }
        }
        self.turn(ctx);
    }
}

impl Handler<ParkedKeys> for WebhookActor {
    type Result = ();

    fn handle(&mut self, ParkedKeys(keys): ParkedKeys, ctx: &mut Context<Self>) {
        match keys {
            Ok(keys) => self.lane.parked_keys(&keys),
            Err(error) => {
                tracing::warn!(webhook = %self.config.id, %error, cause = "store", "parked keys could not be read; they are read again");
                let (room, webhook, actor) = (Rc::clone(&self.room), self.config.id, ctx.address());
                let limit = room.core.config.bounds.blocked_keys;
                actix::spawn(async move {
                    tokio::time::sleep(crate::engine::attempt::STORE_AWAY).await;
                    read_parked_keys(room, webhook, limit, actor);
                });
            }
        }
        self.turn(ctx);
    }
}
