//! What this node holds, wants and lets go of: decides what to ask Redis for and what its answers mean. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::heartbeat::{Answer, Ask};
use crate::cluster::{ClusterEvent, Leases, Moved, NodeId, owner_of};
use crate::domain::ShardId;

/// How this node stands to one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Hold {
    Nothing,
    Held {
        owner: String,
        until: Instant,
    },
    /// Another node should have it: nothing is started any more, what is in flight is waited for.
    Parting {
        owner: String,
        until: Instant,
        release_at: Instant,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Holdings {
    node: NodeId,
    leases: Arc<Leases>,
    /// This node counts on a lease for so long after it asked: less than Redis keeps it.
    term: Duration,
    holds: Vec<Hold>,
    /// Bits of [`ShardId::bit`].
    wanted: u64,
}

impl Holdings {
    pub fn new(node: NodeId, leases: Arc<Leases>, term: Duration) -> Self {
        Self { node, leases, term, holds: vec![Hold::Nothing; ShardId::COUNT], wanted: 0 }
    }

    /// So many nodes live.
    pub fn see_nodes(&self, nodes: usize) {
        self.leases.see_nodes(nodes);
    }

    /// These nodes live: takes note of what is to be taken, and parts from what others should have by `release_at` at the latest.
    pub fn divide(&mut self, nodes: &[NodeId], release_at: Instant) -> Vec<ClusterEvent> {
        let mut lost = Vec::new();
        for shard in ShardId::all() {
            if owner_of(shard, nodes) == Some(self.node) {
                self.wanted |= shard.bit();
                continue;
            }
            self.wanted &= !shard.bit();
            let hold = &mut self.holds[shard.index()];
            match hold {
                Hold::Held { owner, until } => {
                    let (owner, until) = (std::mem::take(owner), *until);
                    *hold = Hold::Parting { owner, until, release_at };
                    self.leases.revoke(shard);
                    self.leases.note(Moved::HandedOver);
                    lost.push(ClusterEvent::Lost(shard));
                }
                Hold::Parting { release_at: patience, .. } => *patience = (*patience).min(release_at),
                Hold::Nothing => {}
            }
        }
        lost
    }

    /// Nothing of the shard is in flight any more. Answers whether it can be let go of now.
    pub fn handed_over(&mut self, shard: ShardId, now: Instant) -> bool {
        if let Hold::Parting { release_at, .. } = &mut self.holds[shard.index()] {
            *release_at = now;
            return true;
        }
        false
    }

    /// What to ask Redis for now.
    pub fn asks(&self, now: Instant) -> Vec<(ShardId, Ask)> {
        let ask = |shard: ShardId| {
            let ask = match &self.holds[shard.index()] {
                Hold::Parting { owner, release_at, .. } if *release_at <= now => Ask::Release(owner.clone()),
                Hold::Held { owner, .. } | Hold::Parting { owner, .. } => Ask::Renew(owner.clone()),
                Hold::Nothing if self.wanted & shard.bit() != 0 => Ask::Take,
                Hold::Nothing => return None,
            };
            Some((shard, ask))
        };
        ShardId::all().filter_map(ask).collect()
    }

    /// What Redis answered to something asked at `asked`. A shard is fenced by `fence` before it counts as owned.
    pub fn told(
        &mut self,
        (shard, ask): (ShardId, Ask),
        answer: &Answer,
        (asked, now): (Instant, Instant),
        fence: impl FnOnce(&str),
    ) -> Option<ClusterEvent> {
        let until_then = asked + self.term;
        let is_wanted = self.wanted & shard.bit() != 0;
        let hold = &mut self.holds[shard.index()];
        match (ask, hold) {
            (Ask::Renew(asked_for), Hold::Held { owner, until }) if asked_for == *owner => {
                if answer.number > 0 {
                    *until = until_then;
                    self.leases.grant(shard, until_then);
                    return None;
                }
                self.holds[shard.index()] = Hold::Nothing;
                self.leases.revoke(shard);
                self.leases.note(Moved::Lost);
                Some(ClusterEvent::Lost(shard))
            }
            (Ask::Renew(asked_for), Hold::Parting { owner, until, .. }) if asked_for == *owner => {
                if answer.number > 0 {
                    *until = until_then;
                } else {
                    self.holds[shard.index()] = Hold::Nothing;
                }
                None
            }
            (Ask::Release(asked_for), Hold::Parting { owner, .. }) if asked_for == *owner => {
                self.holds[shard.index()] = Hold::Nothing;
                None
            }
            (Ask::Take, hold @ Hold::Nothing) if answer.number > 0 && now < until_then => {
                let owner = format!("{}:{}", self.node, answer.number);
                if !is_wanted {
                    *hold = Hold::Parting { owner, until: until_then, release_at: now };
                    return None;
                }
                fence(&owner);
                *hold = Hold::Held { owner, until: until_then };
                self.leases.grant(shard, until_then);
                self.leases.note(Moved::Gained);
                Some(ClusterEvent::Gained(shard))
            }
            // Refused, or an answer to what is past: what Redis holds for this node then is taken anew, or ends by itself.
            _ => None,
        }
    }

    /// Gives up what has ended by `now` without having been renewed.
    pub fn expire(&mut self, now: Instant) -> Vec<ClusterEvent> {
        let mut lost = Vec::new();
        for shard in ShardId::all() {
            let hold = &mut self.holds[shard.index()];
            match hold {
                Hold::Held { until, .. } if *until <= now => {
                    *hold = Hold::Nothing;
                    self.leases.revoke(shard);
                    self.leases.note(Moved::Lost);
                    lost.push(ClusterEvent::Lost(shard));
                }
                Hold::Parting { until, .. } if *until <= now => *hold = Hold::Nothing,
                Hold::Nothing | Hold::Held { .. } | Hold::Parting { .. } => {}
            }
        }
        lost
    }

    /// When the first of what is held ends.
    pub fn first_end(&self) -> Option<Instant> {
        let end = |hold: &Hold| match hold {
            Hold::Nothing => None,
            Hold::Held { until, .. } | Hold::Parting { until, .. } => Some(*until),
        };
        self.holds.iter().filter_map(end).min()
    }

    pub fn held(&self) -> usize {
        self.holds.iter().filter(|hold| matches!(hold, Hold::Held { .. })).count()
    }

    pub fn is_empty(&self) -> bool {
        self.holds.iter().all(|hold| *hold == Hold::Nothing)
    }

    /// Whether something is wanted or to be let go of: then Redis is asked more often.
    pub fn is_moving(&self) -> bool {
        ShardId::all().any(|shard| match self.holds[shard.index()] {
            Hold::Nothing => self.wanted & shard.bit() != 0,
            Hold::Held { .. } => false,
            Hold::Parting { .. } => true,
        })
    }
}

impl Drop for Holdings {
    /// Whoever ends without leaving owns nothing any more; the others learn it when the leases end.
    fn drop(&mut self) {
        ShardId::all().for_each(|shard| self.leases.revoke(shard));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(4);

    struct Scene {
        holdings: Holdings,
        leases: Arc<Leases>,
        shard: ShardId,
        start: Instant,
    }

    /// A node alone that has taken its first shard as `token` 7.
    fn owner() -> Scene {
        let (node, leases) = (NodeId::from_u128(1), Arc::new(Leases::none()));
        let mut holdings = Holdings::new(node, Arc::clone(&leases), TERM);
        let (shard, start) = (ShardId::from_index(0).unwrap(), Instant::now());
        assert_eq!(holdings.divide(&[node], start), []);
        let mut fence = String::new();
        let answer = Answer { number: 7, text: String::new() };
        let gained = holdings.told((shard, Ask::Take), &answer, (start, start), |owner| fence = owner.into());
        assert_eq!((gained, &*fence), (Some(ClusterEvent::Gained(shard)), &*format!("{node}:7")));
        Scene { holdings, leases, shard, start }
    }

    impl Scene {
        fn ask(&self, now: Instant) -> Ask {
            self.holdings.asks(now).into_iter().find(|(shard, _)| *shard == self.shard).unwrap().1
        }

        fn told(&mut self, ask: Ask, number: u64, at: Instant) -> Option<ClusterEvent> {
            let answer = Answer { number, text: String::new() };
            self.holdings.told((self.shard, ask), &answer, (at, at), |_| {})
        }
    }

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for() {
        let mut scene = owner();
        assert!(!scene.leases.owns(scene.shard, scene.start + TERM));
        let ask = scene.ask(scene.start);
        let later = scene.start + TERM / 2;
        assert_eq!(scene.told(ask, 1, later), None);
        assert!(scene.leases.owns(scene.shard, scene.start + TERM));
        assert_eq!(scene.holdings.expire(scene.start + TERM), []);
        assert_eq!(scene.holdings.expire(later + TERM), [ClusterEvent::Lost(scene.shard)]);
        assert_eq!(scene.ask(later + TERM), Ask::Take, "it is still wanted");
        assert_eq!([Moved::Gained, Moved::HandedOver, Moved::Lost].map(|how| scene.leases.moved(how)), [1, 0, 1]);
    }

    #[test]
    fn an_answer_to_a_lease_that_has_ended_meanwhile_changes_nothing() {
        let mut scene = owner();
        let renewal = scene.ask(scene.start);
        scene.holdings.expire(scene.start + TERM);
        assert_eq!(scene.told(renewal, 1, scene.start + TERM), None);
        assert!(!scene.leases.owns(scene.shard, scene.start + TERM));
        let slow = Answer { number: 8, text: String::new() };
        let (asked, now) = (scene.start, scene.start + TERM);
        assert_eq!(scene.holdings.told((scene.shard, Ask::Take), &slow, (asked, now), |_| panic!("fenced")), None);
    }

    #[test]
    fn a_shard_is_kept_for_what_is_in_flight_and_let_go_of_when_that_is_settled() {
        let mut scene = owner();
        let release_at = scene.start + Duration::from_secs(1);
        assert_eq!(scene.holdings.divide(&[NodeId::from_u128(2)], release_at), [ClusterEvent::Lost(scene.shard)]);
        assert!(!scene.leases.owns(scene.shard, scene.start), "nothing new is started");
        assert!(matches!(scene.ask(scene.start), Ask::Renew(_)));
        assert!(matches!(scene.ask(release_at), Ask::Release(_)), "the wait is bounded");
        assert!(scene.holdings.handed_over(scene.shard, scene.start));
        let release = scene.ask(scene.start);
        assert!(matches!(release, Ask::Release(_)));
        assert_eq!(scene.told(release, 1, scene.start), None);
        assert!(scene.holdings.is_empty() && !scene.holdings.is_moving());
    }

    #[test]
    fn what_was_taken_while_it_became_another_nodes_is_given_back_at_once() {
        let (node, leases) = (NodeId::from_u128(1), Arc::new(Leases::none()));
        let mut holdings = Holdings::new(node, Arc::clone(&leases), TERM);
        let (shard, now) = (ShardId::from_index(5).unwrap(), Instant::now());
        holdings.divide(&[node], now);
        holdings.divide(&[], now);
        let answer = Answer { number: 3, text: String::new() };
        assert_eq!(holdings.told((shard, Ask::Take), &answer, (now, now), |_| {}), None);
        assert_eq!(holdings.asks(now), [(shard, Ask::Release(format!("{node}:3")))]);
        assert!(!leases.owns(shard, now));
    }

    #[test]
    fn an_owner_that_is_dropped_owns_nothing() {
        let Scene { holdings, leases, shard, start } = owner();
        drop(holdings);
        assert!(!leases.owns(shard, start));
    }
}
