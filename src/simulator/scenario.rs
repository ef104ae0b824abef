//! The scripted day of the demo, as data: what the narrator says, and what happens.
//!
//! All numbers are from ranges that regulators keep free for fiction. Knows nothing of the daemon: what the day is
//! *meant* to show is the narrator's line only.

use super::{
    handle::Simulator,
    webhook::Delivery,
    world::{Addressing, Role, Via},
};
use crate::ids::{GroupId, Person, Phone};
use std::{fmt::Write as _, time::Duration};

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// People come in, each with an event of their own.
    Join(Vec<Newcomer>, Way),
    /// The same, and the gateway delivers the event twice.
    JoinTwice(Newcomer),
    /// Somebody writes into the group.
    Write(Newcomer, &'static str),
    /// Somebody goes.
    Leave(Newcomer),
    /// Nothing; the narrator speaks.
    Pause,
}

/// Which door somebody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The invite link as it is now.
    Link,
    /// The link as it was in the morning; a dead end once it was revoked.
    LeakedLink,
    /// An admin of the group adds them.
    AddedByAdmin,
}

/// A person of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Their number.
    pub phone: Phone,
    /// Their name.
    pub name: String,
    /// WhatsApp shows nobody their number.
    pub hides_phone: bool,
}

/// A moment of the day.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, from the start at pace 1.
    pub at: Duration,
    /// What the narrator says.
    pub says: String,
    /// What happens.
    pub does: Deed,
}

/// A whole day and the files that belong to it.
#[derive(Clone, Debug)]
pub struct Day {
    /// In order of time.
    pub steps: Vec<Step>,
    /// How long after the start it is over; later than the last step, so that what it caused is seen.
    pub ends: Duration,
    /// `subscriptions.csv`.
    pub subscriptions_csv: String,
    /// A blacklist file.
    pub blacklist_txt: String,
    /// The guarded group.
    pub group: GroupId,
    /// Its name.
    pub subject: &'static str,
    /// The human admin, inside from the start.
    pub admin: Newcomer,
    /// Plain members from the start.
    pub members: Vec<Newcomer>,
    /// Who comes and has a right to stay, or whom nobody can judge.
    pub may_stay: Vec<Newcomer>,
    /// Who comes and no longer pays.
    pub lapsed: Vec<Newcomer>,
    /// Who comes and stands on the blacklist.
    pub scrapers: Vec<Newcomer>,
    /// Who comes in the raid.
    pub raiders: Vec<Newcomer>,
}

fn newcomer(prefix: u64, number: u64, name: &str) -> Newcomer {
    let phone =
        Phone::from_u64(prefix + number).expect("the cast's numbers are written with 11 or 12 digits");
    Newcomer { phone, name: name.to_owned(), hides_phone: false }
}

/// Ofcom keeps 07700 900000 to 900999 for drama.
fn british(number: u64, name: &str) -> Newcomer {
    newcomer(447_700_900_000, number, name)
}

/// 555-0100 to 555-0199 is fiction's part of the American plan.
fn american(number: u64, name: &str) -> Newcomer {
    newcomer(12_025_550_100, number, name)
}

/// Arcep keeps 06 39 98 xx xx for films.
fn french(number: u64) -> Newcomer {
    newcomer(33_639_980_000, number, &format!("user{number:04}"))
}

/// The cast, by what becomes of them.
struct Cast {
    admin: Newcomer,
    seated: Vec<Newcomer>,
    paying: Vec<Newcomer>,
    lapsed: Vec<Newcomer>,
    scrapers: Vec<Newcomer>,
    friend: Newcomer,
    late_payer: Newcomer,
    hidden: Newcomer,
    raiders: Vec<Newcomer>,
    twice: Newcomer,
    evening: Newcomer,
}

impl Cast {
    fn of_the_club() -> Self {
        Self {
            admin: british(10, "Olivia"),
            seated: (20..45).map(|n| british(n, &format!("Member {n}"))).collect(),
            paying: vec![british(101, "Ann"), british(102, "Ben"), british(103, "Chloe")],
            lapsed: vec![british(201, "Dave"), british(202, "Ella")],
            scrapers: vec![american(11, "Deals4U"), american(12, "Promo Bot")],
            twice: british(104, "Farid"),
            friend: british(105, "Grace"),
            late_payer: british(106, "Hugo"),
            hidden: Newcomer { hides_phone: true, ..british(301, "Nobody knows") },
            raiders: (1..=25).map(|n| french(n * 37)).collect(),
            evening: british(107, "Iris"),
        }
    }

    fn subscriptions(&self) -> String {
        let mut csv = "phone,status,plan,expires_at\n".to_owned();
        let paying = self.seated.iter().chain(&self.paying);
        let paying = paying.chain([&self.admin, &self.twice, &self.friend, &self.evening]);
        for person in paying {
            writeln!(csv, "{},active,club,", person.phone.e164()).expect("writing to a string cannot fail");
        }
        for (status, person) in [("canceled", &self.lapsed[0]), ("past_due", &self.lapsed[1])] {
            writeln!(csv, "{},{status},club,2024-03-31", person.phone.e164()).expect("as above");
        }
        writeln!(csv, "{},past_due,club,2099-12-31", self.late_payer.phone.e164()).expect("as above");
        csv
    }

    fn blacklist(&self) -> String {
        let mut text = "# Known scrapers, one entry a line.\n".to_owned();
        for person in &self.scrapers {
            writeln!(text, "{} reason=\"harvests numbers\"", person.phone.e164()).expect("as above");
        }
        text
    }
}

/// About half a minute in the life of a paid club: welcomes, lapsed members, scrapers, a repeat, a raid, a quiet end.
pub fn community_day() -> Day {
    let cast = Cast::of_the_club();
    let mut day = Writer::default();
    day.step(500, "Good morning. The club is open: 25 members, one human admin, one guard.", Deed::Pause);
    for (person, at) in cast.paying.iter().zip([1500, 2300, 3100]) {
        let says = format!("{} pays for the club and joins by the link.", person.name);
        day.step(at, says, Deed::Join(vec![person.clone()], Way::Link));
    }
    let says = format!("{}'s subscription was cancelled long ago.", cast.lapsed[0].name);
    day.step(5500, says, Deed::Join(vec![cast.lapsed[0].clone()], Way::Link));
    let says = format!("{} has not paid for two years.", cast.lapsed[1].name);
    day.step(6500, says, Deed::Join(vec![cast.lapsed[1].clone()], Way::Link));
    let says = "Two scrapers from the blacklist slip in by the link.";
    day.step(8500, says, Deed::Join(cast.scrapers.clone(), Way::Link));
    let says = format!("{} joins; the gateway delivers the news twice.", cast.twice.name);
    day.step(10_500, says, Deed::JoinTwice(cast.twice.clone()));
    let says = format!("{} is late with a payment, but paid up to 2099.", cast.late_payer.name);
    day.step(11_500, says, Deed::Join(vec![cast.late_payer.clone()], Way::Link));
    day.step(12_500, "The link leaked. A raid: 25 strangers within three seconds.", Deed::Pause);
    for (n, raider) in cast.raiders.iter().enumerate() {
        let at = 13_000 + 120 * u64::try_from(n).unwrap_or(0);
        day.step(at, "", Deed::Join(vec![raider.clone()], Way::LeakedLink));
    }
    let says = format!("{} the admin adds {} by hand.", cast.admin.name, cast.friend.name);
    day.step(19_000, says, Deed::Join(vec![cast.friend.clone()], Way::AddedByAdmin));
    let says = "Somebody comes whose number WhatsApp hides: nobody is put out on a guess.";
    day.step(20_500, says, Deed::Join(vec![cast.hidden.clone()], Way::AddedByAdmin));
    let says = format!("{} says goodbye; nobody put him out.", cast.paying[1].name);
    day.step(22_000, says, Deed::Leave(cast.paying[1].clone()));
    let says = format!("It is quiet again. {} comes for the evening talk.", cast.evening.name);
    day.step(25_000, says, Deed::Join(vec![cast.evening.clone()], Way::AddedByAdmin));
    day.step(27_000, "", Deed::Write(cast.evening.clone(), "Good evening, everyone!"));
    Day {
        steps: day.steps,
        ends: Duration::from_secs(32),
        subscriptions_csv: cast.subscriptions(),
        blacklist_txt: cast.blacklist(),
        group: GroupId::parse("120363042000000001@g.us").expect("the id is written with digits only"),
        subject: "The Club",
        may_stay: [cast.paying, vec![cast.twice, cast.friend, cast.late_payer, cast.hidden, cast.evening]]
            .concat(),
        lapsed: cast.lapsed,
        scrapers: cast.scrapers,
        raiders: cast.raiders,
        admin: cast.admin,
        members: cast.seated,
    }
}

#[derive(Default)]
struct Writer {
    steps: Vec<Step>,
}

impl Writer {
    fn step(&mut self, millis: u64, says: impl Into<String>, does: Deed) {
        self.steps.push(Step { at: Duration::from_millis(millis), says: says.into(), does });
    }
}

impl Newcomer {
    fn enter(&self, sim: &Simulator) -> Person {
        let person = Person::of_phone(self.phone);
        sim.with(|world| {
            let lid = world.named(person, &self.name);
            if let Some(profile) = world.profile_mut(lid) {
                profile.hides_phone = self.hides_phone;
            }
            world.both_ids(lid)
        })
    }
}

impl Day {
    /// Makes the group with its first members and ourselves as an admin; announces nothing.
    pub fn set_up(&self, sim: &Simulator) {
        sim.add_group(&self.group, self.subject, Addressing::Lid, Role::Admin);
        let admin = self.admin.enter(sim);
        sim.seat(&self.group, &[admin], Role::Superadmin);
        let members: Vec<_> = self.members.iter().map(|member| member.enter(sim)).collect();
        sim.seat(&self.group, &members, Role::Participant);
    }

    fn invite_code(&self, sim: &Simulator) -> Option<String> {
        sim.with(|world| world.group(&self.group).map(|group| group.invite_code.clone()))
    }

    /// Answers how many stood before a dead link.
    async fn act(&self, sim: &Simulator, deed: &Deed, leaked: Option<&str>) -> usize {
        match deed {
            Deed::Join(people, Way::LeakedLink) if self.invite_code(sim).as_deref() != leaked => {
                return people.len();
            }
            Deed::Join(people, way) => {
                let via = match way {
                    Way::Link | Way::LeakedLink => Via::Link,
                    Way::AddedByAdmin => Via::AddedBy(self.admin.enter(sim)),
                };
                for newcomer in people {
                    let person = newcomer.enter(sim);
                    sim.join(&self.group, &[person], via).await;
                }
            }
            Deed::JoinTwice(newcomer) => {
                let person = newcomer.enter(sim);
                let usual = sim.set_delivery(Delivery { duplicates: 1.0, ..Delivery::default() });
                sim.join(&self.group, &[person], Via::Link).await;
                sim.delivered(Duration::from_secs(1)).await;
                sim.set_delivery(usual);
            }
            Deed::Write(newcomer, text) => {
                let person = newcomer.enter(sim);
                sim.message(Some(&self.group), person, text).await;
            }
            Deed::Leave(newcomer) => {
                let person = newcomer.enter(sim);
                sim.leave(&self.group, &[person], None).await;
            }
            Deed::Pause => {}
        }
        0
    }
}

/// Plays a day in a world that [`Day::set_up`] made; `on_step` hears of each step just before it happens. `pace` stretches
/// every pause: 2 is twice as slow, 0 is at once. Returns when the day is over, with the number of people who stood before
/// a dead link.
pub async fn play(day: &Day, sim: &Simulator, pace: f64, mut on_step: impl FnMut(&Step)) -> usize {
    let leaked = day.invite_code(sim);
    let mut passed = Duration::ZERO;
    let mut turned_away = 0;
    for step in &day.steps {
        tokio::time::sleep(step.at.saturating_sub(passed).mul_f64(pace)).await;
        passed = step.at;
        on_step(step);
        turned_away += day.act(sim, &step.does, leaked.as_deref()).await;
    }
    tokio::time::sleep(day.ends.saturating_sub(passed).mul_f64(pace)).await;
    turned_away
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, simulator::Options};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_day_is_in_order_and_everybody_comes() {
        let day = community_day();
        assert!(day.steps.is_sorted_by_key(|step| step.at));
        assert!((25..=35).contains(&day.ends.as_secs()));
        let sim = Simulator::new(Options::default(), Arc::new(SystemClock::new()));
        day.set_up(&sim);
        let mut heard = 0;
        assert_eq!(play(&day, &sim, 0.0, |_| heard += 1).await, 0);
        assert_eq!(heard, day.steps.len());
        // 1 guard, 1 admin, 25 seated, 3 paying, 2 lapsed, 2 scrapers, 1 twice, 1 late, 25 raiders, 3 added, 1 left.
        assert_eq!(sim.with(|world| world.group(&day.group).unwrap().members.len()), 63);
    }

    #[tokio::test]
    async fn a_revoked_link_keeps_the_rest_of_the_raid_out() {
        let day = community_day();
        let sim = Simulator::new(Options::default(), Arc::new(SystemClock::new()));
        day.set_up(&sim);
        let mut raiders = 0;
        let turned_away = play(&day, &sim, 0.0, |step| {
            raiders += usize::from(matches!(step.does, Deed::Join(_, Way::LeakedLink)));
            if raiders == 11 {
                sim.with(|world| drop(world.revoke_invite(&day.group, None)));
            }
        });
        assert_eq!(turned_away.await, 15);
    }

    #[test]
    fn raiders_do_not_pay_and_scrapers_are_listed() {
        let day = community_day();
        assert_eq!(day.subscriptions_csv.lines().count(), 1 + 25 + 3 + 4 + 3);
        assert!(!day.subscriptions_csv.contains("+33639"));
        assert_eq!(day.blacklist_txt.matches("+1202555").count(), 2);
    }
}
