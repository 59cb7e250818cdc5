//! The task that keeps a node's place: ticks, ends leases on time while Redis is silent, and hands on what is told.
//!
//! It never waits for anything but the next thing that happens: a tick on its way stops neither the end of a lease nor an event.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::MembershipConfig;
use super::heartbeat::{Heartbeat, Mode, Tick, Told};
use super::lease::Holdings;
use crate::cluster::{ClusterEvent, Leases, NodeId};
use crate::domain::ShardId;
use crate::store::StoreError;
use crate::store::redis::{Notice, inspect};

/// What the rest of the process asks for.
#[derive(Debug)]
pub enum Command {
    HandedOver(ShardId),
    /// How long to wait for what is in flight, and whom to tell at the end.
    Leave(Duration, oneshot::Sender<()>),
}

/// What can happen next.
enum Next {
    Asked(Option<Command>),
    Ticked(Tick),
    TickDue,
    LeaseEnds,
    LookDue,
    Noticed(Option<Notice>),
    /// One event less waits.
    HandedOn,
    GivesUp,
}

/// Events that wait before notices are left waiting as well.
const MAX_PENDING: usize = 1_024;

/// See the module.
pub struct Member {
    heartbeat: Arc<Heartbeat>,
    holdings: Holdings,
    config: MembershipConfig,
    notices: Option<mpsc::Receiver<Notice>>,
    events: mpsc::Sender<ClusterEvent>,
    pending: VecDeque<ClusterEvent>,
    peers: Vec<NodeId>,
    directory_version: Option<u64>,
    last_beat: Option<Instant>,
    /// Redis does not answer, and this was said.
    is_away: bool,
    leaving: Vec<oneshot::Sender<()>>,
    gives_up_at: Option<Instant>,
}

impl Member {
    pub fn new(
        heartbeat: Arc<Heartbeat>,
        leases: Arc<Leases>,
        config: MembershipConfig,
        notices: mpsc::Receiver<Notice>,
        events: mpsc::Sender<ClusterEvent>,
    ) -> Self {
        Self {
            holdings: Holdings::new(heartbeat.node, leases, config.term()),
            heartbeat,
            config,
            notices: Some(notices),
            events,
            pending: VecDeque::new(),
            peers: Vec::new(),
            directory_version: None,
            last_beat: None,
            is_away: false,
            leaving: Vec::new(),
            gives_up_at: None,
        }
    }

    /// Runs until this node has left, or nobody is there to ask it to. `first` is the tick by which the node registered.
    pub async fn run(mut self, first: Tick, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut next_tick = self.ticked(first);
        let mut next_look = Instant::now() + self.config.look_again;
        let mut tick: Option<BoxFuture<'static, Tick>> = None;
        loop {
            let next = self.next(&mut commands, &mut tick, next_tick, next_look).await;
            match next {
                Next::Asked(None) => return,
                Next::GivesUp => {
                    tracing::warn!(
                        "Redis does not answer: this node leaves without a word, its leases end by themselves"
                    );
                    return self.say_farewell();
                }
                Next::Asked(Some(Command::HandedOver(shard))) => {
                    if self.holdings.handed_over(shard, Instant::now()) {
                        next_tick = Instant::now();
                    }
                }
                Next::Asked(Some(Command::Leave(patience, done))) => {
                    self.leaving.push(done);
                    let now = Instant::now();
                    let lost = self.holdings.divide(&[], now + patience);
                    self.hand_on(lost);
                    let gives_up_at = now + patience + self.config.lease / 2;
                    self.gives_up_at = Some(self.gives_up_at.map_or(gives_up_at, |at| at.min(gives_up_at)));
                    next_tick = now;
                }
                Next::Ticked(done) => {
                    tick = None;
                    let has_left = done.mode == Mode::Bye && done.told.is_ok();
                    next_tick = self.ticked(done);
                    if has_left && self.holdings.is_empty() {
                        tracing::info!(node = %self.heartbeat.node, "left the cluster; its shards are free for others");
                        return self.say_farewell();
                    }
                }
                Next::TickDue => {
                    let mode = if self.leaving.is_empty() { Mode::Beat } else { Mode::Bye };
                    let asks = self.holdings.asks(Instant::now());
                    tick = Some(Arc::clone(&self.heartbeat).tick_at(mode, asks).boxed());
                }
                Next::LeaseEnds => {
                    let lost = self.holdings.expire(Instant::now());
                    if !lost.is_empty() {
                        tracing::error!(
                            shards = lost.len(),
                            "leases ended without renewal: their deliveries stop here"
                        );
                    }
                    self.hand_on(lost);
                }
                Next::LookDue => {
                    next_look = Instant::now() + self.config.look_again;
                    self.tell(ClusterEvent::LookAgain);
                }
                Next::Noticed(notice) => self.noticed(notice),
                Next::HandedOn => {}
            }
        }
    }

    async fn next(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        tick: &mut Option<BoxFuture<'static, Tick>>,
        next_tick: Instant,
        next_look: Instant,
    ) -> Next {
        let first_end = self.holdings.first_end();
        let (is_ticking, gives_up_at) = (tick.is_some(), self.gives_up_at);
        let Self { notices, events, pending, .. } = self;
        let hears = notices.is_some() && pending.len() < MAX_PENDING;
        tokio::select! {
            () = at(first_end) => Next::LeaseEnds,
            command = commands.recv() => Next::Asked(command),
            done = async { tick.as_mut().expect("a tick is on its way").await }, if is_ticking => Next::Ticked(done),
            () = at(Some(next_tick)), if !is_ticking => Next::TickDue,
            () = at(Some(next_look)) => Next::LookDue,
            () = at(gives_up_at) => Next::GivesUp,
            notice = async { notices.as_mut().expect("there are notices").recv().await }, if hears => Next::Noticed(notice),
            permit = events.reserve(), if !pending.is_empty() => {
                match (permit, pending.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    // Nobody takes events any more.
                    _ => pending.clear(),
                }
                Next::HandedOn
            }
        }
    }

    /// Takes note of what a tick brought; answers when the next one is due.
    fn ticked(&mut self, Tick { asks, asked, told, mode }: Tick) -> Instant {
        let now = Instant::now();
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                self.away(&error);
                return now + self.config.haste();
            }
        };
        if std::mem::take(&mut self.is_away) {
            tracing::info!(owned = self.holdings.held(), "Redis answers again: leases are kept");
        }
        if mode == Mode::Beat {
            self.beaten(&told, asked, now);
        }
        let mut changes = Vec::new();
        for (ask, answer) in asks.into_iter().zip(&told.answers) {
            let shard = ask.0;
            let fence = |owner: &str| self.heartbeat.shared.set_fence(shard, Some(owner));
            changes.extend(self.holdings.told(ask, answer, (asked, now), fence));
        }
        let mut is_divided_anew = false;
        if self.leaving.is_empty() {
            let peers: Vec<_> = told.peers.iter().map(|peer| peer.id).collect();
            is_divided_anew = peers != self.peers;
            self.peers = peers;
            self.holdings.see_nodes(self.peers.len());
            changes.extend(self.holdings.divide(&self.peers, now + self.config.hand_over));
        }
        if !changes.is_empty() {
            let gained = changes.iter().filter(|change| matches!(change, ClusterEvent::Gained(_))).count();
            let (lost, owned) = (changes.len() - gained, self.holdings.held());
            tracing::info!(nodes = self.peers.len(), gained, lost, owned, "shards have moved");
            self.hand_on(changes);
        }
        if is_divided_anew {
            return now;
        }
        let next = if self.holdings.is_moving() { self.config.haste() } else { self.config.beat() };
        // Counted from the asking, so that a slow answer does not make leases shorter; never without a pause.
        (asked + next).max(now + self.config.haste() / 4)
    }

    fn away(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_away, true) {
            let owned = self.holdings.held();
            tracing::warn!(%error, owned, "leases cannot be renewed; trying again until they end, and after");
        }
    }

    /// Redis knows that this node lives: did it know before?
    fn beaten(&mut self, told: &Told, asked: Instant, answered: Instant) {
        // From before the last beat to after this one: an answer may have been long on its way, and the node forgotten meanwhile.
        let since = self.last_beat.replace(asked).map(|last| answered.saturating_duration_since(last));
        let is_forgotten = since.is_some_and(|since| !told.was_known && since < self.config.term());
        // Another node may have marked the emptied database as ours already: versions never sink otherwise.
        let is_younger = since.is_some() && !told.was_known && self.directory_version > Some(told.directory_version);
        if !told.is_in_use || is_forgotten || is_younger {
            tracing::error!(
                "Redis has lost its data: this node registers anew, and shards are divided from the beginning"
            );
            self.reclaim();
            self.directory_version = Some(told.directory_version);
            self.tell(ClusterEvent::DirectoryChanged);
            self.tell(ClusterEvent::LookAgain);
            return;
        }
        match since {
            None => {
                let (node, nodes) = (self.heartbeat.node, told.peers.len());
                tracing::info!(%node, name = self.config.name, nodes, "joined the cluster");
            }
            Some(away) if !told.was_known => {
                tracing::warn!(away_ms = away.as_millis(), "this node was taken for gone; it comes back");
            }
            Some(_) => {}
        }
        // Notices tell it sooner; what they missed is seen here.
        self.directory_is_at(told.directory_version);
    }

    /// Marks the emptied database as ours again.
    fn reclaim(&self) {
        let shared = Arc::clone(&self.heartbeat.shared);
        tokio::spawn(async move {
            if let Err(error) = inspect::claim(&shared).await {
                tracing::warn!(%error, "the emptied database could not be marked; the next sign of life tries again");
            }
        });
    }

    fn directory_is_at(&mut self, version: u64) {
        let before = self.directory_version.replace(version);
        if before.is_some_and(|before| before < version) {
            self.tell(ClusterEvent::DirectoryChanged);
        } else {
            self.directory_version = before.max(Some(version));
        }
    }

    /// Hands on what has come and gone. What has gone is looked after by others.
    fn hand_on(&mut self, changes: Vec<ClusterEvent>) {
        for change in &changes {
            if let ClusterEvent::Lost(shard) = change {
                self.heartbeat.shared.let_go(*shard);
            }
        }
        self.pending.extend(changes);
    }

    fn noticed(&mut self, notice: Option<Notice>) {
        match notice {
            None => self.notices = None,
            Some(Notice::Connected) => self.tell(ClusterEvent::LookAgain),
            Some(Notice::Directory { version, .. }) => self.directory_is_at(version),
            Some(Notice::Wake(webhooks)) => self.pending.push_back(ClusterEvent::Wake(webhooks)),
            Some(Notice::PutBack(webhook)) => self.tell(ClusterEvent::PutBack(webhook)),
            Some(Notice::Hasten(webhook, event)) => self.tell(ClusterEvent::Hasten(webhook, event)),
        }
    }

    /// Once is enough until it is taken.
    fn tell(&mut self, event: ClusterEvent) {
        if !self.pending.contains(&event) {
            self.pending.push_back(event);
        }
    }

    fn say_farewell(self) {
        // Whoever does not take them sees that the channel is closed: nothing is owned any more.
        self.pending.iter().try_for_each(|event| self.events.try_send(event.clone())).unwrap_or_default();
        let Self { holdings, leaving, .. } = self;
        drop(holdings);
        for done in leaving {
            let _nobody_waits = done.send(());
        }
    }
}

/// Never, without an instant.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
