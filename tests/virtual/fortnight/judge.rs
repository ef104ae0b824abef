//! What is true in a small world, and the judge who holds every removal against it.

use super::world::Soul;
use crate::lab::{Lab, crm::Crm};
use percent_encoding::percent_decode_str;
use perimeterd::{
    clock::Clock,
    ids::{GroupId, Lid, Phone},
    simulator::{Role, Simulator},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A removal may rest on evidence of this age (`fresh_for`), and its call takes a moment.
const EVIDENCE_LASTS: Duration = Duration::from_secs(12);

/// A pushed value beats the source for a day by the wall clock, which steps by up to half a day: so long for certain, and
/// so long at most.
const PUSHED_FOR: (Duration, Duration) = (Duration::from_secs(12 * 3600), Duration::from_secs(36 * 3600));

/// What is true beside what the simulator and the payment side know.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) listed: BTreeSet<Listed>,
    pub(crate) allowed: BTreeSet<Listed>,
    /// Taken by the daemon: from then on these pay for [`PUSHED_FOR`], whatever the source says.
    pushed: BTreeMap<Phone, Duration>,
    /// Whoever was pushed and the source has said the same since: the daemon may have seen that, and then the source
    /// counts again.
    agreed: BTreeSet<Phone>,
    /// When somebody was removable last, up to the change before the current state.
    removable_until: BTreeMap<Lid, Duration>,
    /// Since when somebody has been removable without a break.
    pub(crate) removable_since: BTreeMap<Lid, Duration>,
    /// Promotions: since when.
    pub(crate) promoted: BTreeMap<(GroupId, Lid), Duration>,
    pub(crate) wrong: Vec<String>,
    /// When somebody joined last.
    pub(crate) joined_at: BTreeMap<(GroupId, Lid), Duration>,
    /// True joins.
    pub(crate) joins: BTreeMap<(GroupId, Lid), u32>,
}

/// How a list names somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listed {
    Phone(Phone),
    Lid(Lid),
}

impl Listed {
    pub(crate) fn line(self) -> String {
        match self {
            Self::Phone(phone) => phone.e164(),
            Self::Lid(lid) => lid.jid(),
        }
    }

    fn names(self, soul: Soul) -> bool {
        match self {
            Self::Phone(phone) => phone == soul.phone,
            Self::Lid(lid) => lid == soul.lid,
        }
    }
}

impl Truth {
    pub(crate) fn is_listed(&self, soul: Soul) -> bool {
        self.listed.iter().any(|listed| listed.names(soul))
    }

    pub(crate) fn is_allowed(&self, soul: Soul) -> bool {
        self.allowed.iter().any(|listed| listed.names(soul))
    }

    /// Whether anything known speaks against somebody at this moment; while a pushed payment may or may not count, `doubt`
    /// says whether it does.
    fn removable(&self, soul: Soul, crm: &Crm, now: Duration, doubt: bool) -> bool {
        let lasts = if doubt { PUSHED_FOR.1 } else { PUSHED_FOR.0 };
        let pushed = self.pushed.get(&soul.phone).is_some_and(|at| now < *at + lasts);
        let paid = pushed && (doubt || !self.agreed.contains(&soul.phone));
        let lapsed = !paid && crm.says(soul.phone).is_some_and(|says| says == "canceled" || says == "none");
        !self.is_allowed(soul) && (self.is_listed(soul) || lapsed)
    }

    /// To be called just before the truth changes, and after.
    pub(crate) fn note(&mut self, souls: &[Soul], crm: &Crm, now: Duration) {
        for soul in souls {
            if crm.says(soul.phone).is_some_and(|says| says == "active" || says == "trialing") {
                self.agreed.insert(soul.phone);
            }
            if self.removable(*soul, crm, now, false) {
                self.removable_until.insert(soul.lid, now);
            }
            if self.removable(*soul, crm, now, true) {
                self.removable_since.entry(soul.lid).or_insert(now);
            } else {
                self.removable_since.remove(&soul.lid);
            }
        }
    }

    fn was_removable(&self, soul: Soul, crm: &Crm, now: Duration) -> bool {
        let recent = self.removable_until.get(&soul.lid);
        self.removable(soul, crm, now, false) || recent.is_some_and(|until| *until + EVIDENCE_LASTS >= now)
    }

    /// The payment side pushed that somebody pays, and was heard.
    pub(crate) fn push(&mut self, phone: Phone, now: Duration) {
        self.pushed.insert(phone, now);
        self.agreed.remove(&phone);
    }
}

/// Looks at calls on their way.
pub(crate) struct Judge {
    sim: Simulator,
    crm: Arc<Crm>,
    clock: Arc<dyn Clock>,
    souls: Vec<Soul>,
    truth: Arc<Mutex<Truth>>,
}

impl Judge {
    pub(crate) fn new(lab: &Lab, souls: Vec<Soul>, truth: Arc<Mutex<Truth>>) -> Self {
        Self { sim: lab.sim.clone(), crm: lab.crm.clone(), clock: lab.clock.clone(), souls, truth }
    }

    /// Notes a removal that nothing true speaks for.
    pub(crate) fn look(&self, request: &reqwest::Request) {
        let path = percent_decode_str(request.url().path()).decode_utf8_lossy().into_owned();
        let Some(group) = path.strip_suffix("/participants/remove").and_then(|path| path.rsplit('/').next())
        else {
            return;
        };
        let body: serde_json::Value =
            serde_json::from_slice(request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default())
                .unwrap();
        let jid = body["participants"][0]["id"].as_str().unwrap_or_default();
        let Some(wrong) = self.wrong_with(&GroupId::parse(group).unwrap(), jid) else { return };
        let at = self.clock.elapsed().as_secs_f64() / 3600.0;
        let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        truth.wrong.push(format!("at {at:.4} h a removal of {jid} from {group}: {wrong}"));
    }

    fn wrong_with(&self, group: &GroupId, jid: &str) -> Option<&'static str> {
        let now = self.clock.elapsed();
        let lid = self.sim.with(|world| world.find(jid))?;
        if Some(lid) == self.sim.me().lid {
            return Some("that is ourselves");
        }
        let soul = *self.souls.iter().find(|soul| soul.lid == lid)?;
        let truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
        let role = self.sim.with(|world| world.group(group)?.members.get(&lid).copied());
        let told = truth.promoted.get(&(group.clone(), lid)).is_none_or(|since| self.was_told(group, *since));
        if role >= Some(Role::Admin) && told {
            return Some("that is an admin");
        }
        (!truth.was_removable(soul, &self.crm, now)).then_some("nothing true speaks for it")
    }

    /// Whether the daemon may know of a promotion since then: a roster was read, or the event was delivered. Promotions
    /// are never lost while a daemon is up.
    fn was_told(&self, group: &GroupId, since: Duration) -> bool {
        let calls = self.sim.calls();
        let after = calls.iter().filter(|call| call.at > since && call.status == Some(200));
        let rosters =
            after.filter(|call| call.group.as_ref() == Some(group) && call.path.contains("/participants"));
        rosters
            .filter(|call| call.method == "GET")
            .any(|call| call.at + Duration::from_secs(5) < self.clock.elapsed())
    }
}
