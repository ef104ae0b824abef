//! Promises about sweeps: each member inside is looked at, once for each time it was asked for, whatever stops in between.

use super::{
    Backend,
    world::{World, at, club, main_session, member, phone, record, remove, row},
};
use perimeterd::{
    clock::Timestamp,
    event::{EventKind, GroupSnapshot, Participant},
    ids::{DecisionId, EntryId, Person, PersonId, SweepId},
    store::{Cause, NewSweep, Reading, Source, Sweep, Whom},
};

/// Members looked at in one step.
const STEP: usize = 200;

impl World {
    /// Asks for a sweep of the club's members.
    pub(super) async fn begin(&self, cause: Cause, whom: Whom, when: Timestamp) -> Option<SweepId> {
        let places = vec![(main_session(), club())];
        let new = NewSweep { cause, whom, places, asked_at: when, mark: None };
        self.store.begin_sweep(new).await.expect("begun")
    }

    /// One step; its runs. `None`: no sweep goes on.
    pub(super) async fn step(&self, when: Timestamp) -> Option<Vec<DecisionId>> {
        if !self.store.sweep_on(when).await.expect("a step") {
            return None;
        }
        let mut runs = Vec::new();
        for entry in self.store.unread(EntryId(0), 10).await.expect("entries") {
            assert_eq!(entry.source, Source::Sweep);
            let told = serde_json::from_slice(&entry.body).expect("an event");
            let applied = self.store.apply(vec![(entry.id, Reading::Events(vec![told]))]).await;
            let applied = applied.expect("applied");
            assert!(applied.runs.is_empty(), "runs of a sweep are told apart");
            runs.extend(applied.looks);
        }
        Some(runs)
    }

    /// Steps until there are none; whom they looked at, in order.
    async fn to_the_end(&self, when: Timestamp) -> Vec<PersonId> {
        let mut looked_at = Vec::new();
        while let Some(runs) = self.step(when).await {
            looked_at.extend(self.people_of(runs.clone()).await);
            self.judge(runs, when).await;
        }
        looked_at
    }

    async fn people_of(&self, runs: Vec<DecisionId>) -> Vec<PersonId> {
        let inputs = self.store.run_inputs(runs).await.expect("inputs");
        assert!(inputs.iter().all(|input| input.sweep.is_some()));
        inputs.iter().map(|input| input.member.as_ref().expect("a member").id).collect()
    }

    async fn judge(&self, runs: Vec<DecisionId>, when: Timestamp) {
        let records = runs.into_iter().map(|run| record(run, when, Vec::new())).collect();
        self.store.commit(records).await.expect("committed");
    }

    async fn look(&self, id: SweepId) -> Sweep {
        self.store.sweep(id).await.expect("a look-up").expect("a sweep")
    }

    /// The club with so many members beside us; their numbers, in order.
    async fn with_members(&self, count: u64) -> Vec<PersonId> {
        let numbers: Vec<u64> = (1..=count).collect();
        self.adopt(&numbers).await;
        let mut ids = Vec::new();
        for n in numbers {
            ids.push(self.id(n).await);
        }
        ids.sort();
        ids
    }
}

pub(crate) async fn everybody_is_looked_at_once(backend: &dyn Backend) {
    let world = World::open(backend);
    assert_eq!(world.begin(Cause::Lists, Whom::Everybody, at(1)).await, None, "nobody is inside");
    let members = world.with_members(450).await;
    let id = world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    assert_eq!((world.look(id).await.members, world.look(id).await.looked_at), (450, 0));
    let mut seen = Vec::new();
    while let Some(runs) = world.step(at(11)).await {
        assert!(runs.len() <= STEP);
        seen.extend(world.people_of(runs.clone()).await);
        assert_eq!(world.look(id).await.looked_at, seen.len() as u64);
        world.judge(runs, at(11)).await;
    }
    assert_eq!(seen, members, "each once, and not us");
    let over = world.look(id).await;
    assert_eq!((over.members, over.looked_at, over.decided), (450, 450, 450));
    assert!(!over.is_running());
}

pub(crate) async fn what_is_asked_for_again_is_begun_anew_only_for_those_looked_at(backend: &dyn Backend) {
    let world = World::open(backend);
    let members = world.with_members(450).await;
    let id = world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    let first = world.step(at(11)).await.unwrap();
    let first = world.people_of(first).await;
    assert_eq!(first, members[..STEP]);
    assert_eq!(world.begin(Cause::Lists, Whom::Everybody, at(12)).await, Some(id), "it is taken in");
    assert_eq!((world.look(id).await.members, world.look(id).await.looked_at), (650, 200));
    let other = world.begin(Cause::Operator, Whom::Group(club()), at(12)).await.unwrap();
    assert_ne!(other, id, "another cause is another sweep");
    assert!(world.store.cancel_sweep(other, at(12)).await.unwrap());
    let rest = world.to_the_end(at(13)).await;
    assert_eq!(rest[..250], members[STEP..], "who was not looked at yet, once");
    assert_eq!(rest[250..], members[..STEP], "and who was, again");

    // In the second round too: who was passed in it, and who in the first round only.
    let id = world.begin(Cause::Lists, Whom::Everybody, at(20)).await.unwrap();
    world.step(at(21)).await.unwrap();
    world.step(at(21)).await.unwrap();
    assert_eq!(world.begin(Cause::Lists, Whom::Everybody, at(22)).await, Some(id));
    world.step(at(23)).await.unwrap();
    let begun_anew = world.step(at(23)).await.unwrap();
    assert_eq!(world.people_of(begun_anew).await, members[..STEP]);
    assert_eq!(world.begin(Cause::Lists, Whom::Everybody, at(24)).await, Some(id));
    let mut rest = world.to_the_end(at(25)).await;
    rest.sort();
    assert_eq!(rest, members, "everybody once more");
}

pub(crate) async fn a_restart_goes_on_where_the_sweep_stood(backend: &dyn Backend) {
    let world = World::open(backend);
    let members = world.with_members(450).await;
    let id = world.begin(Cause::Schedule, Whom::Everybody, at(10)).await.unwrap();
    let mut seen = world.people_of(world.step(at(11)).await.unwrap()).await;
    // A step that was put into the journal and not applied.
    assert!(world.store.sweep_on(at(12)).await.unwrap());
    let world = world.reopen(backend);
    assert_eq!(world.look(id).await.looked_at, 200);
    seen.extend(world.to_the_end(at(13)).await);
    assert_eq!(seen, members);
}

pub(crate) async fn single_people_come_first_and_only_where_they_are(backend: &dyn Backend) {
    let world = World::open(backend);
    let members = world.with_members(450).await;
    world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    world.step(at(11)).await.unwrap();
    let people = vec![phone(3), phone(7), phone(4_000)];
    let id = world.begin(Cause::Subscriptions, Whom::People(people), at(12)).await.unwrap();
    assert_eq!(world.look(id).await.members, 2, "the third is nobody here");
    world.tell(super::world::left(7, at(13))).await;
    let runs = world.step(at(14)).await.unwrap();
    assert_eq!(world.people_of(runs.clone()).await, [world.id(3).await], "who has left is passed over");
    world.judge(runs, at(14)).await;
    assert!(!world.look(id).await.is_running());
    assert_eq!(world.begin(Cause::Subscriptions, Whom::People(vec![phone(4_000)]), at(15)).await, None);
    assert_eq!(world.to_the_end(at(16)).await.len(), 250, "and the other goes on");
    assert_eq!(members.len(), 450);
}

pub(crate) async fn a_sweep_is_over_when_its_runs_are_judged(backend: &dyn Backend) {
    let world = World::open(backend);
    world.with_members(2).await;
    let id = world.begin(Cause::Operator, Whom::Everybody, at(10)).await.unwrap();
    let runs = world.step(at(11)).await.unwrap();
    assert_eq!(world.step(at(12)).await, None, "there is nobody else");
    assert!(world.look(id).await.is_running(), "nobody has been judged");
    let ann = world.id(1).await;
    world.commit(record(runs[0], at(13), vec![row(remove(ann), at(13))])).await;
    assert!(world.look(id).await.is_running());
    world.commit(record(runs[1], at(14), Vec::new())).await;
    let over = world.look(id).await;
    assert_eq!((over.finished_at, over.decided, over.actions), (Some(at(14)), 2, 1));
    assert_eq!(world.store.depths().await.unwrap().sweeps, 0);
}

pub(crate) async fn a_cancelled_sweep_makes_no_more_runs(backend: &dyn Backend) {
    let world = World::open(backend);
    world.with_members(450).await;
    let id = world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    let runs = world.step(at(11)).await.unwrap();
    assert!(world.store.sweep_on(at(11)).await.unwrap(), "a step is on its way");
    assert!(world.store.cancel_sweep(id, at(12)).await.unwrap());
    assert!(!world.store.cancel_sweep(id, at(12)).await.unwrap(), "once");
    for entry in world.store.unread(EntryId(0), 10).await.unwrap() {
        let told = serde_json::from_slice(&entry.body).unwrap();
        let applied = world.store.apply(vec![(entry.id, Reading::Events(vec![told]))]).await.unwrap();
        assert!(applied.looks.is_empty());
    }
    assert_eq!(world.step(at(13)).await, None);
    world.judge(runs, at(14)).await;
    let over = world.look(id).await;
    assert_eq!((over.looked_at, over.decided, over.cancelled_at), (200, 200, Some(at(12))));
}

/// A phone and a LID that were two members turn out to be one person, whose number the sweep has passed.
pub(crate) async fn whoever_turns_out_to_be_one_person_is_not_passed_over(backend: &dyn Backend) {
    let world = World::open(backend);
    // Known by phone from somewhere else, and so of a small number.
    world
        .tell(super::world::event(at(-50), EventKind::DirectMessage { from: super::world::person(900) }))
        .await;
    let early = world.id(900).await;
    let lid = super::world::lid(900);
    let mut people: Vec<Participant> = (1..=399).map(member).collect();
    people.insert(0, super::world::admin(0));
    people.push(Participant::new(Person::of_lid(lid)));
    let told = GroupSnapshot { participants: Some(people), ..GroupSnapshot::new(club()) };
    world.store.session_started(&main_session(), super::world::person(0), at(-100)).await.unwrap();
    world.tell(super::world::event(at(0), EventKind::Roster { group: told })).await;
    let id = world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    let runs = world.step(at(11)).await.unwrap();
    let first = world.people_of(runs.clone()).await;
    world.judge(runs, at(11)).await;
    assert!(!first.contains(&early) && first.iter().all(|id| *id > early));
    world.learn(phone(900), lid).await;
    assert_eq!(world.id(900).await, early, "the older row stays");
    let mut seen = world.to_the_end(at(12)).await;
    assert!(seen.contains(&early), "{seen:?}");
    seen.extend(first);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 400);
    assert!(!world.look(id).await.is_running());
}

pub(crate) async fn a_step_without_effect_ends_the_sweep(backend: &dyn Backend) {
    let world = World::open(backend);
    world.with_members(3).await;
    let id = world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    for _ in 0..4 {
        assert!(world.store.sweep_on(at(11)).await.unwrap());
        for entry in world.store.unread(EntryId(0), 10).await.unwrap() {
            let broken = Reading::Unreadable("could not be applied".into());
            world.store.apply(vec![(entry.id, broken)]).await.unwrap();
        }
    }
    assert!(!world.store.sweep_on(at(12)).await.unwrap(), "it does not go on for ever");
    let over = world.look(id).await;
    assert!(over.cancelled_at.is_some() && over.note.is_some(), "{over:?}");
}

pub(crate) async fn what_a_sweep_asks_for_comes_last(backend: &dyn Backend) {
    let world = World::open(backend);
    world.with_members(1).await;
    world.begin(Cause::Lists, Whom::Everybody, at(10)).await.unwrap();
    let runs = world.step(at(11)).await.unwrap();
    let old = world.id(1).await;
    world.commit(record(runs[0], at(12), vec![row(remove(old), at(12))])).await;
    let joiner = world.join_and_remove(2, at(20)).await;
    let heads = world.heads(at(21)).await;
    assert_eq!(heads.iter().map(|row| row.id == joiner).collect::<Vec<_>>(), [true, false]);
}

pub(crate) async fn a_mark_is_kept_with_or_without_a_sweep(backend: &dyn Backend) {
    let world = World::open(backend);
    assert_eq!(world.store.sweep_mark("schedule").await.unwrap(), None);
    let mark = Some(("schedule", "1".to_owned()));
    let new =
        NewSweep { cause: Cause::Schedule, whom: Whom::Everybody, places: Vec::new(), asked_at: at(1), mark };
    assert_eq!(world.store.begin_sweep(new).await.unwrap(), None);
    assert_eq!(world.store.sweep_mark("schedule").await.unwrap().as_deref(), Some("1"));
    world.store.keep_sweep_mark(("schedule", "2".into())).await.unwrap();
    assert_eq!(world.reopen(backend).store.sweep_mark("schedule").await.unwrap().as_deref(), Some("2"));
}
