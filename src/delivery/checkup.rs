//! What the keeper asks of a courier: how the session is, where its events go, a look at everything; and the canaries that
//! it hands on. Every question is a call under the `read` ceiling.

use super::{Courier, Step};
use crate::{
    action::Class,
    clock::Timestamp,
    limits::Permit,
    silence::Sign,
    store::StoreError,
    wawp::{
        error::{CallError, Outcome},
        session::Webhook,
    },
};
use std::{collections::VecDeque, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// A question about the session itself. Nobody waiting for the answer is fine.
pub enum Checkup {
    /// The vendor's word for its state.
    State(oneshot::Sender<Outcome<String>>),
    /// Where its events go.
    Webhooks(oneshot::Sender<Outcome<Vec<Webhook>>>),
    /// It may have missed something: the list of its groups and all their rosters are wanted.
    Everything,
}

/// Questions that wait for a place under the ceiling.
pub(super) struct Checkups {
    asked: mpsc::UnboundedReceiver<Checkup>,
    waiting: VecDeque<Checkup>,
}

impl Checkups {
    pub(super) fn new(asked: mpsc::UnboundedReceiver<Checkup>) -> Self {
        Self { asked, waiting: VecDeque::new() }
    }

    /// Waits until somebody asks; for ever once nobody can.
    pub(super) async fn asked(&mut self) {
        match self.asked.recv().await {
            Some(checkup) => self.waiting.push_back(checkup),
            None => std::future::pending().await,
        }
    }

    fn next(&mut self) -> Option<Checkup> {
        while let Ok(checkup) = self.asked.try_recv() {
            self.waiting.push_back(checkup);
        }
        self.waiting.pop_front()
    }
}

impl Courier {
    /// Answers one question if one waits and the ceiling permits. A session that is not ready is asked all the same: that is
    /// what is to be known; after "slow down" nobody is.
    pub(super) async fn answer_checkup(&mut self, now: Timestamp) -> Result<Step, StoreError> {
        let Some(checkup) = self.checkups.next() else { return Ok(Step::At(None)) };
        if matches!(checkup, Checkup::Everything) {
            self.look_everywhere();
            return Ok(Step::Again);
        }
        let paused = self.health.paused_until;
        let due = match self.permit(&[Class::Read], now) {
            Permit::Granted if now < paused && self.health.ready != Some(false) => Some(paused),
            Permit::Granted => return self.ask_about_session(checkup).await.map(|()| Step::Again),
            Permit::NotBefore(at) => Some(at),
            Permit::AfterCall => None,
            Permit::Never => {
                refuse(checkup, "reads are switched off");
                return Ok(Step::Again);
            }
        };
        self.checkups.waiting.push_front(checkup);
        Ok(Step::At(due))
    }

    async fn ask_about_session(&mut self, checkup: Checkup) -> Result<(), StoreError> {
        let client = self.client.clone();
        match checkup {
            Checkup::State(answer) => {
                let state = self.counted(&[Class::Read], async move { client.state().await }).await?;
                // The other method comes next: at once, as a call of its own.
                if matches!(state, Err(CallError::Transient { retry_after: Some(Duration::ZERO), .. })) {
                    self.checkups.waiting.push_front(Checkup::State(answer));
                } else {
                    let _ = answer.send(state);
                }
            }
            Checkup::Webhooks(answer) => {
                let webhooks = self.counted(&[Class::Read], async move { client.webhooks().await }).await?;
                let _ = answer.send(webhooks);
            }
            Checkup::Everything => {}
        }
        Ok(())
    }

    /// Takes the canaries that wait, whatever else stands still: they only show that somebody looks.
    pub(super) async fn take_canaries(&mut self) {
        match self.store.take_canaries(&self.session, self.steady.now()).await {
            Ok(taken) => {
                for posted_at in taken {
                    let _ = self.signs.send(Sign::Canary { session: self.session.clone(), posted_at });
                }
            }
            Err(error) => tracing::error!(session = %self.session, %error, "canaries cannot be taken"),
        }
    }
}

fn refuse(checkup: Checkup, why: &str) {
    let error = CallError::Unsupported { why: why.to_owned() };
    match checkup {
        Checkup::State(answer) => drop(answer.send(Err(error))),
        Checkup::Webhooks(answer) => drop(answer.send(Err(error))),
        Checkup::Everything => {}
    }
}
