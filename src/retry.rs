//! The back-off between attempts of one outbox row, and when to give up. Pure; no waiting happens here.

use std::time::Duration;

/// Attempts after which a row is dead. With the schedule below that is about three quarters of an hour of failures.
pub const MAX_ATTEMPTS: u32 = 16;

/// So many failed attempts hold up the rows behind it in its lane; after that it is this row that is broken, not the
/// gateway, and the others go on.
pub const LANE_PATIENCE: u32 = 8;

const FIRST: Duration = Duration::from_secs(1);
/// While the lane waits for this row it is tried this often: a gateway is seldom away for longer than a minute.
const PATIENT: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
/// A gateway that asks for more than this is not obeyed to the letter: the operator hears of a paused session first.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// How long to wait after so many attempts (from 1). `chance` in 0..1 spreads it by ±20 %; what the gateway asks for by
/// `Retry-After` is a lower bound, never spread downwards.
pub fn back_off(attempts: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let ceiling = if attempts <= LANE_PATIENCE { PATIENT } else { LONGEST };
    let exponent = if attempts <= LANE_PATIENCE { attempts } else { attempts - LANE_PATIENCE + 3 };
    let planned = FIRST.saturating_mul(1 << exponent.saturating_sub(1).min(20)).min(ceiling);
    let spread = planned.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0));
    spread.max(retry_after.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_grows_and_is_bounded() {
        let waits: Vec<u64> = (1..=MAX_ATTEMPTS).map(|n| back_off(n, None, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5, 5, 5, 5, 8, 16, 32, 64, 128, 256, 512, 600]);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        for chance in [0.0, 0.3, 1.0] {
            let wait = back_off(3, None, chance).as_secs_f64();
            assert!((3.2..=4.8).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound_but_not_for_ever() {
        assert_eq!(back_off(1, Some(Duration::from_secs(90)), 0.0), Duration::from_secs(90));
        assert_eq!(back_off(1, Some(Duration::from_secs(1_000_000)), 0.0), Duration::from_secs(3600));
    }
}
