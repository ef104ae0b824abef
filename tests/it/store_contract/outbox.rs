//! Promises towards the delivery: who may go, what a settled call leads to, what a crash leaves.

use super::{
    Backend,
    world::{
        World, after, announce, at, club, dm, left, main_session, person, record, remove, row, settled,
        welcome,
    },
};
use perimeterd::{
    action::{Call, Class, RowState},
    ids::OutboxId,
    store::{CallId, LedgerEntry, NewRow, Settled},
};

pub(crate) async fn heads_come_by_priority_and_only_when_due(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let say = Call::Say { group: club(), text: "hello".into(), mentions: vec![] };
    let rows = vec![
        row(welcome(id), at(1)),
        row(say, at(1)),
        row(dm(id, "later"), at(50)),
        row(dm(id, "now"), at(1)),
        row(remove(id), at(1)),
        row(announce(true), at(1)),
    ];
    world.commit(record(run, at(1), rows)).await;
    let names =
        |rows: &[perimeterd::store::Row]| -> Vec<_> { rows.iter().map(|row| row.call.name()).collect() };
    assert_eq!(world.store.next_due(&main_session(), at(1)).await.unwrap(), Some(at(50)));
    let heads = world.heads(at(1)).await;
    assert_eq!(names(&heads), ["announce_only", "remove", "dm", "say", "welcome"]);
    assert_eq!(names(&world.heads(at(50)).await), ["announce_only", "remove", "dm", "dm", "say", "welcome"]);
    let only = world.store.heads(&main_session(), &[Class::Dm], at(50), 1).await.unwrap();
    assert_eq!(only.len(), 1);
    let head = &heads[1];
    assert_eq!((head.jid.as_str(), head.present), ("4915000000001@c.us", Some(true)));
    assert_eq!((head.person, heads[0].person, heads[2].present), (Some(person(1)), None, None));
    let other = perimeterd::ids::SessionName::new("second");
    assert!(world.store.heads(&other, &Class::ALL, at(50), 10).await.unwrap().is_empty());
}

pub(crate) async fn a_row_waits_for_the_one_before_it(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let rows = vec![row(remove(id), at(1)), after(0, row(dm(id, "bye"), at(1)))];
    world.commit(record(run, at(1), rows)).await;
    let heads = world.heads(at(1)).await;
    assert_eq!(heads.len(), 1);
    let (removal, message) = (heads[0].id, world.rows().await[1].id);
    let later = Settled { not_before: Some(at(20)), ..settled(RowState::Waiting) };
    world.settle(message, later, at(2)).await;
    assert_eq!(world.heads(at(30)).await.len(), 1, "put off is not released");
    world.settle(removal, settled(RowState::Held), at(3)).await;
    assert!(world.heads(at(30)).await.is_empty(), "held: both wait");
    world.settle(removal, settled(RowState::Waiting), at(4)).await;
    world.call(removal, RowState::Done, at(5)).await;
    assert!(world.heads(at(5)).await.is_empty());
    assert_eq!(world.heads(at(20)).await[0].id, message);
}

pub(crate) async fn a_cancelled_row_is_never_begun(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (one, two) = (world.join_and_remove(1, at(1)).await, world.join_and_remove(2, at(1)).await);
    world.settle(one, settled(RowState::Cancelled), at(2)).await;
    let session = main_session();
    let begin = |rows| world.store.begin(&session, rows, vec![Class::Remove], at(3));
    assert_eq!(begin(vec![two, one]).await.unwrap(), None);
    assert_eq!(world.state(two).await, RowState::Waiting, "nothing happened");
    assert!(world.store.ledger(&main_session(), at(0)).await.unwrap().is_empty());
    assert!(begin(vec![two]).await.unwrap().is_some());
    assert_eq!(begin(vec![two]).await.unwrap(), None);
    assert_eq!(world.rows().await[1].attempts, 1);
    // What has ended stays as it ended.
    world.settle(one, settled(RowState::Waiting), at(4)).await;
    assert_eq!(world.state(one).await, RowState::Cancelled);
}

pub(crate) async fn what_waited_for_a_failed_row_is_cancelled(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    for (n, end) in
        [RowState::Cancelled, RowState::Refused, RowState::Dead, RowState::Expired].iter().enumerate()
    {
        let n = n as u64 + 1;
        let run = world.join(n, at(1)).await;
        let id = world.id(n).await;
        let rows = vec![
            row(remove(id), at(1)),
            after(0, row(dm(id, "bye"), at(1))),
            after(1, row(dm(id, "really"), at(1))),
        ];
        world.commit(record(run, at(1), rows)).await;
        let rows = world.rows_of(run).await;
        world.settle(rows[0].id, settled(*end), at(2)).await;
        let states: Vec<_> = world.rows_of(run).await.iter().map(|row| row.state).collect();
        assert_eq!(states, [*end, RowState::Cancelled, RowState::Cancelled]);
    }
    let run = world.join(9, at(1)).await;
    let id = world.id(9).await;
    let refused =
        NewRow { state: RowState::Refused, note: Some("an admin".into()), ..row(remove(id), at(1)) };
    world.commit(record(run, at(1), vec![refused, after(0, row(dm(id, "bye"), at(1)))])).await;
    let states: Vec<_> = world.rows_of(run).await.iter().map(|row| row.state).collect();
    assert_eq!(states, [RowState::Refused, RowState::Cancelled]);
}

pub(crate) async fn a_message_of_unknown_outcome_is_never_sent_again(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let rows = vec![row(dm(id, "one"), at(1)), after(0, row(dm(id, "two"), at(1)))];
    world.commit(record(run, at(1), rows)).await;
    let rows = world.rows().await;
    world.call(rows[0].id, RowState::Unknown, at(2)).await;
    world.settle(rows[0].id, settled(RowState::Waiting), at(3)).await;
    world.store.hasten_rows(&main_session(), at(4)).await.unwrap();
    assert_eq!(world.state(rows[0].id).await, RowState::Unknown);
    assert!(world.store.unknown_removals(&main_session(), at(9)).await.unwrap().is_empty());
    assert_eq!(world.heads(at(5)).await[0].id, rows[1].id, "the order is kept, the next one goes");
}

pub(crate) async fn a_row_that_waited_too_long_expires(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let first = NewRow { expires_at: Some(at(60)), ..row(dm(id, "one"), at(1)) };
    world.commit(record(run, at(1), vec![first, after(0, row(dm(id, "two"), at(1)))])).await;
    assert_eq!(world.heads(at(59)).await.len(), 1);
    assert!(world.heads(at(60)).await.is_empty());
    let states: Vec<_> = world.rows().await.iter().map(|row| row.state).collect();
    assert_eq!(states, [RowState::Expired, RowState::Cancelled]);
}

pub(crate) async fn a_crash_during_a_call_is_taken_up(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let rows = vec![row(remove(id), at(1)), row(dm(id, "hello"), at(1)), row(announce(true), at(1))];
    world.commit(record(run, at(1), rows)).await;
    let ids: Vec<OutboxId> = world.rows().await.iter().map(|row| row.id).collect();
    for (id, class) in ids.iter().zip([Class::Remove, Class::Dm, Class::Settings]) {
        world.store.begin(&main_session(), vec![*id], vec![class], at(2)).await.unwrap().unwrap();
    }
    let world = world.reopen(backend);
    world.store.recover(at(10), at(11)).await.unwrap();
    let states: Vec<_> = world.rows().await.iter().map(|row| row.state).collect();
    assert_eq!(states, [RowState::Unknown, RowState::Unknown, RowState::Waiting]);
    let doubtful = world.store.unknown_removals(&main_session(), at(11)).await.unwrap();
    assert_eq!(doubtful.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[0]]);
    let ledger = world.store.ledger(&main_session(), at(11)).await.unwrap();
    assert_eq!(ledger.len(), 3);
    assert!(ledger.iter().all(|entry| entry.ended_at == Some(at(11))));
}

pub(crate) async fn the_ledger_survives_and_knows_its_newest_moment(backend: &dyn Backend) {
    let world = World::open(backend);
    assert_eq!(world.store.resume_time(at(0), None).await.unwrap(), at(0));
    let session = main_session();
    let begin = |classes, when| world.store.begin(&session, vec![], classes, when);
    let read = begin(vec![Class::Read], at(1)).await.unwrap().unwrap();
    world.store.settle(Some(read), vec![], at(2), at(2)).await.unwrap();
    let cold = begin(vec![Class::Dm, Class::ColdDm], at(5)).await.unwrap().unwrap();
    assert_ne!(read, cold);
    let world = world.reopen(backend);
    assert_eq!(world.store.resume_time(at(0), None).await.unwrap(), at(5));
    let entry =
        |id: CallId, class, started, ended| LedgerEntry { id, class, started_at: started, ended_at: ended };
    let all = world.store.ledger(&main_session(), at(0)).await.unwrap();
    let expected = [
        entry(read, Class::Read, at(1), Some(at(2))),
        entry(cold, Class::Dm, at(5), None),
        entry(cold, Class::ColdDm, at(5), None),
    ];
    assert_eq!(all, expected);
    world.store.settle(Some(cold), vec![], at(9), at(9)).await.unwrap();
    assert_eq!(world.store.ledger(&main_session(), at(3)).await.unwrap().len(), 2);
    assert_eq!(world.store.resume_time(at(0), None).await.unwrap(), at(9));
}

pub(crate) async fn failed_rows_are_hastened(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let (tried, fresh) = (world.join_and_remove(1, at(1)).await, world.join_and_remove(2, at(1)).await);
    let later = || Settled { not_before: Some(at(500)), ..settled(RowState::Waiting) };
    let call = world.store.begin(&main_session(), vec![tried], vec![Class::Remove], at(2)).await.unwrap();
    world.store.settle(call, vec![(tried, later()), (fresh, later())], at(3), at(3)).await.unwrap();
    assert!(world.heads(at(4)).await.is_empty());
    assert_eq!(world.store.hasten_rows(&main_session(), at(4)).await.unwrap(), 1);
    assert_eq!(world.heads(at(4)).await[0].id, tried);
    assert_eq!(world.store.next_due(&main_session(), at(4)).await.unwrap(), Some(at(500)));
}

pub(crate) async fn a_leave_settles_what_was_to_be_removed(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let waiting = world.join_and_remove(1, at(1)).await;
    let told = world.tell(left(1, at(5))).await;
    assert_eq!((told.runs.len(), told.outbox_changed), (1, true), "they left by themselves");
    let row = world.rows().await.remove(0);
    assert_eq!(
        (row.id, row.state, row.note.as_deref()),
        (waiting, RowState::Cancelled, Some("left before the removal"))
    );
    let sending = world.join_and_remove(2, at(1)).await;
    let call = world.store.begin(&main_session(), vec![sending], vec![Class::Remove], at(2)).await.unwrap();
    assert!(world.tell(left(2, at(3))).await.runs.is_empty(), "our own doing");
    assert_eq!(world.state(sending).await, RowState::Done);
    world.store.settle(call, vec![(sending, settled(RowState::Unknown))], at(30), at(30)).await.unwrap();
    assert_eq!(world.state(sending).await, RowState::Done, "the event knew better");
    assert_eq!((world.size().await, world.facts(2).await.1.removals), (1, 1));
    world.join(2, at(4)).await;
}

pub(crate) async fn heads_are_quick_over_a_hundred_thousand_rows(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let run = world.join(1, at(1)).await;
    let id = world.id(1).await;
    let mut rows: Vec<_> = (0..60_000).map(|n| row(dm(id, "x"), at(1 + n % 2 * 1_000_000))).collect();
    rows.push(row(remove(id), at(1)));
    rows.extend((0..40_000).map(|_| after(60_000, row(dm(id, "after"), at(1)))));
    world.commit(record(run, at(1), rows)).await;
    world.heads(at(1)).await;
    let clock = perimeterd::clock::SystemClock::new();
    for _ in 0..20 {
        assert_eq!(world.heads(at(1)).await.len(), 10);
        world.store.depths().await.unwrap();
    }
    let each = perimeterd::clock::Clock::elapsed(&clock) / 20;
    assert!(each.as_millis() < 50, "heads and depths took {each:?}");
}

pub(crate) async fn a_withdrawal_takes_back_only_what_has_not_begun(backend: &dyn Backend) {
    let world = World::open(backend);
    world.adopt(&[]).await;
    let mut rows = Vec::new();
    for number in 1..=4 {
        let run = world.join(number, at(1)).await;
        let id = world.id(number).await;
        world
            .commit(record(run, at(1), vec![row(remove(id), at(1)), after(0, row(dm(id, "bye"), at(1)))]))
            .await;
        rows.push(world.rows_of(run).await[0].id);
    }
    let [waiting, held, sending, other] = rows[..] else { unreachable!() };
    world.settle(held, settled(RowState::Held), at(2)).await;
    let session = main_session();
    assert!(world.store.begin(&session, vec![sending], vec![Class::Remove], at(2)).await.unwrap().is_some());
    let phone = person(1).phone;
    let ids = |rows: Vec<perimeterd::store::Row>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(world.store.pending_removals(phone).await.unwrap()), [waiting]);
    assert_eq!(ids(world.store.pending_removals(None).await.unwrap()), [waiting, held, other]);
    let paid = |id| (id, "they paid".to_owned());
    let withdrawn = world.store.withdraw(vec![paid(waiting), paid(held), paid(sending)]).await.unwrap();
    assert_eq!(withdrawn, 2);
    let states = [waiting, held, sending, other];
    let mut found = Vec::new();
    for id in states {
        found.push(world.state(id).await);
    }
    assert_eq!(found, [RowState::Cancelled, RowState::Cancelled, RowState::Sending, RowState::Waiting]);
    let cancelled = world.rows().await.into_iter().filter(|row| row.state == RowState::Cancelled).count();
    assert_eq!(cancelled, 4, "what waited for them is dropped with them");
}
