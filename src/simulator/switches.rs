//! What a test can change while the simulator runs, and the sessions are told of it: settings of a group, and the state of
//! the session itself.

use super::{
    change::Change,
    handle::Simulator,
    session::{Backlog, Capping, Timelock},
    settings::Setting,
    world::Status,
};
use crate::ids::{GroupId, Person};

impl Simulator {
    /// A member changes a group: its name, its settings. False if they may not, or it is so already.
    pub fn set(&self, group: &GroupId, setting: &Setting, by: Person) -> bool {
        let change = self.with(|world| {
            let by = world.person(by);
            world.set(group, setting, by)
        });
        let changed = change.is_some();
        self.announce(change);
        changed
    }

    /// Somebody renames the group.
    pub fn rename(&self, group: &GroupId, subject: &str, by: Person) -> bool {
        self.set(group, &Setting::Subject(subject.to_owned()), by)
    }

    /// The first session comes into a state and says so with `session.status`. On its return to `WORKING` it tells what was
    /// kept for it, see [`Simulator::set_backlog`].
    pub fn set_status(&self, status: Status) {
        let now = self.inner.clock.now();
        let change = self.with(|world| world.set_status(0, status, now));
        self.announce(change);
    }

    /// The first session falls silent, though it claims to be `WORKING` and answers calls; or it speaks again.
    pub fn set_mute(&self, mute: bool) {
        self.with(|world| {
            if let Some(session) = world.session_mut(0) {
                session.mute = mute;
            }
        });
        self.announce(None);
    }

    /// WhatsApp restricts what the first session's account may begin, or lifts it. The gateway tells `WORKING` again, with
    /// the news in `me`.
    pub fn set_restrictions(&self, timelock: Option<Timelock>, capping: Option<Capping>) {
        let status = self.with(|world| {
            let session = world.session_mut(0)?;
            (session.timelock, session.capping) = (timelock, capping);
            Some(session.status)
        });
        self.announce(status.map(|status| Change::Status { session: 0, status }));
    }

    /// What becomes of events while the first session is away or mute.
    pub fn set_backlog(&self, backlog: Backlog) {
        self.with(|world| {
            if let Some(session) = world.session_mut(0) {
                session.backlog = backlog;
            }
        });
    }
}
