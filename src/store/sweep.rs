//! Sweeps: members who are inside are looked at again. What is kept of one, and the use cases.

use super::StoreError;
use crate::{
    clock::Timestamp,
    ids::{GroupId, Phone, SessionName, SweepId},
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Why members are looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A list says something else.
    Lists,
    /// The subscription file says something else, or the payment side pushed something.
    Subscriptions,
    /// The time for it came round.
    Schedule,
    /// Somebody asked for it.
    Operator,
}

/// Whom a sweep is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody inside.
    Everybody,
    /// Everybody in one group.
    Group(GroupId),
    /// These people, wherever they are inside.
    People(Vec<Phone>),
}

/// How wide a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// [`Whom::Everybody`]
    Everybody,
    /// [`Whom::Group`]
    Group,
    /// [`Whom::People`]
    People,
}

/// A group that is looked through, with the session that is in it.
pub type Place = (SessionName, GroupId);

/// How far the causes of sweeps have been followed: the name of a cause, and up to where.
pub type Mark = (&'static str, String);

/// A sweep that is asked for.
#[derive(Clone, Debug)]
pub struct NewSweep {
    /// Why.
    pub cause: Cause,
    /// Whom.
    pub whom: Whom,
    /// The groups whose policies look again. Nobody elsewhere is looked at, whatever `whom` says.
    pub places: Vec<Place>,
    /// When.
    pub asked_at: Timestamp,
    /// Kept in the same commit, also if there is nobody to look at.
    pub mark: Option<Mark>,
}

/// A sweep as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Its number.
    pub id: SweepId,
    /// Why.
    pub cause: Cause,
    /// How wide.
    pub scope: Scope,
    /// The group, if it is about one.
    pub group: Option<GroupId>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Memberships to look at, those looked at included. Grows when it is asked for again while it runs.
    pub members: u64,
    /// Looked at so far: a run is durable for each. Never falls.
    pub looked_at: u64,
    /// Runs that came to a decision.
    pub decided: u64,
    /// Actions that these asked the gateway for, whatever became of them.
    pub actions: u64,
    /// When everybody had been looked at and judged.
    pub finished_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// What is to be said about its end.
    pub note: Option<String>,
}

impl Sweep {
    /// Whether it goes on.
    pub fn is_running(&self) -> bool {
        self.finished_at.is_none() && self.cancelled_at.is_none()
    }
}

/// The use cases.
///
/// A sweep goes on in steps: [`Sweeps::sweep_on`] puts one into the journal, and applying that entry makes the runs and
/// moves the sweep on, in one commit. So a stop at any moment loses nothing and looks at nobody twice.
#[async_trait]
pub trait Sweeps: Send + Sync + 'static {
    /// Begins a sweep. `None`: there is nobody to look at.
    ///
    /// One of the same cause and width that still runs takes it in: its answer is that one's number, whoever it has still
    /// to look at is looked at once, and whoever it has looked at already is looked at again.
    async fn begin_sweep(&self, sweep: NewSweep) -> Result<Option<SweepId>, StoreError>;

    /// Puts the next step of a sweep into the journal, single people first, then the oldest sweep. `false`: there is none.
    async fn sweep_on(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Sweeps, newest first.
    async fn sweeps(&self, limit: u32) -> Result<Vec<Sweep>, StoreError>;

    /// One of them.
    async fn sweep(&self, id: SweepId) -> Result<Option<Sweep>, StoreError>;

    /// Ends a sweep before its time. Runs that it has made already are still judged; what they ask for stands. `false`:
    /// it was over, or there is none.
    async fn cancel_sweep(&self, id: SweepId, now: Timestamp) -> Result<bool, StoreError>;

    /// How far a cause has been followed, by its name.
    async fn sweep_mark(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Keeps that without a sweep.
    async fn keep_sweep_mark(&self, mark: Mark) -> Result<(), StoreError>;
}
