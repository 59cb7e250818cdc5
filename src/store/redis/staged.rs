//! One call of the append script in the making.
//!
//! What belongs to one key lies together, as the command takes it: the script hands it on as it is. Which events it belongs to is told
//! beside it, for the calls in which some are known already. Bodies go ahead of the script, see there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use redis::{Cmd, cmd};

use super::answer::{all_bytes, event_id, fields, list, number, numbers};
use super::counts::Counted;
use super::keys::{self, lane_name};
use super::messages::Messages;
use super::rows::{Record, Standing, corrupt, encode_event, head, is_plain, member, message_row, score};
use super::script::Call;
use super::shared::Shared;
use crate::domain::{EventId, LaneClass, LaneEntry, ShardId, WebhookIdBits};
use crate::store::{Append, Appended, StoreError};

/// Numbers, told as one argument.
#[derive(Default)]
struct Numbers(String);

impl Numbers {
    fn push(&mut self, number: u64) {
        let space = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{space}{number}").expect("a string takes what it is told");
    }
}

/// Of some events: their numbers, and what is written for them.
#[derive(Default)]
pub struct Part {
    pub count: u64,
    events: Numbers,
    pub written: Call,
}

impl Part {
    pub fn of(&mut self, event: u64) -> &mut Call {
        self.count += 1;
        self.events.push(event);
        &mut self.written
    }

    pub fn head(&self, call: &mut Call) {
        call.number(self.count).arg(self.events.0.as_bytes());
    }
}

/// See the module.
#[derive(Default)]
pub struct Staged {
    events: Vec<EventId>,
    clients: Part,
    client_bucket: Option<u64>,
    /// Events with their bodies, by bucket.
    bodies: BTreeMap<u64, Vec<(EventId, Vec<u8>)>>,
    body_bytes: u64,
    lanes: BTreeMap<(WebhookIdBits, LaneClass), Vec<(u64, LaneEntry)>>,
    held: u64,
    holds: Numbers,
    max_early_ms: u64,
    messages: Messages,
}

impl Staged {
    pub fn event(&mut self, shard: ShardId, append: &Append) -> Result<(), StoreError> {
        let event = &append.event;
        let here = append.entries.iter().filter(|entry| ShardId::of_webhook(entry.webhook) == shard);
        let number = self.enter(event.id, here);
        let blob = encode_event(append)?;
        self.body_bytes += 16 + blob.len() as u64;
        self.bodies.entry(keys::event_bucket(event.id)).or_default().push((event.id, blob));
        if let Some(client_id) = &event.client_id {
            let bucket = keys::client_bucket(event.accepted_at);
            self.client_bucket = self.client_bucket.max(Some(bucket));
            let mut known = event.id.to_be_bytes().to_vec();
            known.extend_from_slice(event.accepted_at.millis().to_string().as_bytes());
            self.clients.of(number).arg(&keys::of_instance(&event.instance, client_id)).arg(&known);
        }
        for message in &append.messages {
            let (day, field) = (keys::day(message.updated_at), keys::of_instance(&event.instance, &message.message_id));
            let row = message_row(message.state, message.updated_at, &message.number);
            self.message(number, day, field, row);
        }
        Ok(())
    }

    /// What is told of a message, by the event of that number; 0: by none.
    pub fn message(&mut self, event: u64, day: u64, field: Vec<u8>, row: Vec<u8>) {
        self.messages.push(event, day, field, row);
    }

    /// Only entries: their event is kept in another shard.
    pub fn entries_only(&mut self, id: EventId, entries: &[LaneEntry]) {
        self.enter(id, entries.iter());
    }

    /// Answers the event's number.
    fn enter<'a>(&mut self, id: EventId, entries: impl Iterator<Item = &'a LaneEntry>) -> u64 {
        self.events.push(id);
        let number = self.events.len() as u64;
        let mut held = 0;
        for entry in entries {
            held += u64::from(entry.data_bytes);
            if is_plain(entry) {
                self.max_early_ms = self.max_early_ms.max(early_ms(entry));
            }
            self.lanes.entry((entry.webhook, entry.class)).or_default().push((number, *entry));
        }
        self.held += held;
        self.holds.push(held);
        number
    }

    pub async fn send(mut self, shared: &Shared, shard: ShardId) -> Result<Vec<Appended>, StoreError> {
        let call = self.call(shared, shard)?;
        let told = shared.confirmed().call_behind(self.ahead(shared, shard), &shared.scripts.append, &call).await?;
        let [sequence, duplicates, late, lengths] = fields(told)?;
        let counted = self.lanes.keys().map(|(webhook, class)| Counted::Waiting(*webhook, *class));
        shared.counts.tell(number(&sequence)?, counted.zip(numbers(lengths)?));
        let mut answers = vec![Appended::New; self.events.len()];
        let mut place = |number: u64| {
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            place.filter(|place| *place < answers.len()).ok_or_else(|| corrupt("an answer of Redis", &"no such event"))
        };
        let late = numbers(late)?.into_iter().map(&mut place).collect::<Result<Vec<_>, _>>()?;
        let mut known = Vec::new();
        for pair in list(duplicates)?.chunks_exact(2) {
            let [first] = <[_; 1]>::try_from(all_bytes(redis::Value::Array(vec![pair[1].clone()]))?).expect("one item");
            known.push((place(number(&pair[0])?)?, event_id(&first)?));
        }
        for place in late {
            answers[place] = Appended::Late;
        }
        for (place, first) in known {
            answers[place] = Appended::Duplicate(first);
        }
        Ok(answers)
    }

    /// The bodies, and first their bucket's place in the index, so that retention finds them whatever happens to the script.
    pub fn ahead(&self, shared: &Shared, shard: ShardId) -> Vec<Cmd> {
        let commands = self.bodies.iter().flat_map(|(bucket, bodies)| {
            let mut index = cmd("ZADD");
            index.arg(shared.keys.of(shard, b"b")).arg(*bucket).arg(*bucket);
            let bytes = bodies.iter().map(|(_, blob)| 32 + blob.len()).sum::<usize>();
            let mut set = Cmd::with_capacity(2 + 2 * bodies.len(), 64 + bytes);
            set.arg("HSET").arg(shared.keys.events(shard, *bucket));
            for (id, blob) in bodies {
                set.arg(&id.to_be_bytes()[..]).arg(&blob[..]);
            }
            [index, set]
        });
        commands.collect()
    }

    /// The script's part, to be made once.
    pub fn call(&mut self, shared: &Shared, shard: ShardId) -> Result<Call, StoreError> {
        let groups = std::mem::take(&mut self.messages).groups(self.clients.count == 0);
        let (wake, fence) = (shared.config.many_nodes, shared.fence(shard));
        let mut call = Call::new(shared.keys.base(shard));
        call.arg(&shared.nonce).arg(&fence).arg(if wake { b"1" } else { b"0" });
        call.arg(self.client_bucket.map(|bucket| bucket.to_string()).unwrap_or_default().as_bytes());
        call.number(self.max_early_ms).number(shared.doubts.generation()).number(self.events.len() as u64);
        call.number(self.body_bytes).number(self.held).arg(self.holds.0.as_bytes());
        call.number(self.clients.count).number(self.bodies.len() as u64);
        call.number(self.lanes.len() as u64).number(groups.len() as u64);
        call.arg(self.clients.events.0.as_bytes());
        let has_bodies = !self.bodies.is_empty();
        let ids: Vec<_> = self.events.iter().filter(|_| has_bodies).flat_map(|id| id.to_be_bytes()).collect();
        call.arg(&ids).extend(&self.clients.written);
        for (bucket, bodies) in &self.bodies {
            let (one, _) = bodies.first().expect("a bucket is made for an event");
            call.number(*bucket).arg(&one.to_be_bytes());
        }
        let mut entries = Call::default();
        for ((webhook, class), lane) in &mut self.lanes {
            lane.sort_unstable_by_key(|(_, entry)| entry.event);
            let rising: &[u8] = if matches!(class, LaneClass::Live | LaneClass::Low) { b"1" } else { b"0" };
            let mut events = Numbers::default();
            for (event, entry) in lane.iter() {
                events.push(*event);
                entries.arg(score(entry).as_bytes()).arg(&member(entry)?);
            }
            let all_plain = lane.iter().all(|(_, entry)| is_plain(entry));
            call.arg(&lane_name(*webhook, *class)).arg(rising).number(lane.len() as u64).arg(events.0.as_bytes());
            call.number(if all_plain { 0 } else { lane.len() as u64 });
            for (_, entry) in lane.iter().filter(|_| !all_plain) {
                entries.arg(&first_record(entry)?);
            }
        }
        for group in &groups {
            group.head(&mut call);
        }
        call.extend(&entries);
        for group in &groups {
            group.body(&mut call);
        }
        Ok(call)
    }
}

/// By how much an entry is due before its event's id was made: more than 0 only after the clock has stepped back.
pub fn early_ms(entry: &LaneEntry) -> u64 {
    entry.event.timestamp().millis().saturating_sub(entry.due.millis())
}

/// An entry that does not wait for its first attempt needs a record to be found by lists.
fn first_record(entry: &LaneEntry) -> Result<Vec<u8>, StoreError> {
    if is_plain(entry) {
        return Ok(Vec::new());
    }
    let head = head(entry.kind, entry.event.timestamp(), Standing::Waiting(entry.into()))?;
    Ok(Record::bytes(entry.event, &head, &[]))
}
