//! How long something will still take, as people say it: about, and never as if it were known.

use std::time::Duration;

/// Returns about how long is left: seconds up to ten, then steps of five, minutes with steps of ten seconds up to ten
/// minutes, then minutes.
pub fn about(left: Duration) -> String {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let to = |step: u64| seconds.div_ceil(step) * step;
    let rounded = match seconds {
        ..=10 => seconds,
        11..=60 => to(5),
        61..=600 => to(10),
        _ => to(60),
    };
    format!("~{} left", spoken(rounded))
}

/// Returns how long something has taken so far.
pub fn so_far(elapsed: Duration) -> String {
    spoken(elapsed.as_secs())
}

fn spoken(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_exact_as_a_guess_can_be() {
        for (millis, said) in [
            (0, "~0 s left"),
            (200, "~1 s left"),
            (9_900, "~10 s left"),
            (41_000, "~45 s left"),
            (61_000, "~1 min 10 s left"),
            (599_000, "~10 min left"),
            (3_601_000, "~1 h 1 min left"),
        ] {
            assert_eq!(about(Duration::from_millis(millis)), said);
        }
        assert_eq!(so_far(Duration::from_millis(73_900)), "1 min 13 s");
        assert_eq!(so_far(Duration::from_secs(7200)), "2 h");
    }

    /// Reads what is said back.
    fn seconds(said: &str) -> u64 {
        let words: Vec<&str> = said.split(' ').collect();
        let unit = |word: &str| match word {
            "h" => 3600,
            "min" => 60,
            "s" => 1,
            other => panic!("{other}"),
        };
        words.chunks(2).map(|pair| pair[0].parse::<u64>().unwrap() * unit(pair[1])).sum()
    }

    proptest! {
        #[test]
        fn never_less_than_it_is_and_never_far_off(left in 0u64..1_000_000) {
            let said = about(Duration::from_secs(left));
            let said = seconds(said.strip_prefix('~').unwrap().strip_suffix(" left").unwrap());
            prop_assert!(said >= left, "{said} of {left}");
            prop_assert!(said - left <= 4.max(left / 6), "{said} of {left}");
        }

        #[test]
        fn it_is_short(seconds in 0u64..1_000_000) {
            prop_assert!(about(Duration::from_secs(seconds)).len() <= 20);
            prop_assert!(so_far(Duration::from_secs(seconds)).len() <= 13);
        }
    }
}
