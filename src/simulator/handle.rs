//! The simulator as one handle: the world, its faults, the gateway's HTTP face, and the events it sends.

use super::{
    announce::{self, EventIds, Style},
    calls::CallRecord,
    event_body::{Dialect, Quirks},
    faults::{Fault, Faults},
    gateway::Gateway,
    meter::Meter,
    server,
    webhook::{Delivery, Emitter, WebhookTarget},
    world::{Addressing, Change, Role, Session, Via, World},
};
use crate::{
    clock::Clock,
    ids::{GroupId, Lid, Person, Phone},
    transport::Transport,
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How a simulator is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The shape of events.
    pub dialect: Dialect,
    /// What is missing or different in them.
    pub quirks: Quirks,
    /// Where events go; `None`: nowhere until [`Simulator::set_webhook`].
    pub webhook: Option<WebhookTarget>,
    /// How they go there.
    pub delivery: Delivery,
    /// How the gateway answers.
    pub gateway: Gateway,
    /// The ban meter.
    pub meter: Meter,
    /// Makes LIDs, codes and chances the same again.
    pub seed: u64,
    /// The first session: the gateway's name, instance id, token, and our number.
    pub session: SessionOptions,
}

/// The first session.
#[derive(Clone)]
pub struct SessionOptions {
    /// The name in events and in `{session}` of the webhook's address.
    pub name: String,
    /// The vendor's 12 characters.
    pub instance_id: String,
    /// The access token.
    pub token: String,
    /// Our account.
    pub me: Person,
}

/// Without the token.
impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("name", &self.name)
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            name: "main".into(),
            instance_id: "51A0B1C2D3E4".into(),
            token: "simulated-token".into(),
            me: Person { phone: Phone::parse("447700900001"), lid: Some(Lid::from_u64(55_501)) },
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dialect: Dialect::Wire,
            quirks: Quirks::default(),
            webhook: None,
            delivery: Delivery::default(),
            gateway: Gateway::default(),
            meter: Meter::default(),
            seed: 7,
            session: SessionOptions::default(),
        }
    }
}

/// A small WhatsApp behind Wawp's API. Clones are the same one.
#[derive(Clone)]
pub struct Simulator {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) clock: Arc<dyn Clock>,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    style: Mutex<Style>,
    ids: Mutex<EventIds>,
    emitter: Emitter,
    moved: Notify,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// A world with one connected session and nobody else in it.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let mut world = World::new(options.seed, options.meter.clone());
        world.gateway = options.gateway;
        let me = world.named(options.session.me, "Guard");
        world.befriend(me);
        let own = &options.session;
        let mut session = Session::working(&own.name, &own.instance_id, &own.token, me);
        if let Some(target) = &options.webhook {
            session.register(target);
        }
        world.add_session(session);
        let emitter = Emitter::new(options.webhook.clone(), options.delivery.clone(), options.seed);
        let inner = Inner {
            clock,
            world: Mutex::new(world),
            faults: Mutex::default(),
            style: Mutex::new(Style { dialect: options.dialect, quirks: options.quirks }),
            ids: Mutex::new(EventIds::new(options.seed)),
            emitter,
            moved: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves the gateway's API and the control API until dropped.
    ///
    /// # Errors
    /// What the listener answers.
    pub async fn serve(&self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        server::serve(self.clone(), listener).await
    }

    /// Answers one call of the gateway's API in this process, without a socket. `None`: the line was cut. Never comes back
    /// where the gateway hangs; the caller's own time-out has to end that.
    pub async fn answer(&self, request: axum::extract::Request) -> Option<axum::response::Response> {
        server::answer(self.clone(), request).await
    }

    /// Sends events by this instead of over the network; before the first event.
    pub fn set_transport(&self, transport: Arc<dyn Transport>) {
        self.inner.emitter.set_transport(transport);
    }

    /// Looks at the world, or arranges it without announcing anything. The world is locked meanwhile: call nothing else of
    /// this handle inside.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let answer = look(&mut locked(&self.inner.world));
        self.inner.moved.notify_waiters();
        answer
    }

    /// Our account in the first session.
    pub fn me(&self) -> Person {
        self.with(|world| {
            let me = world.sessions()[0].me;
            world.both_ids(me)
        })
    }

    /// Sends events there from now on, registered with the first session; `None`: nowhere.
    pub fn set_webhook(&self, target: Option<WebhookTarget>) {
        self.with(|world| {
            if let (Some(session), Some(target)) = (world.session_mut(0), &target) {
                session.register(target);
            }
        });
        self.inner.emitter.set_target(target);
    }

    /// Changes how events are delivered; answers how they were until now.
    pub fn set_delivery(&self, delivery: Delivery) -> Delivery {
        self.inner.emitter.set_delivery(delivery)
    }

    /// Changes how events are written.
    pub fn set_dialect(&self, dialect: Dialect, quirks: Quirks) {
        *locked(&self.inner.style) = Style { dialect, quirks };
    }

    /// Makes a group in which we are an admin (or a plain member), silently.
    pub fn add_group(&self, id: &GroupId, subject: &str, addressing: Addressing, we_are: Role) {
        self.with(|world| {
            let me = world.sessions()[0].me;
            world.add_group(id.clone(), subject, addressing).members.insert(me, we_are);
        });
    }

    /// Puts people into a group silently, as if they had always been there. Answers their LIDs.
    pub fn seat(&self, group: &GroupId, people: &[Person], role: Role) -> Vec<Lid> {
        self.with(|world| {
            let lids: Vec<_> = people.iter().map(|person| world.person(*person)).collect();
            if let Some(group) = world.group_mut(group) {
                group.members.extend(lids.iter().map(|lid| (*lid, role)));
            }
            lids
        })
    }

    /// People come in, together, in one event. Answers who got in; the event is queued when this returns.
    pub async fn join(&self, group: &GroupId, people: &[Person], via: Via) -> Vec<Person> {
        let (change, in_now) = self.with(|world| {
            let lids: Vec<_> = people.iter().map(|person| world.person(*person)).collect();
            let change = world.join(group, &lids, via);
            let who = match &change {
                Some(Change::Joined { who, .. }) => who.iter().map(|lid| world.both_ids(*lid)).collect(),
                _ => Vec::new(),
            };
            (change, who)
        });
        self.announce(change);
        in_now
    }

    /// People go by themselves, or are put out by a member.
    pub async fn leave(&self, group: &GroupId, people: &[Person], by: Option<Person>) {
        let change = self.with(|world| {
            let lids: Vec<_> = people.iter().filter_map(|person| world.known(*person)).collect();
            let by = by.map(|by| world.person(by));
            world.leave(group, &lids, by)
        });
        self.announce(change);
    }

    /// A member's role changes.
    pub async fn set_role(&self, group: &GroupId, person: Person, up: bool, by: Person) {
        let change = self.with(|world| {
            let (lid, by) = (world.person(person), world.person(by));
            world.set_role(group, lid, up, by)
        });
        self.announce(change);
    }

    /// Somebody writes into a group, or with `None` to our first session. False if the group does not let them.
    pub async fn message(&self, group: Option<&GroupId>, from: Person, text: &str) -> bool {
        let now = self.inner.clock.now();
        let change = self.with(|world| {
            let to = group.is_none().then(|| world.sessions()[0].me);
            let from = world.person(from);
            world.write(group, to, from, text, now)
        });
        let written = change.is_some();
        self.announce(change);
        written
    }

    /// Tells the sessions of a change; what [`Simulator::with`] did not. A session that returned hears first of this and
    /// then of what was kept for it. Needs a tokio runtime.
    pub fn announce(&self, changes: impl IntoIterator<Item = Change>) {
        let now = self.inner.clock.now();
        let style = *locked(&self.inner.style);
        let target = self.inner.emitter.target();
        let mut world = locked(&self.inner.world);
        let mut ids = locked(&self.inner.ids);
        let mut told = Vec::new();
        for change in changes {
            told.extend(announce::events(&mut world, &change, style, &mut ids, now));
        }
        told.extend(announce::backlog(&mut world, style, &mut ids, now));
        told.retain(|event| target.as_ref().is_some_and(|target| event.is_sent(&world, &target.url)));
        self.inner.emitter.send(told);
    }

    /// Every call that reached the gateway so far.
    pub fn calls(&self) -> Vec<CallRecord> {
        locked(&self.inner.world).calls().to_vec()
    }

    /// Adds a fault, from now on.
    pub fn add_fault(&self, fault: Fault) {
        let now = self.inner.clock.elapsed();
        self.faults().add(fault, now);
    }

    /// The faults in force.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.inner.faults)
    }

    /// Waits until the world (people, messages, calls) is as asked; looks again after every call and every change.
    /// False if it takes longer than `timeout`.
    pub async fn wait_for(&self, mut condition: impl FnMut(&World) -> bool, timeout: Duration) -> bool {
        let waiting = async {
            loop {
                let moved = self.inner.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if condition(&locked(&self.inner.world)) {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(timeout, waiting).await.is_ok()
    }

    /// Waits until every event so far was acknowledged, lost or given up. False if it takes longer.
    pub async fn delivered(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.inner.emitter.settle()).await.is_ok()
    }

    /// How many deliveries were answered with a 2xx, duplicates included.
    pub fn acknowledged(&self) -> usize {
        self.inner.emitter.acknowledged()
    }
}
