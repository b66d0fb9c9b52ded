//! Visits every state that can be reached, nearest first, so that the way to a violation is a
//! shortest one. States are kept whole: none is missed because two share a hash.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What was found.
#[derive(Debug)]
pub struct Outcome<S, A> {
    /// How many states there are, or were until the violation.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// How many steps the farthest one is away.
    pub depth: usize,
    /// What is wrong, and the way to it.
    pub violation: Option<Violation<S, A>>,
}

/// A state that must not be, and how it comes about.
#[derive(Debug)]
pub struct Violation<S, A> {
    /// The sentence that does not hold.
    pub what: &'static str,
    /// From the beginning: what happened, and what it led to.
    pub way: Vec<(Option<A>, S)>,
}

/// Something whose states can be visited.
pub trait System {
    /// All that can differ.
    type State: Copy + Eq + Hash + Debug;
    /// A step's name.
    type Action: Copy + Debug;

    /// Where it begins.
    fn begins(&self) -> Vec<Self::State>;
    /// Every step from here.
    fn steps(&self, from: &Self::State, steps: &mut Vec<(Self::Action, Self::State)>);
    /// The sentence that does not hold here.
    fn violation(&self, state: &Self::State) -> Option<&'static str>;
    /// One of all states that differ in nothing that matters.
    fn canonical(&self, state: Self::State) -> Self::State;
}

/// Visits them all, unless one is wrong.
pub fn explore<T: System>(system: &T) -> Outcome<T::State, T::Action> {
    let mut search = Search::<T> {
        states: Vec::new(),
        came_by: Vec::new(),
        known: HashSet::default(),
    };
    for state in system.begins() {
        search.add(system.canonical(state), None);
    }
    let (mut next, mut steps, mut depth) = (0, 0, 0);
    let mut depth_ends = search.states.len();
    let mut from_here = Vec::new();
    while let Some(state) = search.states.get(next).copied() {
        if next == depth_ends {
            depth += 1;
            depth_ends = search.states.len();
        }
        if let Some(what) = system.violation(&state) {
            let way = search.way_to(next);
            let violation = Some(Violation { what, way });
            let states = search.states.len();
            return Outcome {
                states,
                steps,
                depth,
                violation,
            };
        }
        system.steps(&state, &mut from_here);
        steps += from_here.len();
        for (action, to) in from_here.drain(..) {
            search.add(system.canonical(to), Some((next, action)));
        }
        next += 1;
    }
    Outcome {
        states: search.states.len(),
        steps,
        depth,
        violation: None,
    }
}

struct Search<T: System> {
    states: Vec<T::State>,
    came_by: Vec<Option<(u32, T::Action)>>,
    known: HashSet<T::State, BuildHasherDefault<Mixer>>,
}

impl<T: System> Search<T> {
    fn add(&mut self, state: T::State, came_by: Option<(usize, T::Action)>) {
        if self.known.insert(state) {
            self.states.push(state);
            let from = came_by.map(|(from, action)| (u32::try_from(from), action));
            self.came_by.push(match from {
                Some((Ok(from), action)) => Some((from, action)),
                _ => None,
            });
        }
    }

    fn way_to(&self, end: usize) -> Vec<(Option<T::Action>, T::State)> {
        let mut way = Vec::new();
        let mut at = end;
        loop {
            let came_by = self.came_by[at];
            way.push((came_by.map(|(_, action)| action), self.states[at]));
            let Some((from, _)) = came_by else { break };
            at = usize::try_from(from).unwrap_or_default();
        }
        way.reverse();
        way
    }
}

/// Mixes words fast. The keys are our own; nobody chooses them to collide.
#[derive(Debug, Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(u64::from_le_bytes(number.to_le_bytes()));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::from_le_bytes(number.to_le_bytes()));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters, each raised by one up to four.
    struct Counters {
        forbidden: Option<(u8, u8)>,
        alike: bool,
    }

    impl System for Counters {
        type State = (u8, u8);
        type Action = &'static str;

        fn begins(&self) -> Vec<(u8, u8)> {
            vec![(0, 0)]
        }

        fn steps(&self, from: &(u8, u8), steps: &mut Vec<(&'static str, (u8, u8))>) {
            if from.0 < 4 {
                steps.push(("left", (from.0 + 1, from.1)));
            }
            if from.1 < 4 {
                steps.push(("right", (from.0, from.1 + 1)));
            }
        }

        fn violation(&self, state: &(u8, u8)) -> Option<&'static str> {
            (self.forbidden == Some(*state)).then_some("forbidden")
        }

        fn canonical(&self, state: (u8, u8)) -> (u8, u8) {
            if self.alike && state.0 > state.1 {
                (state.1, state.0)
            } else {
                state
            }
        }
    }

    #[test]
    fn every_state_is_visited_once() {
        let all = explore(&Counters {
            forbidden: None,
            alike: false,
        });
        assert_eq!((all.states, all.steps, all.depth), (25, 40, 8));
        assert!(all.violation.is_none());
    }

    #[test]
    fn states_that_are_alike_are_one() {
        let half = explore(&Counters {
            forbidden: None,
            alike: true,
        });
        assert_eq!(half.states, 15);
    }

    #[test]
    fn the_way_to_a_violation_is_a_shortest_one_and_complete() {
        let found = explore(&Counters {
            forbidden: Some((2, 1)),
            alike: false,
        });
        let violation = found.violation.unwrap();
        assert_eq!(violation.what, "forbidden");
        let states: Vec<_> = violation.way.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [(0, 0), (1, 0), (2, 0), (2, 1)]);
        assert_eq!(violation.way[0].0, None);
        assert_eq!(violation.way[3].0, Some("right"));
    }
}
