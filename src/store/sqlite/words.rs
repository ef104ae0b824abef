//! How the vocabulary is written into columns: fixed words, JSON, numbers. Nothing here knows a table.

use crate::{
    action::{Class, RowState},
    clock::Timestamp,
    config::Mode,
    event::{Aspect, Hook, Role, Via},
    identity::LearntFrom,
    ids::{GroupId, Lid, Person, Phone, SessionName},
    store::{Authority, Cause, EntryState, IdForm, LocalKind, RunState, Scope, Source, StoreError},
};
use rusqlite::{Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

/// A value that a column holds as a fixed word.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];

    /// Its word.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(value, _)| *value == self);
        found.map_or("", |(_, word)| word)
    }

    /// The value behind a word.
    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, word)| *word == text).map(|(value, _)| *value)
    }
}

macro_rules! words {
    ($name:ty { $($value:ident = $word:literal),+ $(,)? }) => {
        impl Word for $name {
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$value, $word)),+];
        }
    };
}

words!(Source { Webhook = "webhook", Timer = "timer", Roster = "roster", Sweep = "sweep" });
words!(EntryState {
    New = "new",
    Applied = "applied",
    Ignored = "ignored",
    Unreadable = "unreadable",
    PolicyError = "policy_error"
});
words!(RunState { Pending = "pending", Decided = "decided", PolicyError = "policy_error" });
words!(Authority { Admin = "admin", None = "none", Untold = "untold" });
words!(Mode { Observe = "observe", Enforce = "enforce" });
words!(Role { Unknown = "unknown", Member = "member", Admin = "admin", Creator = "creator" });
words!(Via {
    Unknown = "unknown",
    Link = "link",
    Added = "added",
    Approved = "approved",
    Reconciled = "reconciled",
});
words!(Hook {
    OnJoin = "on_join",
    OnLeave = "on_leave",
    OnSweep = "on_sweep",
    OnGroupJoined = "on_group_joined",
    OnGroupChanged = "on_group_changed",
});
words!(Aspect {
    Subject = "subject",
    Description = "description",
    AnnounceOnly = "announce_only",
    InfoLocked = "info_locked",
    Invite = "invite",
});
words!(RowState {
    Waiting = "waiting",
    Held = "held",
    Sending = "sending",
    Done = "done",
    Refused = "refused",
    Unknown = "unknown",
    Cancelled = "cancelled",
    Expired = "expired",
    Dead = "dead",
    Observed = "observed",
});
words!(Class {
    GroupCreate = "group_create",
    Add = "add",
    Remove = "remove",
    Dm = "dm",
    ColdDm = "cold_dm",
    GroupMessage = "group_message",
    Settings = "settings",
    Read = "read",
    GroupRead = "group_read",
    LookUp = "look_up",
});

words!(LearntFrom {
    Event = "event",
    Roster = "roster",
    Message = "message",
    Gateway = "gateway",
    List = "list",
});
words!(LocalKind { Addition = "addition", Exception = "exception" });
words!(Cause {
    Lists = "lists",
    Subscriptions = "subscriptions",
    Schedule = "schedule",
    Operator = "operator",
});
words!(Scope { Everybody = "everybody", Group = "group", People = "people" });
words!(IdForm { Phone = "phone", Lid = "lid" });

/// Reading the vocabulary out of a row.
pub(super) trait Columns {
    /// A fixed word.
    fn word<W: Word>(&self, column: &str) -> rusqlite::Result<W>;
    /// A fixed word that may be missing.
    fn word_or_null<W: Word>(&self, column: &str) -> rusqlite::Result<Option<W>>;
    /// A moment.
    fn time(&self, column: &str) -> rusqlite::Result<Timestamp>;
    /// A moment that may be missing.
    fn time_or_null(&self, column: &str) -> rusqlite::Result<Option<Timestamp>>;
    /// JSON that may be missing.
    fn json<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>>;
    /// A person in two columns.
    fn person(&self, phone: &str, lid: &str) -> rusqlite::Result<Person>;
    /// A group's id.
    fn group(&self, column: &str) -> rusqlite::Result<GroupId>;
    /// A session's name.
    fn session(&self, column: &str) -> rusqlite::Result<SessionName>;
    /// A count.
    fn count(&self, column: &str) -> rusqlite::Result<u32>;
}

fn damaged(column: &str, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("column {column}: {what}").into())
}

impl Columns for Row<'_> {
    fn word<W: Word>(&self, column: &str) -> rusqlite::Result<W> {
        let found = self.word_or_null(column)?;
        found.ok_or_else(|| damaged(column, "a word is missing".into()))
    }

    fn word_or_null<W: Word>(&self, column: &str) -> rusqlite::Result<Option<W>> {
        match self.get_ref(column)?.as_str_or_null()? {
            None => Ok(None),
            Some(text) => {
                W::from_word(text).map(Some).ok_or_else(|| damaged(column, format!("`{text}` is not known")))
            }
        }
    }

    fn time(&self, column: &str) -> rusqlite::Result<Timestamp> {
        self.get(column).map(Timestamp)
    }

    fn time_or_null(&self, column: &str) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(Timestamp))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> rusqlite::Result<Option<T>> {
        let text = self.get_ref(column)?.as_str_or_null()?;
        text.map(serde_json::from_str).transpose().map_err(|error| damaged(column, error.to_string()))
    }

    fn person(&self, phone: &str, lid: &str) -> rusqlite::Result<Person> {
        let phone: Option<i64> = self.get(phone)?;
        let lid: Option<i64> = self.get(lid)?;
        Ok(Person {
            phone: phone.and_then(|number| Phone::from_u64(number.cast_unsigned())),
            lid: lid.map(|number| Lid::from_u64(number.cast_unsigned())),
        })
    }

    fn group(&self, column: &str) -> rusqlite::Result<GroupId> {
        let text = self.get_ref(column)?.as_str()?;
        GroupId::parse(text).ok_or_else(|| damaged(column, "not a group id".into()))
    }

    fn session(&self, column: &str) -> rusqlite::Result<SessionName> {
        Ok(SessionName::new(self.get_ref(column)?.as_str()?))
    }

    fn count(&self, column: &str) -> rusqlite::Result<u32> {
        Ok(u32::try_from(self.get::<_, i64>(column)?).unwrap_or(0))
    }
}

/// A phone as a column holds it.
pub(super) fn phone_column(phone: Phone) -> i64 {
    phone.as_u64().cast_signed()
}

/// A LID as a column holds it.
pub(super) fn lid_column(lid: Lid) -> i64 {
    lid.as_u64().cast_signed()
}

/// A value as JSON text.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_vocabulary() {
        for (value, word) in RowState::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        for (value, word) in Class::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        for (value, word) in Hook::WORDS {
            assert_eq!(value.function(), *word);
        }
        for (value, word) in Aspect::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        for (value, word) in Role::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        for (value, word) in Via::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        for (value, word) in LearntFrom::WORDS {
            assert_eq!(value.as_str(), *word);
        }
        assert_eq!((RowState::WORDS.len(), Class::WORDS.len()), (RowState::ALL.len(), Class::ALL.len() + 2));
        assert_eq!((Hook::WORDS.len(), Aspect::WORDS.len()), (Hook::ALL.len(), Aspect::ALL.len()));
    }
}
