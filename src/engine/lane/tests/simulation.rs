//! Random arrivals, failures, slow reads, rests and restarts.

use proptest::prelude::*;

use super::world::World;
use crate::domain::LaneClass;

#[derive(Clone, Debug)]
enum Step {
    Append {
        key: u64,
        low: bool,
        coalesce: u64,
    },
    Start,
    Land {
        index: usize,
        success: bool,
        delay: u64,
    },
    Read,
    Arrive,
    Wait(u64),
    Rest,
    Resume,
    /// Stored without being handed on, then told of before anything else comes.
    AppendUntold {
        key: u64,
    },
    /// Stored among the retries by another node.
    PutBackElsewhere {
        key: u64,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4u64, prop::bool::weighted(0.1), prop_oneof![4 => Just(0), 1 => 1..3u64])
            .prop_map(|(key, low, coalesce)| Step::Append { key, low, coalesce }),
        5 => Just(Step::Start),
        6 => (0..4usize, prop::bool::weighted(0.6), 1..80u64)
            .prop_map(|(index, success, delay)| Step::Land { index, success, delay }),
        4 => Just(Step::Read),
        4 => Just(Step::Arrive),
        3 => (1..60u64).prop_map(Step::Wait),
        1 => Just(Step::Rest),
        2 => Just(Step::Resume),
        1 => (0..4u64).prop_map(|key| Step::AppendUntold { key }),
        1 => (0..4u64).prop_map(|key| Step::PutBackElsewhere { key }),
        1 => Just(Step::Restart),
    ]
}

fn run(steps: Vec<Step>, ordered: bool, single_key: bool) {
    let mut world = World::new(ordered, single_key);
    let key_of = |key| match (single_key, ordered) {
        (true, _) => 1,
        (false, true) => key,
        (false, false) => 0,
    };
    for step in steps {
        match step {
            Step::Append { key, low, coalesce } => {
                let key = key_of(key);
                let class = if low && !ordered { LaneClass::Low } else { LaneClass::Live };
                world.append(key, class, if ordered { 0 } else { coalesce });
            }
            Step::Start => world.start_all(4),
            Step::Land { index, success, delay } => world.land(index, success, delay),
            Step::Read => world.read_one(),
            Step::Arrive => world.arrive_one(),
            Step::Wait(ms) => world.now += ms,
            Step::Rest => world.lane.rest(),
            Step::Resume => world.lane.resume(),
            Step::AppendUntold { key } => world.append_untold(key_of(key)),
            Step::PutBackElsewhere { key } => world.put_back_elsewhere(key_of(key)),
            Step::Restart => world.restart(),
        }
    }
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_unordered_lane_delivers_everything_once(steps in prop::collection::vec(step(), 1..250)) {
        run(steps, false, false);
    }

    #[test]
    fn a_lane_ordered_by_chat_keeps_order_and_delivers_everything_once(steps in prop::collection::vec(step(), 1..250)) {
        run(steps, true, false);
    }

    #[test]
    fn a_lane_ordered_by_instance_keeps_order_and_delivers_everything_once(steps in prop::collection::vec(step(), 1..250)) {
        run(steps, true, true);
    }
}
