//! What happens in a fortnight: people come, go, pay and are found out; the gateway, the network, the disk, the payment side
//! and the clock fail in every way they can.

use super::{
    judge::Listed,
    world::{Club, Soul},
};
use crate::lab::crm::Outage;
use perimeterd::{
    action::Class,
    ids::GroupId,
    simulator::{Delivery, Dialect, Fault, Kind, Quirks, Role, Target, Via, world::Status},
};
use std::time::Duration;

/// On every list from the beginning, because a list that is emptied is not taken.
pub(crate) const STRANGER: &str = "+12025550100";

/// Something that happens at a moment; who it happens to is chance's.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Join,
    Added,
    Raid,
    Leave,
    PutOut,
    Promote,
    Demote,
    Write,
    WriteToUs,
    Lapse,
    Pay,
    Push,
    Outage(Option<Outage>),
    ListEdit,
    AllowEdit,
    Fault(Kind),
    NoFaults,
    Delivery,
    Dialect,
    Session(Status),
    Kill,
    Fuse(u16),
    Step(i64),
    FullDisk(bool),
}

/// A plan for that long: every happening with its time, in order. What begins also ends.
pub(crate) fn plan(time: Duration) -> Vec<(Duration, Happening)> {
    let mut plan = Vec::new();
    for _ in 0..fastrand::u32(60..150) {
        let at = Duration::from_millis(fastrand::u64(3_600_000..time.as_millis().try_into().unwrap()));
        let (happening, end) = Happening::any();
        plan.push((at, happening.clone()));
        if let Some((after, end)) = end {
            plan.push((at + after, end));
        }
        // Troubles never come alone: something happens right into this one.
        if fastrand::bool() {
            let soon = at + Duration::from_millis(fastrand::u64(0..40_000));
            plan.push((
                soon,
                fastrand::choice([Happening::Join, Happening::Added, Happening::Leave]).unwrap(),
            ));
        }
    }
    plan.retain(|(at, _)| *at < time);
    plan.sort_by_key(|(at, _)| *at);
    plan
}

fn a_while() -> Duration {
    Duration::from_secs(if fastrand::bool() { fastrand::u64(1..120) } else { fastrand::u64(120..4 * 3600) })
}

fn a_fault() -> Kind {
    let effect = fastrand::bool();
    let texts = [
        "info query returned status 500: internal-server-error",
        "info query timed out",
        "websocket not connected",
    ];
    match fastrand::u8(0..10) {
        0 => Kind::Upstream { message: fastrand::choice(texts).unwrap().to_owned() },
        // What took effect behind a plain 500 could be told by nobody; a 502 says that nobody knows.
        1 => {
            let status = fastrand::choice([500, 502, 503]).unwrap();
            Kind::Status { status, body: "oops".into(), effect: effect && status == 502 }
        }
        2 => Kind::RateLimited { retry_after: fastrand::bool().then(|| fastrand::u64(1..90)) },
        3 => Kind::PerPerson { code: fastrand::choice([403, 404, 408, 409, 500]).unwrap() },
        4 => Kind::Silent,
        5 => Kind::Hang { effect },
        6 => Kind::Drop { effect },
        7 => Kind::Slow { millis: fastrand::u64(100..40_000) },
        8 => Kind::NotWorking,
        _ => Kind::Empty,
    }
}

impl Happening {
    /// Any happening, and how and when it ends if it does.
    fn any() -> (Self, Option<(Duration, Self)>) {
        let plain = |happening| (happening, None);
        match fastrand::u8(0..100) {
            0..=24 => plain(Self::Join),
            25..=30 => plain(Self::Added),
            31 => plain(Self::Raid),
            32..=37 => plain(Self::Leave),
            38..=41 => plain(Self::PutOut),
            42..=43 => plain(Self::Promote),
            44 => plain(Self::Demote),
            45..=50 => plain(Self::Write),
            51..=52 => plain(Self::WriteToUs),
            53..=56 => plain(Self::Lapse),
            57..=59 => plain(Self::Pay),
            60..=62 => plain(Self::Push),
            63..=65 => {
                let kinds =
                    [Outage::Refused, Outage::Broken, Outage::Hanging, Outage::Garbled, Outage::Foreign];
                (Self::Outage(fastrand::choice(kinds)), Some((a_while(), Self::Outage(None))))
            }
            66..=69 => plain(Self::ListEdit),
            70 => plain(Self::AllowEdit),
            71..=80 => (Self::Fault(a_fault()), Some((a_while(), Self::NoFaults))),
            81..=84 => plain(Self::Delivery),
            85 => plain(Self::Dialect),
            86..=88 => (Self::Session(Status::Stopped), Some((a_while(), Self::Session(Status::Working)))),
            89..=91 => plain(Self::Kill),
            92..=95 => plain(Self::Fuse(fastrand::u16(0..80))),
            96..=97 => plain(Self::Step(fastrand::i64(-6 * 3_600_000..6 * 3_600_000))),
            _ => (Self::FullDisk(true), Some((a_while(), Self::FullDisk(false)))),
        }
    }

    pub(crate) async fn happen(self, club: &mut Club) {
        club.note_the_truth();
        match self {
            Self::Join => join(club, &club.a_group(), &[club.a_soul()], Via::Link).await,
            Self::Added => {
                let group = club.a_group();
                let by = club.a_member(&group).map_or(Via::Unknown, |by| Via::AddedBy(by.person()));
                join(club, &group, &[club.a_soul()], by).await;
            }
            Self::Raid => {
                let souls: Vec<Soul> = (0..8).map(|_| club.a_soul()).collect();
                join(club, &club.a_group(), &souls, Via::Link).await;
            }
            Self::Leave | Self::PutOut => leave(club, matches!(self, Self::PutOut)).await,
            Self::Promote | Self::Demote => role(club, matches!(self, Self::Promote)).await,
            Self::Write => {
                let group = club.a_group();
                if let Some(soul) = club.a_member(&group) {
                    club.lab.sim.message(Some(&group), soul.person(), "hello").await;
                }
            }
            Self::WriteToUs => drop(club.lab.sim.message(None, club.a_soul().person(), "hello").await),
            Self::Lapse => {
                let status = fastrand::choice(["canceled", "none"]).unwrap();
                pays(club, club.a_soul(), status);
            }
            Self::Pay => pays(club, club.a_soul(), "active"),
            Self::Push => push(club).await,
            Self::Outage(outage) => club.lab.crm.set_outage(outage),
            Self::ListEdit | Self::AllowEdit => edit(club, matches!(self, Self::ListEdit)).await,
            Self::Fault(kind) => fault(club, kind),
            Self::NoFaults => club.lab.sim.faults().clear(),
            Self::Delivery => drop(club.lab.sim.set_delivery(a_delivery())),
            Self::Dialect => dialect(club),
            Self::Session(status) => club.lab.sim.set_status(status),
            Self::Kill => {
                club.lab.kill().await;
                club.revive().await;
            }
            Self::Fuse(half_steps) => club.lab.disk.fuse(half_steps),
            Self::Step(millis) => club.lab.clock.step(millis),
            Self::FullDisk(full) => club.lab.disk.set_full(full),
        }
        club.note_the_truth();
    }

    /// Everything works again, and somebody is there to guard.
    pub(crate) async fn repair(club: &mut Club) {
        club.note_the_truth();
        club.lab.sim.faults().clear();
        club.lab.sim.set_delivery(Delivery::default());
        club.lab.sim.set_status(Status::Working);
        club.lab.crm.set_outage(None);
        club.lab.disk.set_full(false);
        club.lab.disk.no_fuse();
        club.lab.clock.step(0);
        club.note_the_truth();
        if !club.lab.is_up() {
            assert!(club.lab.start().await, "a daemon that cannot start in peace");
        }
    }
}

fn fault(club: &Club, kind: Kind) {
    let on = match fastrand::u8(0..6) {
        0 => Target::Any,
        1 | 2 => Target::Class(Class::Remove),
        3 => Target::Class(Class::Read),
        4 => Target::Class(Class::Dm),
        _ => Target::Class(Class::GroupMessage),
    };
    let fault = Fault::new(on, kind);
    club.lab.sim.add_fault(if fastrand::bool() { fault.times(fastrand::u32(1..4)) } else { fault });
}

fn dialect(club: &Club) {
    let dialect = fastrand::choice([Dialect::Wire, Dialect::Docs, Dialect::Mixed]).unwrap();
    let quirks = Quirks { no_data: fastrand::bool(), fill_pn: fastrand::bool(), seconds: fastrand::bool() };
    club.lab.sim.set_dialect(dialect, quirks);
}

fn a_delivery() -> Delivery {
    Delivery {
        duplicates: fastrand::choice([0.0, 0.3]).unwrap(),
        lost: fastrand::choice([0.0, 0.0, 0.2]).unwrap(),
        reorder: fastrand::bool(),
        arrays: fastrand::bool(),
        parallel: fastrand::choice([1, 4]).unwrap(),
        ..Delivery::default()
    }
}

async fn join(club: &Club, group: &GroupId, souls: &[Soul], via: Via) {
    let people: Vec<_> = souls.iter().map(|soul| soul.person()).collect();
    for person in club.lab.sim.join(group, &people, via).await {
        let key = (group.clone(), person.lid.unwrap());
        let now = club.lab.elapsed();
        club.truth().joined_at.insert(key.clone(), now);
        *club.truth().joins.entry(key).or_default() += 1;
        club.tell(&format!("  {person:?} joins {group}"));
    }
}

async fn leave(club: &Club, put_out: bool) {
    let group = club.a_group();
    let Some(soul) = club.a_member(&group) else { return };
    let by = if put_out { club.a_member(&group).filter(|by| *by != soul).map(Soul::person) } else { None };
    club.truth().promoted.remove(&(group.clone(), soul.lid));
    club.lab.sim.leave(&group, &[soul.person()], by).await;
    club.tell(&format!("  {:?} leaves {group}", soul.person()));
}

/// Promotions are told for certain while somebody listens: nobody can spare an admin whom nobody told of.
async fn role(club: &Club, up: bool) {
    let group = club.a_group();
    let Some(soul) = club.a_member(&group) else { return };
    let admin = club.lab.sim.with(|world| {
        let members = &world.group(&group)?.members;
        members.iter().find(|(_, role)| **role == Role::Superadmin).map(|(lid, _)| world.both_ids(*lid))
    });
    let Some(admin) = admin else { return };
    if up {
        let since = club.lab.elapsed();
        club.truth().promoted.entry((group.clone(), soul.lid)).or_insert(since);
    } else {
        club.truth().promoted.remove(&(group.clone(), soul.lid));
    }
    club.lab.sim.set_role(&group, soul.person(), up, admin).await;
    club.tell(&format!("  {:?} is {} in {group}", soul.person(), if up { "promoted" } else { "demoted" }));
}

fn pays(club: &Club, soul: Soul, status: &str) {
    club.lab.crm.set(soul.phone, status);
    club.tell(&format!("  {soul:?} is {status}"));
}

/// The payment side tells that somebody pays; its own API may lag behind.
async fn push(club: &Club) {
    let soul = club.a_soul();
    if fastrand::bool() {
        pays(club, soul, "active");
    }
    let path = format!("/api/v1/subscriptions/{}", soul.phone.digits());
    let answer = club.lab.ask("PUT", &path, r#"{"status":"active"}"#).await;
    if matches!(answer, Some((200..=299, _))) {
        let now = club.lab.elapsed();
        club.truth().push(soul.phone, now);
        club.tell(&format!("  {soul:?} is pushed"));
    }
}

async fn edit(club: &Club, black: bool) {
    let soul = club.a_soul();
    let named = if fastrand::bool() { Listed::Phone(soul.phone) } else { Listed::Lid(soul.lid) };
    let text = {
        let mut truth = club.truth();
        let list = if black { &mut truth.listed } else { &mut truth.allowed };
        if !list.remove(&named) {
            list.insert(named);
        }
        list.iter().map(|listed| listed.line() + "\n").collect::<String>()
    };
    let name = if black { "blacklist.txt" } else { "allowlist.txt" };
    club.tell(&format!("  {name}: {}", named.line()));
    club.lab.write(name, &format!("{STRANGER}\n{text}")).await;
}
