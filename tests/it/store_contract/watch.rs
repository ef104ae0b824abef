//! Promises by which silence is noticed: troubles, states of sessions, our rights, canaries.

use super::{
    Backend,
    world::{World, admin, at, club, event, main_session, member, record, roster},
};
use perimeterd::{
    clock::Timestamp,
    event::EventKind,
    ids::{DecisionId, GroupId, SessionName},
    store::{Applied, Filter, Noticed},
};

fn canary(nonce: &str, when: Timestamp) -> perimeterd::event::Event {
    event(when, EventKind::Canary { nonce: nonce.into() })
}

fn is_state(applied: &Applied, word: &str) -> bool {
    matches!(&applied.noticed[..], [Noticed::State(told)] if told.state == word)
}

pub(crate) async fn a_trouble_is_told_when_it_begins_and_when_it_is_over(backend: &dyn Backend) {
    let world = World::open(backend);
    let store = &world.store;
    assert!(store.trouble_begins(at(1), "silence", "main", "no webhook").await.unwrap());
    assert!(!store.trouble_begins(at(9000), "silence", "main", "no webhook").await.unwrap());
    assert!(store.trouble_begins(at(2), "silence", "other", "no webhook").await.unwrap());
    let world = world.reopen(backend);
    let store = &world.store;
    let open = store.troubles().await.unwrap();
    assert_eq!(open.iter().map(|trouble| &*trouble.key).collect::<Vec<_>>(), ["main", "other"]);
    assert_eq!(open[0].at, at(1));
    assert!(store.trouble_ends(at(9001), "silence", "main", "it speaks").await.unwrap());
    assert!(!store.trouble_ends(at(9002), "silence", "main", "it speaks").await.unwrap());
    assert!(!store.trouble_ends(at(9002), "canary", "other", "it came").await.unwrap());
    let alerts = store.alerts(10).await.unwrap();
    let told: Vec<_> = alerts.iter().map(|alert| (&*alert.kind, alert.count)).collect();
    assert_eq!(told, [("silence_over", 1), ("silence", 1), ("silence", 1)]);
    assert_eq!(store.troubles().await.unwrap().len(), 1);
}

pub(crate) async fn a_state_told_for_an_earlier_moment_changes_nothing(backend: &dyn Backend) {
    let world = World::open(backend);
    let status = |word: &str, when| event(when, EventKind::SessionStatus { status: word.into() });
    assert!(is_state(&world.tell(status("STOPPED", at(10))).await, "STOPPED"));
    assert!(is_state(&world.tell(status("WORKING", at(20))).await, "WORKING"));
    assert!(world.tell(status("STARTING", at(15))).await.noticed.is_empty(), "it came late");
    let states = world.store.session_states().await.unwrap();
    assert_eq!(states.len(), 1);
    assert_eq!((&*states[0].state, states[0].at), ("WORKING", at(20)));
}

pub(crate) async fn our_rights_are_noticed_with_what_they_were(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[1]).await;
    let roles = |who, when| event(when, EventKind::RolesChanged { group: club(), people: vec![who] });
    let rights = |applied: &Applied| match &applied.noticed[..] {
        [Noticed::Rights(rights)] => (rights.before, rights.now),
        other => panic!("{other:?}"),
    };
    assert_eq!(rights(&world.tell(roles(member_as_told(0), at(10))).await), (Some(true), false));
    assert_eq!(rights(&world.tell(roles(admin(1), at(20))).await), (Some(false), false), "not ours");
    assert_eq!(rights(&world.tell(roster(&[admin(0), admin(1)], at(30))).await), (Some(false), true));
    let left = world.tell(event(at(40), EventKind::SelfLeft { group: club() })).await;
    assert!(matches!(&left.noticed[..], [Noticed::Left { group, .. }] if *group == club()), "{left:?}");
    let again = world.tell(event(at(50), EventKind::SelfLeft { group: club() })).await;
    assert!(again.noticed.is_empty());
}

fn member_as_told(n: u64) -> perimeterd::event::Participant {
    perimeterd::event::Participant { role: perimeterd::event::Role::Member, ..member(n) }
}

pub(crate) async fn a_canary_goes_the_whole_way_and_is_seen_nowhere(backend: &dyn Backend) {
    let world = World::open(backend);
    let (store, session) = (&world.store, main_session());
    store.canary_begins(&session, "c1", at(0)).await.unwrap();
    let applied = world.tell(canary("c1", at(1))).await;
    let [run] = applied.runs[..] else { panic!("{applied:?}") };
    let input = &store.run_inputs(vec![run]).await.unwrap()[0];
    assert!(input.group.id == GroupId::none() && input.member.is_none());
    assert!(store.take_canaries(&session, at(1)).await.unwrap().is_empty(), "not decided yet");
    world.commit(record(run, at(2), Vec::new())).await;
    assert!(world.heads(at(3)).await.is_empty(), "it is no call");
    assert!(store.take_canaries(&SessionName::new("other"), at(3)).await.unwrap().is_empty());
    assert_eq!(store.take_canaries(&session, at(3)).await.unwrap(), [at(0)]);
    assert!(store.take_canaries(&session, at(4)).await.unwrap().is_empty(), "once");
    let known = &store.canaries(&session, 10).await.unwrap()[0];
    assert!(known.applied_at.is_some() && known.decided_at == Some(at(2)));
    assert_eq!(known.delivered_at, Some(at(3)));

    assert!(store.groups().await.unwrap().is_empty());
    assert!(store.decisions(Filter::default()).await.unwrap().is_empty());
    assert!(store.outbox(Filter::default()).await.unwrap().is_empty());
    assert!(store.entries(Filter::default()).await.unwrap().is_empty());
    let depths = store.depths().await.unwrap();
    assert!(depths.outbox.is_empty() && depths.oldest_waiting.is_none(), "{depths:?}");
    assert_eq!(store.last_webhook(&session).await.unwrap(), None, "no sign of life");
    world.append(at(7)).await;
    assert_eq!(store.last_webhook(&session).await.unwrap(), Some(at(7)));
}

pub(crate) async fn only_a_canary_that_we_posted_counts_and_it_counts_once(backend: &dyn Backend) {
    let world = World::open(backend);
    world.store.canary_begins(&SessionName::new("other"), "c1", at(0)).await.unwrap();
    for nonce in ["c1", "c2"] {
        assert!(world.tell(canary(nonce, at(1))).await.runs.is_empty(), "{nonce}: not of this session");
    }
    world.store.canary_begins(&main_session(), "c3", at(0)).await.unwrap();
    assert_eq!(world.tell(canary("c3", at(1))).await.runs.len(), 1);
    assert!(world.tell(canary("c3", at(2))).await.runs.is_empty(), "told again under another key");
    let ignored = Filter { state: Some("ignored".into()), ..Filter::default() };
    assert_eq!(world.store.entries(ignored).await.unwrap().len(), 3);
}

pub(crate) async fn old_canaries_are_forgotten_whole(backend: &dyn Backend) {
    let world = World::open(backend);
    let store = &world.store;
    for (n, when) in [("c1", at(0)), ("c2", at(100))] {
        store.canary_begins(&main_session(), n, when).await.unwrap();
        let run = world.tell(canary(n, when)).await.runs[0];
        world.commit(record(run, when, Vec::new())).await;
        store.take_canaries(&main_session(), when).await.unwrap();
    }
    assert_eq!(store.forget_canaries(at(50)).await.unwrap(), 1);
    let left = store.canaries(&main_session(), 10).await.unwrap();
    assert_eq!(left.iter().map(|canary| &*canary.nonce).collect::<Vec<_>>(), ["c2"]);
    assert!(store.run_inputs(vec![DecisionId(1)]).await.unwrap().is_empty(), "its decision is gone");
}
