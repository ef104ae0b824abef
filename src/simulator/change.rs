//! What happened in the world, for the announcer.

use super::{group::Via, session::Status};
use crate::ids::{GroupId, Lid};

/// Something that happened, for the announcer.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// People came in.
    Joined {
        /// Where.
        group: GroupId,
        /// Who, in order.
        who: Vec<Lid>,
        /// How.
        via: Via,
    },
    /// People are out.
    Left {
        /// Where.
        group: GroupId,
        /// Who.
        who: Vec<Lid>,
        /// Who put them out; `None`: they went.
        by: Option<Lid>,
    },
    /// Roles changed.
    Role {
        /// Where.
        group: GroupId,
        /// Who.
        who: Vec<Lid>,
        /// Promoted, else demoted.
        up: bool,
        /// Who did it.
        by: Lid,
    },
    /// The group itself changed.
    Updated {
        /// Which.
        group: GroupId,
        /// Who did it, as far as anybody knows.
        by: Option<Lid>,
        /// The changed keys as upstream names them, with their new values.
        what: serde_json::Map<String, serde_json::Value>,
    },
    /// Somebody wrote.
    Written {
        /// The group, or `None` for a private message to the session.
        group: Option<GroupId>,
        /// To which session, for private messages.
        to: Option<Lid>,
        /// Who.
        from: Lid,
        /// What.
        text: String,
    },
    /// A session came into another state.
    Status {
        /// Its place among the sessions.
        session: usize,
        /// Which state.
        status: Status,
    },
}
