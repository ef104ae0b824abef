//! Identifiers: phones, hidden ids, groups, sessions, and the numbers of our own rows.
//!
//! Parsing is the only constructor, so a value of these types is always well formed. This module knows how
//! WhatsApp writes an id; it does not know who is behind one (that is the directory's business).
//!
//! **Digits of a LID are never a phone number.** The two are different types and nothing converts between them.
//!
//! `Display` and `Debug` of a phone, a LID and a group are *shortened*, so that formatting one into a log line or
//! an error can never leak it. The full text is asked for by name: [`Phone::e164`], [`Lid::jid`], [`GroupId::as_str`].

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr, sync::Arc};

/// An international phone number, 7 to 15 digits, without the plus.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phone(u64);

impl Phone {
    /// Reads international digits; a leading `+` or `00` is allowed, spaces and punctuation are not.
    /// `None` if what remains is not 7 to 15 digits beginning with 1–9.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(text);
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if fits { digits.parse().ok().map(Self) } else { None }
    }

    /// The number itself; what compact sets store.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The reverse of [`Phone::as_u64`]; `None` if it has not 7 to 15 digits.
    pub fn from_u64(number: u64) -> Option<Self> {
        (1_000_000..=999_999_999_999_999).contains(&number).then_some(Self(number))
    }

    /// Digits without the plus.
    pub fn digits(self) -> String {
        self.0.to_string()
    }

    /// The full number, `+491512…`. Never for logs.
    pub fn e164(self) -> String {
        format!("+{}", self.0)
    }

    /// The id by which the gateway's public fields name this number.
    pub fn jid(self) -> String {
        format!("{}@c.us", self.0)
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        write!(f, "+{}…{}", &digits[..2], &digits[digits.len() - 2..])
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.e164())
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an international phone number"))
    }
}

/// WhatsApp's hidden id of a person: stable, opaque, not derived from the phone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lid(u64);

impl Lid {
    /// Reads `123@lid`, `123:7@lid` or `123.1:0@lid`. Bare digits are refused: they could be a phone.
    pub fn parse(text: &str) -> Option<Self> {
        match Jid::parse(text) {
            Some(Jid::Lid(lid)) => Some(lid),
            _ => None,
        }
    }

    /// The number before the `@`, for storage only. It means nothing as a phone.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The reverse of [`Lid::as_u64`].
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The full id, `123@lid`. Never for logs.
    pub fn jid(self) -> String {
        format!("{}@lid", self.0)
    }
}

impl fmt::Display for Lid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{:02}@lid", self.0 % 100)
    }
}

impl fmt::Debug for Lid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Lid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.jid())
    }
}

impl<'de> Deserialize<'de> for Lid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a LID"))
    }
}

/// A person as far as we know them: a phone, a LID, or both. Both empty only for "nobody told us who".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Person {
    /// The number, where WhatsApp shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
    /// The hidden id, where WhatsApp used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lid: Option<Lid>,
}

impl Person {
    /// Somebody known by number only.
    pub fn of_phone(phone: Phone) -> Self {
        Self { phone: Some(phone), lid: None }
    }

    /// Somebody known by hidden id only.
    pub fn of_lid(lid: Lid) -> Self {
        Self { phone: None, lid: Some(lid) }
    }

    /// Whether nothing at all is known.
    pub fn is_nobody(self) -> bool {
        self.phone.is_none() && self.lid.is_none()
    }

    /// Whether the two share a phone or share a LID.
    pub fn same_as(self, other: Self) -> bool {
        (self.phone.is_some() && self.phone == other.phone) || (self.lid.is_some() && self.lid == other.lid)
    }

    /// This record with what the other one adds. Own values win.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self { phone: self.phone.or(other.phone), lid: self.lid.or(other.lid) }
    }

    /// The id to address them by: the phone where known, else the LID; empty for nobody.
    pub fn jid(self) -> String {
        match (self.phone, self.lid) {
            (Some(phone), _) => phone.jid(),
            (None, Some(lid)) => lid.jid(),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.phone, self.lid) {
            (Some(phone), _) => phone.fmt(f),
            (None, Some(lid)) => lid.fmt(f),
            (None, None) => f.write_str("nobody"),
        }
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Any WhatsApp id, sorted by what stands after the `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jid {
    /// `…@c.us` or `…@s.whatsapp.net`.
    Phone(Phone),
    /// `…@lid`.
    Lid(Lid),
    /// `…@g.us`.
    Group(GroupId),
    /// Newsletters, broadcasts, anything else.
    Other,
}

impl Jid {
    /// Reads an id of any suffix; device (`:7`) and agent (`.1`) parts are dropped. `None` if there is no `@`
    /// or the part before it does not fit the suffix. Bare digits are not an id.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, server) = text.trim().split_once('@')?;
        let bare = user.split([':', '.']).next().unwrap_or(user);
        match server {
            "c.us" | "s.whatsapp.net" => Phone::parse(bare).map(Self::Phone),
            "lid" => bare.parse().ok().filter(|n| *n > 0).map(|n| Self::Lid(Lid(n))),
            "g.us" => GroupId::parse(text).map(Self::Group),
            _ => Some(Self::Other),
        }
    }

    /// The person behind it, if it names one.
    pub fn person(&self) -> Option<Person> {
        match self {
            Self::Phone(phone) => Some(Person::of_phone(*phone)),
            Self::Lid(lid) => Some(Person::of_lid(*lid)),
            Self::Group(_) | Self::Other => None,
        }
    }
}

/// A group's id, `1203…@g.us`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// Reads `…@g.us`. Old groups are named `creatorphone-time@g.us`, so digits and `-` are allowed before it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let user = text.strip_suffix("@g.us")?;
        let fits =
            !user.is_empty() && user.len() <= 64 && user.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        fits.then(|| Self(text.into()))
    }

    /// The group that is none, where a canary's run takes place. [`Self::parse`] never gives it, so nobody can post it.
    pub fn none() -> Self {
        Self("none".into())
    }

    /// The full id. Old-style ids hold the creator's number: not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last six digits: enough to tell an owner's groups apart, too little to be a number.
    pub fn tail(&self) -> &str {
        let user = self.0.trim_end_matches("@g.us");
        &user[user.len().saturating_sub(6)..]
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{}@g.us", self.tail())
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a group id (…@g.us)"))
    }
}

/// The configured name of one WhatsApp number of ours, as in `/webhooks/{session}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionName(Arc<str>);

impl SessionName {
    /// Takes the configured name as it is.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares the number of a row of ours: printed and read as a letter and the number, `e17`.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                text.strip_prefix($letter)
                    .unwrap_or(text)
                    .parse()
                    .map(Self)
                    .map_err(|_| format!(concat!("`{}` is not an id like ", $letter, "17"), text))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

row_id!(
    /// A journal entry, `e17`.
    EntryId,
    "e"
);
row_id!(
    /// A run of a chain and the decision it came to, `d17`.
    DecisionId,
    "d"
);
row_id!(
    /// An action in the outbox, `o17`.
    OutboxId,
    "o"
);
row_id!(
    /// A sweep, `s17`.
    SweepId,
    "s"
);
row_id!(
    /// A person in our directory, `p17`.
    PersonId,
    "p"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_has_seven_to_fifteen_digits() {
        assert_eq!(Phone::parse("+4915112345678").unwrap().e164(), "+4915112345678");
        assert_eq!(Phone::parse("004915112345678"), Phone::parse("4915112345678"));
        for bad in ["", "+", "123456", "1234567890123456", "+49 151", "0151123456", "12a4567"] {
            assert!(Phone::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn digits_of_a_lid_are_never_a_phone() {
        assert_eq!(Jid::parse("27264519544897@lid").unwrap().person().unwrap().phone, None);
        assert!(Lid::parse("27264519544897").is_none());
    }

    #[test]
    fn device_and_agent_parts_are_dropped() {
        assert_eq!(Jid::parse("4915112345678:7@s.whatsapp.net"), Jid::parse("4915112345678@c.us"));
        assert_eq!(Jid::parse("77001.1:0@lid"), Jid::parse("77001@lid"));
    }

    #[test]
    fn formatting_never_shows_a_full_number() {
        let person = Person::of_phone(Phone::parse("4915112345678").unwrap());
        assert_eq!(format!("{person} {person:?}"), "+49…78 +49…78");
        let old = GroupId::parse("4915112345678-1571234567@g.us").unwrap();
        assert_eq!(old.to_string(), "…234567@g.us");
    }
}
