//! The small world of a seed: groups, people with their secrets, one daemon that guards them.

use super::{
    happenings::STRANGER,
    judge::{Judge, Truth},
};
use crate::lab::{Lab, Setup};
use perimeterd::{
    ids::{GroupId, Lid, Person, Phone},
    simulator::{Addressing, Dialect, Engine, Gateway, Options, Quirks, Role},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Somebody of this world. Who stands on which list is the [`Truth`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Soul {
    pub(crate) phone: Phone,
    pub(crate) lid: Lid,
}

impl Soul {
    pub(crate) fn person(self) -> Person {
        Person { phone: Some(self.phone), lid: Some(self.lid) }
    }
}

/// The world with its daemon.
pub(crate) struct Club {
    pub(crate) lab: Lab,
    pub(crate) groups: Vec<GroupId>,
    pub(crate) souls: Vec<Soul>,
    truth: Arc<Mutex<Truth>>,
    /// When a dead daemon is started again, in true time.
    pub(crate) revive_at: Option<Duration>,
    aloud: bool,
}

const POLICIES: [(&str, &str); 4] = [
    ("policies/blacklist.rhai", include_str!("../../../policies/blacklist.rhai")),
    ("policies/subscribers.rhai", include_str!("../../../policies/subscribers.rhai")),
    ("policies/welcome.rhai", include_str!("../../../policies/welcome.rhai")),
    ("policies/templates/how-to-join.txt", include_str!("../../../policies/templates/how-to-join.txt")),
];

impl Club {
    /// A world from chance. Nobody guards it yet.
    pub(crate) fn new(seed: u64, aloud: bool) -> Self {
        let simulator = Options {
            seed,
            dialect: fastrand::choice([Dialect::Wire, Dialect::Wire, Dialect::Docs, Dialect::Mixed]).unwrap(),
            quirks: Quirks { fill_pn: fastrand::bool(), seconds: fastrand::bool(), no_data: false },
            gateway: Gateway {
                engine: fastrand::choice([Engine::Gows, Engine::Gows, Engine::Noweb, Engine::Webjs]).unwrap(),
                documented_refusals: fastrand::bool(),
                roster_v2: fastrand::u8(0..4) > 0,
                strict_ids: fastrand::bool(),
                ..Gateway::default()
            },
            ..Options::default()
        };
        let config = configuration();
        let files = POLICIES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let files = files.chain([("blacklist.txt".into(), format!("{STRANGER}\n"))]);
        let files = files.chain([("allowlist.txt".into(), format!("{STRANGER}\n"))]).collect();
        let lab = Lab::new(Setup { config, files, simulator, ..Setup::default() });
        let truth = Arc::new(Mutex::new(Truth::default()));
        let mut club = Self { lab, groups: Vec::new(), souls: Vec::new(), truth, revive_at: None, aloud };
        club.people();
        club.settle_in();
        club
    }

    fn people(&mut self) {
        for number in 0..fastrand::u64(20..40) {
            let phone = Phone::from_u64(4_915_100_000_000 + number).unwrap();
            // Some digits of a LID look like a number of a country, which they are not.
            let lid = Lid::from_u64(if fastrand::u8(0..4) == 0 {
                923_000_000_000 + number
            } else {
                100_000_000_000_000 + fastrand::u64(0..1 << 40) * 64 + number
            });
            let soul = Soul { phone, lid };
            self.souls.push(soul);
            let hides = fastrand::u8(0..6) == 0;
            self.lab.sim.with(|world| {
                world.person(soul.person());
                if let Some(profile) = world.profile_mut(lid) {
                    profile.hides_phone = hides;
                }
            });
            let status = ["active", "active", "active", "trialing", "canceled", "none", "whatever"];
            self.lab.crm.set(phone, fastrand::choice(status).unwrap());
        }
    }

    /// Groups with a creator, an admin or two, and some members.
    fn settle_in(&mut self) {
        for number in 0..fastrand::u64(1..4) {
            let group = GroupId::parse(&format!("12036300000000000{number}@g.us")).unwrap();
            let addressing = if fastrand::bool() { Addressing::Lid } else { Addressing::Phone };
            self.lab.sim.add_group(&group, &format!("Club {number}"), addressing, Role::Admin);
            let mut souls = self.souls.clone();
            fastrand::shuffle(&mut souls);
            let size = fastrand::usize(3..souls.len() / 2);
            for (place, soul) in souls.into_iter().take(size).enumerate() {
                let role = match place {
                    0 => Role::Superadmin,
                    1 => Role::Admin,
                    _ => Role::Participant,
                };
                self.lab.sim.seat(&group, &[soul.person()], role);
            }
            self.groups.push(group);
        }
    }

    /// The judge takes his seat, the first daemon starts and looks around.
    pub(crate) async fn begin(&mut self) {
        let judge = Judge::new(&self.lab, self.souls.clone(), self.truth.clone());
        self.lab.watch_calls(move |request| judge.look(request));
        assert!(self.lab.start().await, "the first daemon does not start");
        self.lab.pass(Duration::from_secs(3600)).await;
    }

    /// What is true, and what was found wrong.
    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the truth changes: who might be removed until now.
    pub(crate) fn note_the_truth(&self) {
        let now = self.lab.elapsed();
        self.truth().note(&self.souls, &self.lab.crm, now);
    }

    /// A daemon that died is started again when its time has come, by a supervisor that never gives up.
    pub(crate) async fn revive(&mut self) {
        if self.lab.is_up() {
            return;
        }
        let due = *self.revive_at.get_or_insert_with(|| self.lab.elapsed() + downtime());
        if self.lab.elapsed() >= due && self.lab.start().await {
            self.revive_at = None;
            self.tell("the daemon is started again");
        }
    }

    /// For a replay: what happens.
    pub(crate) fn tell(&self, what: &str) {
        if self.aloud {
            let hours = self.lab.elapsed().as_secs_f64() / 3600.0;
            eprintln!("{hours:9.4} h  {}  {what}", if self.lab.is_up() { "up  " } else { "down" });
        }
    }

    pub(crate) fn is_aloud(&self) -> bool {
        self.aloud
    }

    /// Any group.
    pub(crate) fn a_group(&self) -> GroupId {
        fastrand::choice(&self.groups).unwrap().clone()
    }

    /// Anybody.
    pub(crate) fn a_soul(&self) -> Soul {
        *fastrand::choice(&self.souls).unwrap()
    }

    /// Somebody who is inside and no creator, if anybody is.
    pub(crate) fn a_member(&self, group: &GroupId) -> Option<Soul> {
        let me = self.lab.sim.me().lid;
        let inside: Vec<Lid> = self.lab.sim.with(|world| {
            let members = world.group(group).map(|group| group.members.clone()).unwrap_or_default();
            let plain = members.iter().filter(|(_, role)| **role != Role::Superadmin);
            plain.map(|(lid, _)| *lid).filter(|lid| Some(*lid) != me).collect()
        });
        let lid = fastrand::choice(&inside)?;
        self.souls.iter().copied().find(|soul| soul.lid == *lid)
    }
}

/// A restart by systemd, or by somebody who had to be called.
fn downtime() -> Duration {
    Duration::from_secs(if fastrand::bool() { fastrand::u64(1..20) } else { fastrand::u64(60..3 * 3600) })
}

fn configuration() -> String {
    let welcome = if fastrand::bool() { r#", "welcome""# } else { "" };
    let ramp = fastrand::choice(["0s", "14d"]).unwrap();
    let canary = fastrand::choice(["0s", "8h"]).unwrap();
    let gap = fastrand::choice(["0s", "2s..6s"]).unwrap();
    format!(
        r#"
[policies]
evidence_wait = "20m"
[[groups]]
name = "club"
match = "120363*@g.us"
chain = ["blacklist", "subscribers"{welcome}]
mode = "enforce"
[lists]
max_shrink = 1.0
[[blacklists]]
name = "scrapers"
path = "blacklist.txt"
[allowlist]
path = "allowlist.txt"
[subscriptions]
source = "http"
url = "http://crm.lab/members/{{digits}}"
timeout = "5s"
[pacing]
gap = "{gap}"
ramp = "{ramp}"
[silence]
after = "6h"
canary = "{canary}"
[sweep]
every = "24h"
[brake]
max = "1000/10m"
share = 1.0
"#
    )
}
