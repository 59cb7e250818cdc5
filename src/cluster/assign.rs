//! Rendezvous hashing: each shard goes to the live node with the greatest weight for it. Who knows the same nodes divides alike;
//! a node that comes or goes moves no shard but its own.

use super::NodeId;
use crate::domain::ShardId;

/// The node that should own `shard`; `None` when there are no nodes. The order of `nodes` does not matter.
#[must_use]
pub fn owner_of(shard: ShardId, nodes: &[NodeId]) -> Option<NodeId> {
    nodes.iter().copied().max_by_key(|node| (weight(shard, *node), *node))
}

/// The same in every release: nodes of different versions must agree.
const fn weight(shard: ShardId, node: NodeId) -> u64 {
    let id = node.as_u128();
    mix(mix(mix(shard.index() as u64 ^ (id as u64)) ^ (id >> 64) as u64) ^ shard.index() as u64)
}

/// The finaliser of splitmix64 after its increment: every bit of the input moves half of the output's.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;

    fn nodes(most: usize) -> impl Strategy<Value = Vec<NodeId>> {
        prop::collection::btree_set(any::<u128>(), 1..most)
            .prop_map(|ids| ids.into_iter().map(NodeId::from_u128).collect())
    }

    fn division(nodes: &[NodeId]) -> Vec<NodeId> {
        ShardId::all().map(|shard| owner_of(shard, nodes).expect("there is a node")).collect()
    }

    proptest! {
        #[test]
        fn all_nodes_agree_whatever_the_order_they_know_each_other_in(mut known in nodes(12), turn in 0..12_usize) {
            let before = division(&known);
            known.reverse();
            let middle = turn % known.len();
            known.rotate_left(middle);
            prop_assert_eq!(before, division(&known));
        }

        #[test]
        fn a_node_that_goes_moves_no_shard_but_its_own(known in nodes(12), gone in 0..12_usize) {
            prop_assume!(known.len() > 1);
            let gone = known[gone % known.len()];
            let left: Vec<_> = known.iter().copied().filter(|node| *node != gone).collect();
            for (before, after) in division(&known).into_iter().zip(division(&left)) {
                prop_assert!(after != gone && (before == gone || before == after));
            }
        }
    }

    #[test]
    fn shares_are_balanced_within_a_factor() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in 2..=4_u32 {
            let mut most = Vec::new();
            for _ in 0..200 {
                let nodes: Vec<_> = (0..count).map(|_| NodeId::from_u128(random.u128(..))).collect();
                let mut shares: HashMap<NodeId, u32> = nodes.iter().map(|node| (*node, 0)).collect();
                for owner in division(&nodes) {
                    *shares.entry(owner).or_default() += 1;
                }
                most.extend(shares.into_values().max());
            }
            let fair = 64 / count;
            assert!(most.iter().all(|share| *share <= fair * 2 + 4), "{count} nodes: {most:?}");
            let mean = most.iter().sum::<u32>() / 200;
            assert!(mean <= fair * 3 / 2, "{count} nodes: the busiest has {mean} on average");
        }
    }

    #[test]
    fn the_division_is_the_same_in_every_release() {
        let nodes = [1, 2, 3].map(NodeId::from_u128);
        let first: Vec<_> = division(&nodes).into_iter().take(12).map(NodeId::as_u128).collect();
        assert_eq!(first, RELEASED);
        assert_eq!(owner_of(ShardId::from_index(0).unwrap(), &[]), None);
        assert_eq!(division(&nodes).into_iter().collect::<BTreeSet<_>>().len(), 3);
    }

    /// Worked out apart from the code above.
    const RELEASED: [u128; 12] = [1, 2, 2, 2, 3, 1, 3, 2, 1, 1, 1, 2];
}
