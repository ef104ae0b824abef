//! Who stands between the pipeline and the couriers, so that neither knows the other: phones asked for, rosters wanted,
//! second looks, payments that spare somebody, questions about sessions.

use super::assembly::RosterDesks;
use crate::{
    clock::{Clock, Timestamp},
    delivery::{Checkup, Listed, PhoneRequest, Witness},
    facts::{Lookup, Standing},
    identity::NumberReply,
    ids::{GroupId, Lid, Phone, SessionName},
    lists::ListBook,
    pipeline::{Changed, Identities, Pipeline},
    silence::Gateway,
    store::{Row, StoreError},
    wawp::{error::Outcome, session::Webhook},
};
use async_trait::async_trait;
use moka::future::Cache;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What nobody could be asked.
const BUSY: &str = "the number is hidden and the gateway is busy";

/// A courier in the middle of a slow call does not answer; nobody waits longer than this for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// A courier under a full ceiling answers late; longer nobody waits for what it knows of its session.
const ANSWERED_WITHIN: Duration = Duration::from_secs(180);
/// How many people's answers are kept.
const ANSWERS: u64 = 100_000;
/// A pair is as good as for ever, and the directory has it; somebody still hidden may be known in a moment.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
const HIDDEN_FOR: Duration = Duration::from_secs(20);

/// Asks the couriers for phones; whoever asks for the same one meanwhile shares the answer.
pub(super) struct GoBetween {
    couriers: BTreeMap<SessionName, mpsc::Sender<PhoneRequest>>,
    answers: Cache<(SessionName, Lid), Told>,
    clock: Arc<dyn Clock>,
}

/// What a courier told of a LID.
#[derive(Clone)]
struct Told {
    answer: Result<Option<Phone>, String>,
    at: Timestamp,
    /// By the clock that never steps.
    since: Duration,
}

impl GoBetween {
    pub(super) fn new(
        couriers: BTreeMap<SessionName, mpsc::Sender<PhoneRequest>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { couriers, answers: Cache::builder().max_capacity(ANSWERS).build(), clock }
    }

    async fn ask(&self, session: &SessionName, lid: Lid) -> Told {
        let answer = match self.couriers.get(session) {
            Some(courier) => ask(courier, lid).await,
            None => Err(BUSY.into()),
        };
        Told { answer, at: self.clock.now(), since: self.clock.elapsed() }
    }

    /// Whether an answer is to be had anew. One that nobody gave is worth nothing to the next who asks.
    fn is_over(&self, told: &Told) -> bool {
        let age = self.clock.elapsed().saturating_sub(told.since);
        match told.answer {
            Ok(Some(_)) => age > KNOWN_FOR,
            Ok(None) => age > HIDDEN_FOR,
            Err(_) => true,
        }
    }
}

async fn ask(courier: &mpsc::Sender<PhoneRequest>, lid: Lid) -> Result<Option<Phone>, String> {
    let (answer, answered) = oneshot::channel();
    if courier.try_send(PhoneRequest { lid, answer }).is_err() {
        return Err(BUSY.into());
    }
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(BUSY.into()),
    }
}

#[async_trait]
impl Identities for GoBetween {
    async fn phone_of(&self, session: &SessionName, lid: Lid) -> Lookup<Phone> {
        let entry = self.answers.entry((session.clone(), lid));
        let asking = self.ask(session, lid);
        let told = entry.or_insert_with_if(asking, |told| self.is_over(told)).await.into_value();
        match told.answer {
            Ok(Some(value)) => {
                Lookup::Known { value, as_of: told.at, source: "gateway".into(), stale: false }
            }
            Ok(None) => Lookup::Unknown { why: "WhatsApp hides this person's number".into() },
            Err(why) => Lookup::Unknown { why },
        }
    }
}

/// The ids on the lists, as the couriers see them.
pub(super) struct Listings(pub(super) Arc<ListBook>);

impl Listed for Listings {
    fn numbers(&self) -> Vec<Phone> {
        self.0.numbers()
    }

    fn is_protected(&self, phone: Phone, now: Timestamp) -> bool {
        self.0.is_on_allowlist(phone, now)
    }

    fn known(&self, replies: Vec<NumberReply>) {
        self.0.resolve(replies);
    }

    fn lids(&self) -> Vec<Lid> {
        self.0.lids()
    }

    fn met(&self) {
        self.0.look_again();
    }

    fn spares_by_lid(&self) -> bool {
        self.0.spares_by_lid()
    }
}

/// Has the pipeline look again at a removal.
pub(super) struct SecondLook(pub(super) Arc<Pipeline>);

#[async_trait]
impl Witness for SecondLook {
    async fn look(&self, row: &Row) -> Result<Standing, StoreError> {
        self.0.reexamine(row).await
    }
}

/// Has removals looked at again whose people have paid.
pub(super) async fn spare_the_paying(
    mut payments: mpsc::UnboundedReceiver<Phone>,
    pipeline: Arc<Pipeline>,
    stop: CancellationToken,
) {
    while let Some(Some(phone)) = stop.run_until_cancelled(payments.recv()).await {
        // What fails here is found by the second look before the call.
        if let Err(error) = pipeline.spare(Changed::Payment(phone)).await {
            tracing::error!(%error, "removals of somebody who paid could not be looked at");
        }
    }
    stop.cancelled().await;
}

/// Hands wanted rosters to the courier of the session that is in the group.
pub(super) async fn share_out(
    mut wanted: mpsc::UnboundedReceiver<(SessionName, GroupId)>,
    desks: RosterDesks,
    stop: CancellationToken,
) {
    while let Some(Some((session, group))) = stop.run_until_cancelled(wanted.recv()).await {
        if let Some(desk) = desks.get(&session) {
            // A courier that is gone means a stop; the next start asks again.
            let _ = desk.send(group);
        }
    }
    stop.cancelled().await;
}

/// Asks the couriers about their sessions.
pub(super) struct Couriers(pub(super) BTreeMap<SessionName, mpsc::UnboundedSender<Checkup>>);

impl Couriers {
    async fn ask<T>(
        &self,
        session: &SessionName,
        checkup: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Checkup,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        if self.0.get(session).is_none_or(|courier| courier.send(checkup(answer)).is_err()) {
            return Err("nobody serves this session".into());
        }
        match tokio::time::timeout(ANSWERED_WITHIN, answered).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
            Ok(Err(_)) | Err(_) => Err("no place under the ceiling for reads within three minutes".into()),
        }
    }
}

#[async_trait]
impl Gateway for Couriers {
    async fn state(&self, session: &SessionName) -> Result<String, String> {
        self.ask(session, Checkup::State).await
    }

    async fn webhooks(&self, session: &SessionName) -> Result<Vec<Webhook>, String> {
        self.ask(session, Checkup::Webhooks).await
    }

    fn look_everywhere(&self, session: &SessionName) {
        if let Some(courier) = self.0.get(session) {
            let _ = courier.send(Checkup::Everything);
        }
    }
}
