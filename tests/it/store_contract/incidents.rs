//! What operators are told: news until told, and messages that are kept with everything that sends them.

use super::{
    Backend,
    world::{World, at, club, main_session, phone},
};
use perimeterd::{
    action::{Call, RowState},
    ids::{DecisionId, Person},
    store::{Chat, ChatMessage, News, PostOutcome, Telling},
};

fn telling(alerts: Vec<(i64, u32)>, chat: Option<Chat>) -> Telling {
    let message = chat.map(|chat| ChatMessage {
        session: main_session(),
        chat,
        text: "look".into(),
        expires_at: at(90_000),
    });
    Telling {
        kind: "policy".into(),
        follow_up: false,
        count: alerts.iter().map(|(_, count)| count).sum(),
        alerts,
        first_at: at(0),
        last_at: at(1),
        lines: vec!["look".into()],
        message,
        post: true,
    }
}

async fn news(world: &World) -> News {
    world.store.news(at(-1)).await.unwrap()
}

pub(crate) async fn what_operators_were_told_is_no_news(backend: &dyn Backend) {
    let world = World::open(backend);
    for second in [0, 1] {
        world.store.alert(at(second), "policy", "key", "look").await.unwrap();
    }
    let first = news(&world).await.alerts;
    assert_eq!((first.len(), first[0].count, first[0].told_at), (1, 2, None));
    // One more is raised while the message is written: it is news still.
    world.store.alert(at(2), "policy", "key", "look").await.unwrap();
    world.store.tell(telling(vec![(first[0].id, 2)], None), at(60)).await.unwrap();
    let world = world.reopen(backend);
    let rest = news(&world).await;
    assert_eq!(
        (rest.alerts[0].count, rest.alerts[0].told_count, rest.alerts[0].told_at),
        (3, 2, Some(at(60)))
    );
    assert_eq!(rest.told, [("policy".into(), at(60))]);
    world.store.tell(telling(vec![(first[0].id, 3)], None), at(61)).await.unwrap();
    assert!(news(&world).await.alerts.is_empty());
    // After a pause it is another incident.
    world.store.alert(at(9000), "policy", "key", "look").await.unwrap();
    let again = news(&world).await.alerts;
    assert!(again.len() == 1 && again[0].id != first[0].id && again[0].told_at.is_none());
    assert!(world.store.news(at(9000)).await.unwrap().alerts.is_empty(), "too old to be news");
}

pub(crate) async fn a_message_and_its_post_are_kept_together(backend: &dyn Backend) {
    let world = World::open(backend);
    world.store.tell(telling(Vec::new(), Some(Chat::Group(club()))), at(60)).await.unwrap();
    world.store.tell(telling(Vec::new(), Some(Chat::Person(phone(1)))), at(61)).await.unwrap();
    let world = world.reopen(backend);
    let rows = world.rows().await;
    let to = world.store.person(Person::of_phone(phone(1))).await.unwrap().unwrap();
    let said = Call::Say { group: club(), text: "look".into(), mentions: Vec::new() };
    let mut calls: Vec<_> = rows.iter().map(|row| row.call.clone()).collect();
    calls.sort_by_key(Call::name);
    assert_eq!(calls, [Call::Dm { to, text: "look".into() }, said]);
    assert!(rows.iter().all(|row| row.decision == DecisionId(0) && row.state == RowState::Waiting));
    assert_eq!(world.store.decision(DecisionId(0)).await.unwrap().map(|decision| decision.id), None);
    assert_eq!(world.store.posts(at(61)).await.unwrap().0.len(), 2);
}

pub(crate) async fn a_post_waits_until_its_time(backend: &dyn Backend) {
    let world = World::open(backend);
    world.store.tell(telling(Vec::new(), None), at(60)).await.unwrap();
    let (posts, next) = world.store.posts(at(60)).await.unwrap();
    assert_eq!((posts.len(), posts[0].attempts, next), (1, 0, None));
    let id = posts[0].id;
    world.store.posted(id, PostOutcome::Again(at(70))).await.unwrap();
    let world = world.reopen(backend);
    assert_eq!(world.store.posts(at(69)).await.unwrap(), (Vec::new(), Some(at(70))));
    let (posts, _) = world.store.posts(at(70)).await.unwrap();
    assert_eq!((posts[0].id, posts[0].attempts, &posts[0].lines), (id, 1, &vec!["look".to_owned()]));
    world.store.posted(id, PostOutcome::Done).await.unwrap();
    assert_eq!(world.store.posts(at(9999)).await.unwrap(), (Vec::new(), None));
}
