//! Who stands between the pipeline and the couriers, so that neither knows the other: phones asked for, rosters wanted,
//! second looks, payments that spare somebody.

use super::assembly::RosterDesks;
use crate::{
    delivery::{PhoneRequest, Witness},
    facts::{Lookup, Standing},
    ids::{GroupId, Lid, Phone, SessionName},
    pipeline::{Changed, Identities, Pipeline},
    store::{Row, StoreError},
};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A courier in the middle of a slow call does not answer; nobody waits longer than this for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks the couriers for phones.
pub(super) struct GoBetween {
    couriers: BTreeMap<SessionName, mpsc::Sender<PhoneRequest>>,
}

impl GoBetween {
    pub(super) fn new(couriers: BTreeMap<SessionName, mpsc::Sender<PhoneRequest>>) -> Self {
        Self { couriers }
    }
}

#[async_trait]
impl Identities for GoBetween {
    async fn phone_of(&self, session: &SessionName, lid: Lid) -> Lookup<Phone> {
        let busy = || Lookup::Unknown { why: "the number is hidden and the gateway is busy".into() };
        let Some(courier) = self.couriers.get(session) else { return busy() };
        let (answer, answered) = oneshot::channel();
        if courier.try_send(PhoneRequest { lid, answer }).is_err() {
            return busy();
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(_)) | Err(_) => busy(),
        }
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
