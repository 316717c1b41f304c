//! Times as people read them. UTC: the standard library knows no other zone.

const SECONDS_A_DAY: u64 = 86_400;

/// `2026-11-23 21:08` in UTC.
pub(crate) fn date_and_clock(unix_ms: u64) -> String {
    let (year, month, day) = civil(unix_ms / 1000 / SECONDS_A_DAY);
    format!("{year:04}-{month:02}-{day:02} {}", clock(unix_ms))
}

/// `21:08` in UTC.
pub(crate) fn clock(unix_ms: u64) -> String {
    let second = unix_ms / 1000 % SECONDS_A_DAY;
    format!("{:02}:{:02}", second / 3600, second / 60 % 60)
}

/// The date so many days after 1970-01-01 in the proleptic Gregorian calendar. Counts from the
/// first of March of the year 0, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_centuries() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_709_164_799, "2024-02-28 23:59"),
            (1_735_689_599, "2024-12-31 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(date_and_clock(seconds * 1000), expected);
        }
    }

    #[test]
    fn an_absurd_time_is_shown_and_does_no_harm() {
        assert!(!date_and_clock(u64::MAX).is_empty());
    }
}
