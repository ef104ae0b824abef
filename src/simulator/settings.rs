//! What can be changed of a group itself, and by whom.

use super::{change::Change, world::World};
use crate::ids::{GroupId, Lid};
use serde_json::{Map, Value, json};

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Its name.
    Subject(String),
    /// Its description; may become empty.
    Description(String),
    /// Only admins write.
    AnnounceOnly(bool),
    /// Only admins edit name and description.
    InfoLocked(bool),
}

impl Setting {
    /// Upstream's key and the new value; the engine tells what *members* may do.
    fn told(&self) -> (&'static str, Value) {
        match self {
            Self::Subject(text) => ("subject", json!(text)),
            Self::Description(text) => ("description", json!(text)),
            Self::AnnounceOnly(on) => ("membersCanSendMessages", json!(!on)),
            Self::InfoLocked(on) => ("membersCanEditInfo", json!(!on)),
        }
    }
}

impl World {
    /// Whether somebody may change that.
    pub fn may_set(&self, group: &GroupId, setting: &Setting, by: Lid) -> bool {
        self.group(group).is_some_and(|there| match setting {
            Setting::Subject(_) | Setting::Description(_) if !there.info_locked => {
                there.members.contains_key(&by)
            }
            _ => there.is_admin(by),
        })
    }

    /// Somebody changes a group. `None` if they may not, or it is so already.
    pub fn set(&mut self, group: &GroupId, setting: &Setting, by: Lid) -> Option<Change> {
        if !self.may_set(group, setting, by) {
            return None;
        }
        let there = self.group_mut(group)?;
        let changed = match setting {
            Setting::Subject(text) => text != &std::mem::replace(&mut there.subject, text.clone()),
            Setting::Description(text) => text != &std::mem::replace(&mut there.description, text.clone()),
            Setting::AnnounceOnly(on) => *on != std::mem::replace(&mut there.announce_only, *on),
            Setting::InfoLocked(on) => *on != std::mem::replace(&mut there.info_locked, *on),
        };
        let (key, value) = setting.told();
        let what = Map::from_iter([(key.to_owned(), value)]);
        changed.then(|| Change::Updated { group: group.clone(), by: Some(by), what })
    }

    /// A new invite code; the old one is dead at once. Of whoever is not named nobody knows that they did it.
    pub fn revoke_invite(&mut self, group: &GroupId, by: Option<Lid>) -> Option<(String, Change)> {
        let code = self.new_code();
        self.group_mut(group)?.invite_code.clone_from(&code);
        let what =
            Map::from_iter([("invite".to_owned(), json!(format!("https://chat.whatsapp.com/{code}")))]);
        Some((code, Change::Updated { group: group.clone(), by, what }))
    }
}
