//! The contract of the store: each test states one promise and takes any backend.
//!
//! A backend plugs in by a [`Backend`]: a place that can be opened, closed and opened again. Everything else here goes
//! through [`Store`] alone.

use perimeterd::{
    clock::{ManualClock, Timestamp},
    store::{Store, StoreError, sqlite},
};
use std::{path::PathBuf, sync::Arc};

mod brake;
mod confirm;
mod directory;
mod groups;
mod identity;
mod incidents;
mod journal;
mod model;
mod outbox;
mod raid;
mod runs;
mod sweeps;
mod twins;
mod watch;
mod world;

/// A backend under test.
pub(crate) trait Backend {
    /// Opens it, or opens it again after every handle was dropped.
    fn open(&self) -> Result<Arc<dyn Store>, StoreError>;
    /// The clock that its stores are given.
    fn clock(&self) -> &ManualClock;
}

/// SQLite in a folder that goes with the test.
pub(crate) struct Sqlite {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Sqlite {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(world::at(0)));
        Self { folder: tempfile::tempdir().expect("a folder for the test"), clock }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("data").join("perimeterd.db")
    }
}

impl Backend for Sqlite {
    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(sqlite::open(&self.file(), self.clock.clone())?))
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

/// Runs every promise on SQLite.
macro_rules! on_sqlite {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$module::$name(&super::Sqlite::new()).await;
                }
            )+)+
        }
    };
}

on_sqlite! {
    incidents:
        what_operators_were_told_is_no_news,
        a_message_and_its_post_are_kept_together,
        a_post_waits_until_its_time;
    journal:
        an_appended_entry_is_there_after_a_crash,
        a_key_is_stored_once,
        an_array_is_stored_whole,
        many_callers_are_each_answered_with_their_own_number,
        an_entry_is_found_by_its_gateway_id,
        entries_are_paged_newest_first,
        a_marked_entry_is_not_taken_again,
        an_unreadable_entry_goes_back_in_line,
        timers_fire_once_each,
        old_entries_are_forgotten_and_live_ones_kept,
        pushed_subscriptions_and_alerts_are_kept;
    brake:
        removals_beyond_the_allowance_are_held_and_told_once,
        a_joiner_is_neither_counted_nor_held,
        whoever_is_approved_goes_and_counts_no_more,
        whoever_is_spared_stays_until_they_enter_again,
        a_retry_takes_a_ruling_back,
        a_brake_lifts_when_nobody_is_held_any_more,
        the_undo_of_a_removal_is_kept_with_it,
        no_window_sees_more_than_the_allowance;
    directory:
        a_join_makes_one_run_however_often_it_is_told,
        a_leave_told_between_opens_a_new_join,
        a_lost_leave_makes_a_run_and_nobody_more,
        a_join_older_than_the_leave_is_ignored,
        our_removal_is_counted_once,
        our_removal_opens_no_join_before_its_leave,
        the_first_roster_is_adopted_silently,
        a_join_overtaken_by_the_first_roster_is_still_judged,
        a_later_roster_finds_joins_and_leaves,
        a_roster_retries_a_removal_of_unknown_outcome,
        a_roster_settles_a_removal_of_unknown_outcome,
        a_doubt_counts_from_its_first_moment,
        a_retry_is_due_whatever_the_wall_clock_says,
        a_self_join_told_twice_makes_one_run,
        first_sight_of_a_group_wants_its_roster_once_a_minute,
        a_pair_makes_two_people_one,
        our_own_people_are_never_judged,
        the_role_of_a_session_follows_its_person,
        a_role_told_before_its_join_is_kept,
        messages_are_counted,
        a_join_heard_by_two_sessions_makes_one_run,
        a_join_told_by_phone_and_by_lid_makes_one_decision,
        a_session_is_new_again_with_another_number;
    groups: a_change_is_judged_once_and_before_is_what_we_meant, what_we_set_ourselves_is_no_change,
        an_invitation_goes_only_in_place_of_an_addition, a_made_group_is_ours_and_its_calls_follow;
    runs:
        a_run_is_committed_once,
        a_removal_is_written_once_and_its_dependents_are_cancelled,
        equal_settings_are_written_once,
        what_was_asked_for_last_is_what_will_be,
        welcomes_of_a_window_share_their_due_time,
        a_lockdown_opens_again_once,
        a_second_lockdown_prolongs_the_first,
        a_recorded_lockdown_stands_in_nobodys_way,
        a_lockdown_opens_in_time_whatever_the_wall_clock_says,
        a_lockdown_that_was_never_sent_is_cancelled,
        a_failed_run_goes_back_in_line,
        a_recheck_sweeps_whoever_is_still_there,
        tags_hold_until_their_time,
        a_run_for_somebody_merged_finds_the_person;
    sweeps:
        everybody_is_looked_at_once,
        what_is_asked_for_again_is_begun_anew_only_for_those_looked_at,
        a_restart_goes_on_where_the_sweep_stood,
        single_people_come_first_and_only_where_they_are,
        a_sweep_is_over_when_its_runs_are_judged,
        a_cancelled_sweep_makes_no_more_runs,
        whoever_turns_out_to_be_one_person_is_not_passed_over,
        a_step_without_effect_ends_the_sweep,
        what_a_sweep_asks_for_comes_last,
        a_mark_is_kept_with_or_without_a_sweep;
    outbox:
        heads_come_by_priority_and_only_when_due,
        a_row_waits_for_the_one_before_it,
        a_cancelled_row_is_never_begun,
        what_waited_for_a_failed_row_is_cancelled,
        a_message_of_unknown_outcome_is_never_sent_again,
        a_row_that_waited_too_long_expires,
        a_crash_during_a_call_is_taken_up,
        the_ledger_survives_and_knows_its_newest_moment,
        failed_rows_are_hastened,
        a_leave_settles_what_was_to_be_removed,
        a_withdrawal_takes_back_only_what_has_not_begun,
        heads_are_quick_over_a_hundred_thousand_rows;
    identity:
        a_pair_wakes_whoever_waited_for_it,
        a_pair_learnt_while_a_run_was_made_is_not_missed,
        whoever_was_given_up_is_looked_at_once_known,
        a_record_tells_where_a_pair_was_learnt,
        whoever_is_hidden_is_named_while_somebody_waits,
        what_is_said_of_a_number_is_remembered,
        a_group_is_called_by_the_form_that_it_takes;
    raid:
        welcomes_of_a_raid_go_out_as_one_when_it_is_over,
        private_messages_of_a_raid_become_a_summary,
        a_recorded_lockdown_collapses_nothing;
    confirm:
        a_removal_without_effect_is_made_again_and_was_none,
        one_roster_answers_for_all_unconfirmed_removals_of_a_group,
        whoever_came_back_is_not_removed_for_the_old_decision;
    twins:
        whoever_was_told_twice_is_removed_once,
        whoever_was_told_twice_is_welcomed_once,
        whoever_is_removed_is_not_welcomed,
        a_recheck_is_moot_once_the_twin_has_settled,
        a_role_told_in_the_other_dialect_counts,
        a_leave_told_in_the_other_dialect_counts,
        an_admin_of_the_first_roster_stays_one,
        joins_of_their_own_stay_two;
    watch:
        a_trouble_is_told_when_it_begins_and_when_it_is_over,
        a_state_told_for_an_earlier_moment_changes_nothing,
        our_rights_are_noticed_with_what_they_were,
        a_canary_goes_the_whole_way_and_is_seen_nowhere,
        only_a_canary_that_we_posted_counts_and_it_counts_once,
        old_canaries_are_forgotten_whole;
    model:
        counts_and_runs_follow_a_naive_model,
        counts_are_right_in_any_order;
}

#[tokio::test]
async fn a_second_opening_is_refused_and_the_lock_goes_with_the_store() {
    let place = Sqlite::new();
    let first = place.open().expect("the first opening");
    match place.open() {
        Err(StoreError::Locked(file)) => assert!(file.ends_with("perimeterd.db"), "{file}"),
        other => panic!("expected a refusal, got {:?}", other.map(|_| "a store")),
    }
    drop(first);
    place.open().expect("the lock is released");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Sqlite::new();
    drop(place.open().expect("a fresh store"));
    let db = rusqlite::Connection::open(place.file()).expect("the file");
    let newer = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    db.execute(newer, []).expect("a newer schema");
    drop(db);
    match place.open() {
        Err(StoreError::NewerSchema { found: 99, known, .. }) => assert!(known < 99),
        other => panic!("expected a refusal, got {:?}", other.map(|_| "a store")),
    }
}

/// How many entries a second many callers get in. Run it with `--release -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn appends_per_second() {
    let place = Sqlite::new();
    let store = place.open().expect("a store");
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
    let (callers, each) = (128, 1000);
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0..each {
                let key = format!("main\0evt_{n:08}{caller:04}");
                let mut entry = world::entry(&key, Timestamp(n));
                entry.body = vec![b'x'; 400].into();
                store.append(vec![entry]).await.expect("stored");
            }
        });
    }
    tasks.join_all().await;
    let took = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock") - began;
    eprintln!("{:.0} entries/s", f64::from(callers * 1000) / took.as_secs_f64());
}

/// How many joins a second are applied and committed, a removal each. Run it as the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn joins_per_second() {
    let place = Sqlite::new();
    let world = world::World::open(&place);
    world.adopt(&[]).await;
    let mut readings = Vec::new();
    for n in 1..=10_000 {
        let told = world::joined(n, world::at(1));
        readings.push((world.append(world::at(1)).await, perimeterd::store::Reading::Events(vec![told])));
    }
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
    for batch in readings.chunks(100) {
        let applied = world.store.apply(batch.to_vec()).await.expect("applied");
        let inputs = world.store.run_inputs(applied.runs).await.expect("inputs");
        let records = inputs.iter().map(|input| {
            let id = input.member.as_ref().expect("a member").id;
            world::record(input.id, world::at(2), vec![world::row(world::remove(id), world::at(2))])
        });
        world.store.commit(records.collect()).await.expect("committed");
    }
    let took = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock") - began;
    eprintln!("{:.0} joins/s", 10_000.0 / took.as_secs_f64());
}
