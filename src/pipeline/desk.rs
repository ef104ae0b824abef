//! The runs in hand: whose turn it is, who waits behind whom, and whose facts have come. Pure bookkeeping; what is
//! durable about a run is in the store.

use crate::{
    clock::Timestamp,
    facts::{Answer, Facts, Need},
    ids::{DecisionId, GroupId, PersonId},
    store::{RunInput, RunState},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

/// Runs of sweeps taken up at once: whoever joins meanwhile waits for so many of them.
const LOOKS_AT_ONCE: usize = 64;

/// Runs of sweeps whose facts are being fetched: few, so that whoever joins finds the sources free.
const LOOK_UPS: usize = 4;

/// Runs of one person are made one after the other, wherever they are: the next one reads the tags that the last one set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Turn {
    Person(PersonId),
    /// Runs about nobody.
    Group(GroupId),
}

/// The runs in hand.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) queue: VecDeque<DecisionId>,
    /// Runs of sweeps: their turn comes when nobody else waits.
    pub(super) looks: VecDeque<DecisionId>,
    /// Runs of sweeps whose facts are still to be fetched, and how many are being fetched.
    pub(super) shelved: VecDeque<Unfetched>,
    looking_up: usize,
    /// Turns taken, with the runs that wait for theirs.
    turns: HashMap<Turn, VecDeque<DecisionId>>,
    /// Runs whose facts have come.
    pub(super) ready: VecDeque<(RunInput, Facts)>,
    /// Everything in `queue`, `looks`, `turns` and under way, so that a retry does not take a run twice.
    pub(super) known: HashSet<DecisionId>,
    /// When pending runs were looked for last.
    pub(super) looked: Duration,
    /// When to look for them again although nothing rings: whatever rang last came too soon after a look.
    pub(super) look_due: Option<Duration>,
    pub(super) next_timer: Option<Timestamp>,
}

/// A run and the facts that it misses.
pub(super) type Unfetched = (RunInput, Facts, Vec<Need>);

/// A run whose missing facts have come.
pub(super) type Fetched = (RunInput, Facts, Vec<(Need, Answer)>);

impl Desk {
    pub(super) fn enqueue(&mut self, id: DecisionId) {
        if self.known.insert(id) {
            self.queue.push_back(id);
        }
    }

    pub(super) fn enqueue_look(&mut self, id: DecisionId) {
        if self.known.insert(id) {
            self.looks.push_back(id);
        }
    }

    /// The next runs, at most so many.
    pub(super) fn next(&mut self, most: usize) -> Vec<DecisionId> {
        self.queue.drain(..self.queue.len().min(most)).collect()
    }

    /// The next runs of sweeps.
    pub(super) fn next_looks(&mut self) -> Vec<DecisionId> {
        self.looks.drain(..self.looks.len().min(LOOKS_AT_ONCE)).collect()
    }

    /// Whether no run waits for its turn here: then a sweep may go on.
    pub(super) fn is_free(&self) -> bool {
        self.is_idle() && self.shelved.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.looks.is_empty() && self.ready.is_empty()
    }

    /// A run of a sweep misses facts.
    pub(super) fn shelve(&mut self, run: Unfetched) {
        self.shelved.push_back(run);
    }

    /// The next of those whose facts may be fetched now.
    pub(super) fn unshelve(&mut self) -> Option<Unfetched> {
        if self.looking_up >= LOOK_UPS {
            return None;
        }
        let run = self.shelved.pop_front()?;
        self.looking_up += 1;
        Some(run)
    }

    /// The run, if it is its turn; else it waits behind the one that has it.
    pub(super) fn take_turn(&mut self, input: RunInput) -> Option<RunInput> {
        if input.state != RunState::Pending {
            self.known.remove(&input.id);
            return None;
        }
        match self.turns.entry(turn(&input)) {
            std::collections::hash_map::Entry::Occupied(mut waiting) => {
                waiting.get_mut().push_back(input.id);
                None
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                Some(input)
            }
        }
    }

    /// Ends a turn; the runs that waited for it come next.
    pub(super) fn end_turn(&mut self, input: &RunInput) {
        self.known.remove(&input.id);
        for id in self.turns.remove(&turn(input)).into_iter().flatten().rev() {
            self.queue.push_front(id);
        }
    }

    pub(super) fn take_fetched(&mut self, (input, mut facts, answers): Fetched) {
        if input.sweep.is_some() {
            self.looking_up = self.looking_up.saturating_sub(1);
        }
        facts.answers.extend(answers);
        self.ready.push_back((input, facts));
    }

    /// Runs that are no longer on record are no longer known.
    pub(super) fn forget_missing(&mut self, asked: &[DecisionId], found: &[RunInput]) {
        let found: HashSet<DecisionId> = found.iter().map(|input| input.id).collect();
        for id in asked.iter().filter(|id| !found.contains(id)) {
            self.known.remove(id);
        }
    }

    pub(super) fn put_back(&mut self, ids: Vec<DecisionId>, ready: Vec<(RunInput, Option<Facts>)>) {
        for id in ids.into_iter().rev() {
            self.queue.push_front(id);
        }
        self.ready.extend(ready.into_iter().filter_map(|(input, facts)| facts.map(|facts| (input, facts))));
    }
}

fn turn(input: &RunInput) -> Turn {
    match &input.member {
        Some(member) => Turn::Person(member.id),
        None => Turn::Group(input.group.id.clone()),
    }
}
