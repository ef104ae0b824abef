//! No window is ever exceeded, whatever the schedule; and as soon as a permit names a moment, that moment grants.

use super::*;
use proptest::prelude::*;

fn ceilings(text: &[(u32, u64)]) -> Ceilings {
    let windows = text.iter().map(|(calls, s)| Window { calls: *calls, length: Duration::from_secs(*s) });
    Ceilings {
        windows: BTreeMap::from([(Class::Remove, windows.collect())]),
        caps: Vec::new(),
        ramp: Duration::ZERO,
        young_since: Timestamp(0),
    }
}

#[test]
fn a_place_is_held_from_the_start_until_the_window_has_passed_since_the_end() {
    let ceilings = ceilings(&[(1, 60)]);
    let mut ledger = Ledger::default();
    assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(0)), Permit::Granted);
    ledger.begin(CallId(1), &[Class::Remove]);
    assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(500_000)), Permit::AfterCall);
    ledger.end(CallId(1), Timestamp(500_000), ceilings.longest());
    let free = Timestamp(560_001);
    assert_eq!(ledger.check(&ceilings, Class::Remove, Timestamp(560_000)), Permit::NotBefore(free));
    assert_eq!(ledger.check(&ceilings, Class::Remove, free), Permit::Granted);
}

#[test]
fn zero_calls_means_never() {
    let ledger = Ledger::default();
    assert_eq!(ledger.check(&ceilings(&[(0, 60)]), Class::Remove, Timestamp(0)), Permit::Never);
}

#[test]
fn a_young_number_starts_at_a_fifth_and_rises_to_full() {
    let mut ceilings = ceilings(&[(10, 60)]);
    ceilings.ramp = Duration::from_secs(100);
    let calls = |at| ceilings.windows(Class::Remove, Timestamp(at)).map(|w| w.calls).collect::<Vec<_>>();
    assert_eq!((calls(0), calls(50_000), calls(100_000)), (vec![2], vec![6], vec![10]));
}

proptest! {
    /// Whatever the schedule, call lengths and restarts: no closed window at the gateway holds more than allowed,
    /// and as soon as a permit names a moment, that moment grants.
    #[test]
    fn no_window_ever_holds_more_than_its_ceiling(
        calls in 1u32..6, length in 1u64..20, second in 1u32..12,
        steps in proptest::collection::vec((0i64..3_000, 0i64..4_000, any::<bool>()), 1..200),
    ) {
        let ceilings = ceilings(&[(calls, length), (second, length * 5)]);
        let mut ledger = Ledger::default();
        let mut now = Timestamp(1_000_000);
        let mut seen = Vec::new();
        for (number, (pause, lasts, restart)) in steps.into_iter().enumerate() {
            now.0 += pause;
            if let Permit::NotBefore(at) = ledger.check(&ceilings, Class::Remove, now) {
                prop_assert!(at > now);
                now = at;
            }
            if ledger.check(&ceilings, Class::Remove, now) != Permit::Granted { continue; }
            let id = CallId(number as i64);
            ledger.begin(id, &[Class::Remove]);
            seen.push(now.0 + lasts / 2);
            let started_at = now;
            now.0 += lasts;
            if restart {
                let mut entries: Vec<LedgerEntry> = ledger.ended.get(&Class::Remove).into_iter().flatten()
                    .map(|end| LedgerEntry {
                        id: CallId(-1), class: Class::Remove, started_at: *end, ended_at: Some(*end) })
                    .collect();
                entries.push(LedgerEntry { id, class: Class::Remove, started_at, ended_at: Some(now) });
                ledger = Ledger::restore(&entries);
            } else {
                ledger.end(id, now, ceilings.longest());
            }
        }
        for (calls, window) in [(calls, length), (second, length * 5)] {
            for first in &seen {
                let last = first + i64::try_from(window * 1000).expect("small");
                let within = seen.iter().filter(|at| (*first..=last).contains(*at)).count();
                prop_assert!(within <= calls as usize, "{within} calls within {window} s");
            }
        }
    }
}

const TOGETHER: &[Class] = &[Class::Dm, Class::GroupMessage];

proptest! {
    /// The same for a cap over two classes, told at any moment, beside a window of one of them.
    #[test]
    fn no_cap_over_several_classes_is_ever_exceeded(
        calls in 1u32..6, length in 1u64..20, alone in 1u32..8, told_after in 0usize..50,
        steps in proptest::collection::vec((0i64..3_000, 0i64..4_000, any::<bool>()), 1..200),
    ) {
        let window = |calls| Window { calls, length: Duration::from_secs(length) };
        let mut ceilings = Ceilings {
            windows: BTreeMap::from([(Class::Dm, vec![window(alone)])]),
            caps: Vec::new(),
            ramp: Duration::ZERO,
            young_since: Timestamp(0),
        };
        let mut ledger = Ledger::default();
        let mut now = Timestamp(1_000_000);
        let mut seen: Vec<(i64, bool)> = Vec::new();
        for (number, (pause, lasts, private)) in steps.into_iter().enumerate() {
            now.0 += pause;
            if number == told_after {
                ceilings.set_caps(vec![Cap { name: "send_message", classes: TOGETHER, window: window(calls) }]);
            }
            let class = if private { Class::Dm } else { Class::GroupMessage };
            if let Permit::NotBefore(at) = ledger.check_all(&ceilings, &[class], now) {
                prop_assert!(at > now);
                now = at;
            }
            if ledger.check_all(&ceilings, &[class], now) != Permit::Granted { continue; }
            let id = CallId(number as i64);
            ledger.begin(id, &[class]);
            seen.push((now.0 + lasts / 2, number >= told_after));
            now.0 += lasts;
            ledger.end(id, now, ceilings.longest());
        }
        // A window that ends in a call made under the cap holds no more than the cap, those before it included.
        for (last, _) in seen.iter().filter(|(_, capped)| *capped) {
            let first = last - i64::try_from(length * 1000).expect("small");
            let within = seen.iter().filter(|(at, _)| (first..=*last).contains(at)).count();
            prop_assert!(within <= calls as usize, "{within} calls within {length} s");
        }
    }
}

#[test]
fn a_call_counts_under_every_cap_that_names_its_class() {
    let day = |calls| Window { calls, length: Duration::from_secs(86_400) };
    let mut ceilings = ceilings(&[(100, 60)]);
    ceilings.set_caps(vec![
        Cap { name: "send_message", classes: TOGETHER, window: day(1) },
        Cap { name: "group", classes: &[Class::Remove, Class::GroupRead], window: day(2) },
    ]);
    let mut ledger = Ledger::default();
    ledger.begin(CallId(1), &[Class::Dm, Class::ColdDm]);
    ledger.end(CallId(1), Timestamp(1000), ceilings.longest());
    let free = Timestamp(1000 + 86_400_000 + 1);
    assert_eq!(ledger.check_all(&ceilings, &[Class::GroupMessage], Timestamp(2000)), Permit::NotBefore(free));
    assert_eq!(ledger.check_all(&ceilings, &[Class::Remove], Timestamp(2000)), Permit::Granted);
    ledger.begin(CallId(2), &[Class::Read, Class::GroupRead]);
    ledger.end(CallId(2), Timestamp(3000), ceilings.longest());
    ledger.begin(CallId(3), &[Class::Remove]);
    assert_eq!(ledger.used(&[Class::Remove, Class::GroupRead], Duration::from_secs(60), Timestamp(3001)), 2);
    let refused = ledger.check_all(&ceilings, &[Class::Remove], Timestamp(4000));
    assert_eq!(refused, Permit::NotBefore(Timestamp(3000 + 86_400_000 + 1)));
    assert_eq!(ledger.check_all(&ceilings, &[Class::Read], Timestamp(4000)), Permit::Granted);
}

#[test]
fn a_number_that_is_paired_again_is_young_again() {
    let mut ceilings = ceilings(&[(10, 60)]);
    ceilings.ramp = Duration::from_secs(100);
    ceilings.young_again(Timestamp(100_000));
    ceilings.young_again(Timestamp(50_000));
    let calls = |at| ceilings.windows(Class::Remove, Timestamp(at)).map(|w| w.calls).collect::<Vec<_>>();
    assert_eq!((calls(100_000), calls(200_000)), (vec![2], vec![10]));
}
