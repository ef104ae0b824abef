//! What the lists said when members were looked at last, and whom a change of the local list alone can be about: then
//! nobody else has to be looked at again. Pure; who is inside, and looking at them, is the app's business.

use super::{ListBook, local::Standing};
use crate::{
    ids::{Lid, Person, Phone},
    store::LocalKind,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// The lists as they stood at some moment.
#[derive(Clone, Debug)]
pub struct Swept {
    local: Arc<Standing>,
    unpaired: Vec<Lid>,
}

/// Whom entries name one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    phones: HashSet<Phone>,
    lids: HashSet<Lid>,
    /// Some entry has a number whose LID is not known: it may be anybody's whose number is not.
    bare_phone: bool,
    /// Likewise a LID.
    bare_lid: bool,
}

impl Named {
    /// Whether an entry names somebody, or might.
    pub fn may_be(&self, person: Person) -> bool {
        person.phone.map_or(self.bare_phone, |phone| self.phones.contains(&phone))
            || person.lid.map_or(self.bare_lid, |lid| self.lids.contains(&lid))
    }

    fn add(&mut self, person: Person) {
        self.phones.extend(person.phone);
        self.lids.extend(person.lid);
        self.bare_phone |= person.lid.is_none();
        self.bare_lid |= person.phone.is_none();
    }
}

impl ListBook {
    /// What the lists say, in short, with those of their LIDs that nobody could match: while it is the same, nobody
    /// inside can be on a list now who was not before. And what it takes to tell later what has changed.
    pub fn moment(&self, unpaired: Vec<Lid>) -> (String, Swept) {
        let local = self.local();
        (self.state_with(local.fingerprint(), &unpaired), Swept { local, unpaired })
    }

    /// Whom entries name that the local list has now and had not at `before`, whose state is `state`, or the reverse.
    /// `None` if another list changed since, or an entry names more people than one.
    pub fn changed_locally(&self, before: &Swept, state: &str, now: &Swept) -> Option<Named> {
        if self.state_with(before.local.fingerprint(), &before.unpaired) != state {
            return None;
        }
        let (was, is) = (names(&before.local), names(&now.local));
        let mut named = Named::default();
        for (one, other) in [(&was, &is), (&is, &was)] {
            for (_, person) in one.iter().filter(|(name, _)| !other.contains_key(*name)) {
                if person.is_nobody() {
                    return None;
                }
                named.add(*person);
            }
        }
        // Of whom something was learnt meanwhile is somebody else, if no entry of theirs is new.
        let old: HashSet<&Lid> = before.unpaired.iter().collect();
        let new: HashSet<&Lid> = now.unpaired.iter().collect();
        old.symmetric_difference(&new).all(|lid| named.lids.contains(lid)).then_some(named)
    }
}

/// What stands on the local list, by its name.
fn names(local: &Standing) -> BTreeMap<(bool, &str), Person> {
    let name = |kind| kind == LocalKind::Exception;
    local.entries().map(|entry| ((name(entry.kind), entry.entry.as_str()), entry.person)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_might_be_meant_is() {
        let phone = |number| Person::of_phone(Phone::from_u64(number).unwrap());
        let lid = |number| Person::of_lid(Lid::from_u64(number));
        let named = |people: &[Person]| {
            let mut named = Named::default();
            people.iter().for_each(|person| named.add(*person));
            named
        };
        let [ann, ben] = [4_915_100_000_001, 4_915_100_000_002].map(phone);
        let whole = ann.merged(lid(77));
        for (entry, person, may_be) in [
            (ann, ann, true),
            (ann, whole, true),
            (ann, ben, false),
            (ann, lid(77), true),
            (whole, lid(77), true),
            (whole, lid(78), false),
            (whole, ann, true),
            (whole, ben, false),
            (lid(77), whole, true),
            (lid(77), lid(78), false),
            (lid(77), ben, true),
            (lid(77), ben.merged(lid(78)), false),
        ] {
            assert_eq!(named(&[entry]).may_be(person), may_be, "{entry:?} {person:?}");
        }
    }
}
