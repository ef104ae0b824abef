//! Promises of the journal and the small lists.

use super::{
    Backend,
    world::{World, at, entry, event, joined, lid, main_session, person, phone, record},
};
use perimeterd::{
    event::EventKind,
    facts::{Status, Subscription},
    ids::{EntryId, Person},
    store::{Appended, EntryState, Filter, Pushed, Reading},
};

pub(crate) async fn an_appended_entry_is_there_after_a_crash(backend: &dyn Backend) {
    let world = World::open(backend);
    let id = world.append(at(1)).await;
    let world = world.reopen(backend);
    let unread = world.store.unread(EntryId(0), 10).await.unwrap();
    assert_eq!(unread.len(), 1);
    assert_eq!((unread[0].id, unread[0].received_at, unread[0].state), (id, at(1), EntryState::New));
    assert_eq!(&unread[0].body[..], b"{}");
    world.store.probe().await.unwrap();
    world.store.probe().await.unwrap();
}

pub(crate) async fn a_key_is_stored_once(backend: &dyn Backend) {
    let world = World::open(backend);
    let store = &world.store;
    let first = store.append(vec![entry("a", at(0))]).await.unwrap();
    assert!(matches!(first[..], [Appended::New(_)]));
    assert_eq!(store.append(vec![entry("a", at(9))]).await.unwrap(), [Appended::Repeat]);
    let mixed = store.append(vec![entry("b", at(0)), entry("a", at(0)), entry("b", at(0))]).await.unwrap();
    assert!(matches!(mixed[..], [Appended::New(_), Appended::Repeat, Appended::Repeat]), "{mixed:?}");
}

pub(crate) async fn an_array_is_stored_whole(backend: &dyn Backend) {
    let world = World::open(backend);
    let many: Vec<_> = (0..700).map(|n| entry(&format!("k{n}"), at(n))).collect();
    let answers = world.store.append(many).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Appended::New(_))));
    let unread = world.store.unread(EntryId(0), 1000).await.unwrap();
    assert!(unread.windows(2).all(|pair| pair[0].id < pair[1].id), "in the order of the array");
    assert_eq!(unread.len(), 700);
    let last = unread[698].id;
    assert_eq!(world.store.unread(last, 1000).await.unwrap().len(), 1);
}

pub(crate) async fn many_callers_are_each_answered_with_their_own_number(backend: &dyn Backend) {
    let world = World::open(backend);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..300 {
        let store = world.store.clone();
        tasks.spawn(async move {
            let answer = store.append(vec![entry(&format!("k{n}"), at(n))]).await.unwrap();
            let [Appended::New(id)] = answer[..] else { panic!("{answer:?}") };
            assert_eq!(
                store.entry(id).await.unwrap().unwrap().received_at,
                at(n),
                "answered before it was there"
            );
            id
        });
    }
    let ids: std::collections::HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 300);
}

pub(crate) async fn an_entry_is_found_by_its_gateway_id(backend: &dyn Backend) {
    let world = World::open(backend);
    world.store.append(vec![entry("main\0evt_1", at(0)), entry("main\0evt_2", at(0))]).await.unwrap();
    let found = world.store.entry_by_event_id("evt_2").await.unwrap();
    assert_eq!(found, Some(EntryId(2)));
    assert_eq!(world.store.entry_by_event_id("evt_3").await.unwrap(), None);
}

pub(crate) async fn entries_are_paged_newest_first(backend: &dyn Backend) {
    let world = World::open(backend);
    for n in 0..5 {
        world.append(at(n)).await;
    }
    let page = Filter { limit: 2, ..Filter::default() };
    let first = world.store.entries(page.clone()).await.unwrap();
    assert_eq!(first.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), [5, 4]);
    let second = world.store.entries(Filter { before: Some(4), ..page.clone() }).await.unwrap();
    assert_eq!(second.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), [3, 2]);
    world.store.apply(vec![(EntryId(1), Reading::Nothing("why".into()))]).await.unwrap();
    let ignored = world.store.entries(Filter { state: Some("ignored".into()), ..page }).await.unwrap();
    assert_eq!(ignored.len(), 1);
    assert_eq!(ignored[0].note.as_deref(), Some("why"));
}

pub(crate) async fn a_marked_entry_is_not_taken_again(backend: &dyn Backend) {
    let world = World::open(backend);
    let id = world.append(at(0)).await;
    let reading = || vec![(id, Reading::Events(vec![joined(1, at(0))]))];
    assert_eq!(world.store.apply(reading()).await.unwrap().runs.len(), 1);
    assert!(world.store.apply(reading()).await.unwrap().runs.is_empty());
    assert!(world.store.unread(EntryId(0), 10).await.unwrap().is_empty());
    let depths = world.store.depths().await.unwrap();
    assert_eq!((depths.unread, depths.pending_runs, depths.oldest_unread), (0, 1, None));
}

pub(crate) async fn an_unreadable_entry_goes_back_in_line(backend: &dyn Backend) {
    let world = World::open(backend);
    let id = world.append(at(0)).await;
    world.store.apply(vec![(id, Reading::Unreadable("not JSON".into()))]).await.unwrap();
    assert!(world.store.unread(EntryId(0), 10).await.unwrap().is_empty());
    assert_eq!(world.store.retry(id).await.unwrap(), 1);
    assert_eq!(world.store.unread(EntryId(0), 10).await.unwrap().len(), 1);
    assert_eq!(world.store.retry(id).await.unwrap(), 0);
}

pub(crate) async fn timers_fire_once_each(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let again = record(run, at(1), vec![]);
    world.commit(perimeterd::store::RunRecord { recheck_at: Some(at(300)), ..again }).await;
    assert_eq!(world.store.awaiting_recheck(10).await.unwrap(), [person(1)]);
    assert_eq!(world.store.fire_timers(at(299)).await.unwrap(), (0, Some(at(300))));
    assert_eq!(world.store.hasten_rechecks(at(200)).await.unwrap(), 1);
    assert_eq!(world.store.fire_timers(at(200)).await.unwrap(), (1, None));
    assert_eq!(world.store.fire_timers(at(900)).await.unwrap(), (0, None));
    let world = world.reopen(backend);
    let unread = world.store.unread(EntryId(0), 10).await.unwrap();
    assert_eq!(unread.len(), 1);
    let told: perimeterd::event::Event = serde_json::from_slice(&unread[0].body).unwrap();
    assert_eq!(told.kind, EventKind::Recheck { decision: run, round: 1 });
}

pub(crate) async fn old_entries_are_forgotten_and_live_ones_kept(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let removal = world.join_and_remove(1, at(1)).await;
    world.call(removal, perimeterd::action::RowState::Done, at(2)).await;
    let waiting = world.join_and_remove(2, at(1)).await;
    world.append(at(3)).await;
    assert!(world.store.prune(at(1000)).await.unwrap() > 0);
    let rows = world.rows().await;
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [waiting]);
    assert!(world.store.decision(rows[0].decision).await.unwrap().is_some());
    assert_eq!(world.store.unread(EntryId(0), 10).await.unwrap().len(), 1);
    let depths = world.store.depths().await.unwrap();
    assert_eq!(depths.outbox, [(perimeterd::action::RowState::Waiting, "remove".into(), 1)]);
    assert_eq!(
        world.store.ledger(&main_session(), at(0)).await.unwrap().len(),
        1,
        "the ledger is kept longer"
    );
}

pub(crate) async fn pushed_subscriptions_and_alerts_are_kept(backend: &dyn Backend) {
    let world = World::open(backend);
    let push = |status| {
        let subscription = Subscription { status, plan: Some("gold".into()), expires_at: None };
        world.store.push_subscription(Pushed { phone: phone(1), subscription, at: at(0) })
    };
    push(Status::Active).await.unwrap();
    push(Status::Canceled).await.unwrap();
    for second in [0, 10, 3599, 7200] {
        world.store.alert(at(second), "policy", "key", "text").await.unwrap();
    }
    let world = world.reopen(backend);
    let pushed = world.store.pushed().await.unwrap();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].subscription.status, Status::Canceled);
    world.store.drop_pushed(phone(1)).await.unwrap();
    assert!(world.store.pushed().await.unwrap().is_empty());
    let alerts = world.store.alerts(10).await.unwrap();
    assert_eq!(alerts.iter().map(|alert| alert.count).collect::<Vec<_>>(), [1, 3]);
    // Nobody is made up by learning about strangers.
    world.learn(phone(9), lid(9)).await;
    assert_eq!(world.store.person(Person::of_lid(lid(9))).await.unwrap(), None);
    let unknown = event(at(0), EventKind::Ignored { name: "poll.vote".into() });
    assert!(world.tell(unknown).await.runs.is_empty());
}
