//! The one place to ask who pays: pushed values first, then the source.

use super::{
    Stats,
    batch::Together,
    cache::{Answers, Outage},
    http::HttpSource,
    known,
    roll::{self, Roll, RollContext},
    sql::SqlSource,
    words::Words,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{SubscriptionSource, Subscriptions},
    facts::{Lookup, Status, Subscription},
    ids::Phone,
    kept::{KeptFile, Rules},
    store::Pushed,
    takeup::Takeup,
    transport::Transport,
};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How long a pushed value beats the source.
const PUSHED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What a file says of somebody whom it does not name.
const NOBODY: Subscription = Subscription { status: Status::None, plan: None, expires_at: None };

/// Who pays.
pub struct SubscriptionBook {
    source: Source,
    words: Arc<Words>,
    clock: Arc<dyn Clock>,
    cache_ttl: Duration,
    pushed: Mutex<HashMap<Phone, Push>>,
    /// Whose pushes ended, until the store is told.
    ended: Mutex<Vec<Phone>>,
    changes: Mutex<Changes>,
    change_bell: Arc<Notify>,
    generation: AtomicU64,
    file_recoveries: AtomicU64,
    file_hits: AtomicU64,
}

/// Of whom something else is said.
#[derive(Debug, Default)]
pub struct Changes {
    /// The file does.
    pub roll: Option<RollChange>,
    /// The payment side pushed it then.
    pub pushed: Vec<(Phone, Timestamp)>,
}

/// Another file is in force.
#[derive(Debug)]
pub struct RollChange {
    /// SHA-256 of the one before, in hex; `None`: there was none.
    pub from: Option<String>,
    /// Of the one in force.
    pub to: String,
    /// Of whom it says something else, those it no longer names included.
    pub phones: BTreeSet<Phone>,
}

enum Source {
    Nothing,
    /// What is pushed is all there is: it lasts until something else is pushed.
    Pushed,
    File {
        file: Box<KeptFile<Roll>>,
        name: String,
    },
    /// Asked person by person.
    Asked(Answers),
}

struct Push {
    subscription: Subscription,
    at: Timestamp,
    /// When the source was asked last whether it agrees, by the clock that never steps.
    compared: Duration,
}

impl SubscriptionBook {
    /// Opens the source. The last good copy of a file is in `kept_dir` (`data_dir/kept/subscriptions`); `transport`
    /// should be [`super::client`]. Says what became of a file. Blocks on the disk.
    pub fn open(
        config: Option<&Subscriptions>,
        time_zone: TimeZone,
        max_shrink: f64,
        kept_dir: PathBuf,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> (Self, Vec<Takeup>) {
        let mut takeups = Vec::new();
        let words = Arc::new(Words::new(config.map(|config| config.status_map.clone()).unwrap_or_default()));
        let source = match config.map(|config| (config, &config.source)) {
            None => Source::Nothing,
            Some((_, SubscriptionSource::Pushed)) => Source::Pushed,
            Some((config, SubscriptionSource::File { path })) => {
                let rules = rules(config, path, time_zone, max_shrink, &kept_dir);
                let (file, takeup) = KeptFile::open(rules, clock.now());
                takeups.push(takeup);
                let name =
                    path.file_name().map_or("subscriptions".into(), |n| n.to_string_lossy().into_owned());
                Source::File { file: Box::new(file), name }
            }
            Some((config, SubscriptionSource::Sql(_))) => {
                let sql = SqlSource::new(config, Arc::clone(&words), time_zone);
                sql.map_or(Source::Nothing, |(sql, at_once)| {
                    Source::Asked(Answers::new(sql, at_once, config, Arc::clone(&clock)))
                })
            }
            Some((config, SubscriptionSource::Http { batch, .. })) => {
                let http =
                    HttpSource::new(config, Arc::clone(&words), time_zone, transport, Arc::clone(&clock));
                http.map_or(Source::Nothing, |(http, at_once)| {
                    let clock = Arc::clone(&clock);
                    Source::Asked(match batch {
                        None => Answers::new(http, at_once, config, clock),
                        Some(batch) => {
                            let together = Together::new(http, batch, at_once);
                            Answers::new(together, at_once * batch.size, config, clock)
                        }
                    })
                })
            }
        };
        let book = Self {
            source,
            words,
            clock,
            cache_ttl: config.map_or(Duration::ZERO, |config| config.cache_ttl),
            pushed: Mutex::new(HashMap::new()),
            ended: Mutex::new(Vec::new()),
            changes: Mutex::default(),
            change_bell: Arc::default(),
            generation: AtomicU64::new(1),
            file_recoveries: AtomicU64::new(0),
            file_hits: AtomicU64::new(0),
        };
        book.note_roll();
        (book, takeups)
    }

    /// What [`SubscriptionBook::open`] would say of a file; writes nothing and asks nobody.
    pub fn check(
        config: Option<&Subscriptions>,
        time_zone: &TimeZone,
        max_shrink: f64,
        kept_dir: &Path,
        now: Timestamp,
    ) -> Vec<Takeup> {
        match config.map(|config| (config, &config.source)) {
            Some((config, SubscriptionSource::File { path })) => {
                let rules = rules(config, path, time_zone.clone(), max_shrink, kept_dir);
                vec![KeptFile::check(rules, now)]
            }
            _ => Vec::new(),
        }
    }

    /// Looks at the file, if there is one. To be called every half second or so, where blocking is allowed.
    pub fn poll(&self) -> Vec<Takeup> {
        let Source::File { file, .. } = &self.source else { return Vec::new() };
        let takeup = file.poll(self.clock.now());
        if matches!(takeup, Some(Takeup::Taken { .. })) {
            self.swapped();
        }
        takeup.into_iter().collect()
    }

    /// The answer, if it is at hand: pushed, from the file, or from the cache and not older than `max_age`.
    /// Never waits.
    pub fn now_or_none(&self, phone: Phone, max_age: Option<Duration>) -> Option<Lookup<Subscription>> {
        let pushed = self.pushed_answer(phone);
        match (&self.source, pushed) {
            (Source::Asked(_), Some((answer, compared))) => {
                // From time to time the source is asked whether it agrees by now.
                let due = self.clock.elapsed().saturating_sub(compared) > self.cache_ttl;
                (!due).then_some(answer)
            }
            (_, Some((answer, _))) => Some(answer),
            (Source::Asked(answers), None) => answers.now_or_none(phone, max_age),
            (Source::File { .. } | Source::Nothing | Source::Pushed, None) => Some(self.at_hand(phone)),
        }
    }

    /// The answer, asked for if need be. An answer older than `max_age` is asked for again; if that fails, the old
    /// one is served as stale within `stale_for`. Never an error: unknown, with the reason.
    pub async fn fetch(&self, phone: Phone, max_age: Option<Duration>) -> Lookup<Subscription> {
        if let Some(answer) = self.now_or_none(phone, max_age) {
            return answer;
        }
        let Source::Asked(answers) = &self.source else { return self.at_hand(phone) };
        let asked = answers.fetch(phone, max_age).await;
        match self.compare(phone, asked.value()) {
            Some(pushed) => pushed,
            None => asked,
        }
    }

    /// Takes what the payment side pushed at `at`: it beats the source for 24 hours, or until the source agrees.
    pub fn push(&self, phone: Phone, subscription: Subscription, at: Timestamp) {
        let compared = self.clock.elapsed();
        self.pushes().insert(phone, Push { subscription, at, compared });
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).retain(|ended| *ended != phone);
        self.changes().pushed.push((phone, at));
        self.change_bell.notify_one();
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Drops what was pushed about somebody: it was somebody else's.
    pub fn forget_pushed(&self, phone: Phone) {
        self.pushes().remove(&phone);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes what the store kept of earlier pushes.
    pub fn load_pushed(&self, kept: Vec<Pushed>) {
        for Pushed { phone, subscription, at } in kept {
            self.push(phone, subscription, at);
        }
    }

    /// Of whom something else is said since this was asked last: by the file, or pushed. What [`Self::open`] found
    /// different from the last good copy, and what [`Self::load_pushed`] took, is in the first answer.
    pub fn take_changes(&self) -> Changes {
        std::mem::take(&mut *self.changes())
    }

    /// Rings when there are changes to take.
    pub fn change_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.change_bell)
    }

    /// SHA-256 of the file in force, in hex.
    pub fn digest(&self) -> Option<String> {
        match &self.source {
            Source::File { file, .. } => file.in_force().map(|held| hex::encode(held.digest)),
            _ => None,
        }
    }

    /// Whose pushes ended since this was asked last, by age or because the source agreed: the store should drop them,
    /// or they would count again after a restart.
    pub fn take_ended(&self) -> Vec<Phone> {
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody waits for the source: it gives no answers, or none that can be used for some people, or no file
    /// was ever good.
    pub fn is_down(&self) -> bool {
        match &self.source {
            Source::Nothing | Source::Pushed => false,
            Source::File { file, .. } => file.in_force().is_none(),
            Source::Asked(answers) => answers.is_down(),
        }
    }

    /// What is wrong with a source that is asked person by person; nothing for a file: what is wrong with one is told when
    /// it is refused.
    pub fn outage(&self) -> Outage {
        match &self.source {
            Source::Asked(answers) => answers.outage(),
            Source::File { .. } | Source::Nothing | Source::Pushed => Outage::default(),
        }
    }

    /// Somebody of whom the source says what cannot be used, by chance: whom to ask whether it is mended.
    pub fn unread(&self) -> Option<Phone> {
        match &self.source {
            Source::Asked(answers) => answers.unread(),
            Source::File { .. } | Source::Nothing | Source::Pushed => None,
        }
    }

    /// Words for a status that have no meaning here: those that the source has answered with, or that stand in the file.
    pub fn foreign_words(&self) -> BTreeSet<String> {
        match &self.source {
            Source::File { file, .. } => file.in_force().map(|held| held.value.foreign()).unwrap_or_default(),
            Source::Asked(_) => self.words.foreign(),
            Source::Nothing | Source::Pushed => BTreeSet::new(),
        }
    }

    /// Whether a word that had no meaning has one now, or is not met any more.
    pub fn understands(&self, word: &str) -> bool {
        match &self.source {
            Source::Asked(_) => self.words.understands(word),
            Source::File { .. } | Source::Nothing | Source::Pushed => !self.foreign_words().contains(word),
        }
    }

    /// Grows each time the source comes back, and each time a file is taken.
    pub fn recoveries(&self) -> u64 {
        match &self.source {
            Source::Asked(answers) => answers.recoveries(),
            Source::File { .. } | Source::Nothing | Source::Pushed => {
                self.file_recoveries.load(Ordering::SeqCst)
            }
        }
    }

    /// What look-ups came to.
    pub fn stats(&self) -> Stats {
        match &self.source {
            Source::Asked(answers) => answers.stats(),
            Source::File { .. } | Source::Nothing | Source::Pushed => {
                Stats { hits: self.file_hits.load(Ordering::Relaxed), ..Stats::default() }
            }
        }
    }

    /// Whether somebody may be writing the file at this moment.
    pub fn is_unsettled(&self) -> bool {
        matches!(&self.source, Source::File { file, .. } if file.is_unsettled())
    }

    /// Takes the file as it is now, however small, as long as it is there and can be read.
    ///
    /// # Errors
    /// The sentence why not.
    pub fn accept(&self) -> Result<String, String> {
        let Source::File { file, .. } = &self.source else {
            return Err("subscriptions do not come from a file, so there is nothing to accept".into());
        };
        let detail = file.accept(self.clock.now())?;
        self.swapped();
        Ok(format!("subscriptions: {detail}"))
    }

    /// Why the file as it is now is not in force; `None` if it is, or if there is none.
    pub fn waiting(&self) -> Option<String> {
        match &self.source {
            Source::File { file, .. } => file.waiting(),
            Source::Asked(_) | Source::Nothing | Source::Pushed => None,
        }
    }

    /// How many people the file in force names; `None` for another source or no good file yet.
    pub fn entries(&self) -> Option<usize> {
        use crate::kept::Content as _;
        match &self.source {
            Source::File { file, .. } => file.in_force().map(|held| held.value.entries()),
            Source::Asked(_) | Source::Nothing | Source::Pushed => None,
        }
    }

    /// Grows whenever a file was taken or a value pushed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file was taken: of whom it says something else than the one before.
    fn note_roll(&self) {
        let Source::File { file, .. } = &self.source else { return };
        let Some(held) = file.in_force() else { return };
        let before = file.take_replaced();
        let from = before.as_ref().map(|before| hex::encode(before.digest));
        let to = hex::encode(held.digest);
        if from.as_ref() == Some(&to) {
            return;
        }
        let mut changes = self.changes();
        let roll = changes.roll.get_or_insert_with(|| RollChange {
            from,
            to: String::new(),
            phones: BTreeSet::new(),
        });
        roll.to = to;
        // Before the first file everybody was unknown: who was judged then is looked at again on that account.
        roll.phones.extend(before.iter().flat_map(|before| before.value.differences(&held.value)));
        drop(changes);
        self.change_bell.notify_one();
    }

    fn end(&self, phone: Phone) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(phone);
    }

    fn pushes(&self) -> MutexGuard<'_, HashMap<Phone, Push>> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pushed value while it counts, and when the source was last compared with it.
    fn pushed_answer(&self, phone: Phone) -> Option<(Lookup<Subscription>, Duration)> {
        let now = self.clock.now();
        let mut pushes = self.pushes();
        let push = pushes.get(&phone)?;
        if !matches!(self.source, Source::Pushed) && now.since(push.at) >= PUSHED_FOR {
            pushes.remove(&phone);
            self.end(phone);
            return None;
        }
        Some((known(&push.subscription, now, "pushed", false), push.compared))
    }

    /// Forgets a push that the source agrees with; answers with it otherwise.
    fn compare(&self, phone: Phone, source_says: Option<&Subscription>) -> Option<Lookup<Subscription>> {
        let compared = self.clock.elapsed();
        let mut pushes = self.pushes();
        let push = pushes.get_mut(&phone)?;
        if source_says.is_some_and(|source| agree(source, &push.subscription)) {
            pushes.remove(&phone);
            self.end(phone);
            return None;
        }
        push.compared = compared;
        drop(pushes);
        self.pushed_answer(phone).map(|(answer, _)| answer)
    }

    /// What file or configuration say without asking anybody.
    fn at_hand(&self, phone: Phone) -> Lookup<Subscription> {
        if let Source::Pushed = &self.source {
            return Lookup::Unknown { why: "nothing was pushed about them yet".into() };
        }
        let Source::File { file, name } = &self.source else {
            return Lookup::Unknown { why: "no subscription source is configured".into() };
        };
        self.file_hits.fetch_add(1, Ordering::Relaxed);
        let Some(held) = file.in_force() else {
            return Lookup::Unknown { why: format!("{name} was never read; mend it") };
        };
        known(held.value.get(phone).unwrap_or(&NOBODY), self.clock.now(), name, false)
    }

    /// After a file was taken: pushes that it agrees with have done their work.
    fn swapped(&self) {
        if let Source::File { file, .. } = &self.source
            && let Some(held) = file.in_force()
        {
            let says = |phone| held.value.get(phone).unwrap_or(&NOBODY);
            self.pushes().retain(|phone, push| {
                let agreed = agree(says(*phone), &push.subscription);
                if agreed {
                    self.end(*phone);
                }
                !agreed
            });
        }
        self.note_roll();
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.file_recoveries.fetch_add(1, Ordering::SeqCst);
    }
}

/// How the file is judged and read.
fn rules(
    config: &Subscriptions,
    path: &Path,
    time_zone: TimeZone,
    max_shrink: f64,
    kept_dir: &Path,
) -> Rules<Roll> {
    let context = RollContext { status_map: config.status_map.clone(), time_zone };
    Rules {
        what: "subscriptions".into(),
        path: path.to_path_buf(),
        kept: kept_dir.join("subscriptions.csv"),
        max_shrink,
        // Taking it would make everybody unpaid.
        may_begin_empty: false,
        accept: "perimeterd subscriptions accept".into(),
        parse: Box::new(move |file, path, _| roll::read(file, path, &context)),
    }
}

/// Whether two say the same of a person; what the plan is called does not matter.
fn agree(one: &Subscription, two: &Subscription) -> bool {
    one.status == two.status && one.expires_at == two.expires_at
}
