//! Webhooks as the gateway posts them, head and body and signature made beforehand.

use hmac::{Hmac, KeyInit, Mac};
use perimeterd::{
    clock::{Clock, SystemClock, Timestamp},
    ids::{GroupId, Lid, Person, Phone},
    simulator::{Addressing, Dialect, Envelope, Quirks, Via},
};
use sha2::Sha512;

/// The groups whose joins are decided.
const GUARDED: u64 = 20;
/// The first number of those who join.
const FIRST: u64 = 4_915_100_000_000;
/// The first of those who do not pay and join one at a time.
const FIRST_LAPSED: u64 = 4_917_200_000_000;

/// Groups that `[[groups]]` names.
pub(crate) fn guarded() -> Vec<GroupId> {
    (0..GUARDED).map(|n| group(&format!("1203630000000000{n:02}@g.us"))).collect()
}

fn group(jid: &str) -> GroupId {
    GroupId::parse(jid).expect("a group's id")
}

/// The number of the `n`th who joins.
pub(crate) fn number(n: usize) -> u64 {
    FIRST + n as u64
}

/// Makes webhooks; their ids follow time as the gateway's do.
pub(crate) struct Events {
    now: Timestamp,
    made: u64,
    key: Hmac<Sha512>,
}

impl Events {
    pub(crate) fn new() -> Self {
        let key = Hmac::new_from_slice(crate::house::KEY.as_bytes()).expect("keys have any length");
        Self { now: SystemClock::new().now(), made: 0, key }
    }

    /// Joins of a group that nobody guards: stored, read and left alone.
    pub(crate) fn unguarded(&mut self, count: usize) -> Vec<Vec<u8>> {
        let other = group("120364999999999999@g.us");
        (0..count).map(|n| self.join(&other, person(number(n)))).collect()
    }

    /// Joins of guarded groups.
    pub(crate) fn joins(&mut self, count: usize) -> Vec<Vec<u8>> {
        let groups = guarded();
        (0..count).map(|n| self.join(&groups[n % groups.len()], person(number(n)))).collect()
    }

    /// Somebody who does not pay comes, now.
    pub(crate) fn lapsed_join(&mut self, group: &GroupId) -> (Person, Vec<u8>) {
        self.now = SystemClock::new().now();
        let who = person(FIRST_LAPSED + self.made);
        (who, self.join(group, who))
    }

    fn join(&mut self, group: &GroupId, who: Person) -> Vec<u8> {
        self.made += 1;
        let me = Person { phone: Phone::parse("447700900001"), lid: Some(Lid::from_u64(55_501)) };
        let id = format!("evt_{}", ulid(self.now.0.unsigned_abs() + self.made / 25, self.made));
        let around = Envelope { id: &id, at: self.now, session: "main", me, quirks: Quirks::default() };
        let body = Dialect::Wire.join_body(&around, group, Addressing::Phone, &[who], Via::Link).to_string();
        let tag = hex::encode(self.key.clone().chain_update(&body).finalize().into_bytes());
        let head = format!(
            "POST /webhooks/main HTTP/1.1\r\nhost: guard.example\r\nuser-agent: WAHA/2026.7.1\r\n\
             content-type: application/json\r\nx-webhook-hmac: {tag}\r\nx-webhook-timestamp: {}\r\n\
             x-webhook-request-id: {:016x}\r\ncontent-length: {}\r\n\r\n",
            self.now.0,
            self.made,
            body.len()
        );
        [head.into_bytes(), body.into_bytes()].concat()
    }
}

fn person(number: u64) -> Person {
    Person::of_phone(Phone::from_u64(number).expect("an international number"))
}

/// Ten characters of time, six that differ within a millisecond at random, ten that count.
fn ulid(millis: u64, count: u64) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let spell = |value: u64, digits: u32| {
        (0..digits).rev().map(move |digit| char::from(ALPHABET[(value >> (5 * digit) & 31) as usize]))
    };
    spell(millis, 10).chain(spell(fastrand::u64(..), 6)).chain(spell(count, 10)).collect()
}
