//! Times: what the caller says it is, and what certificates say.

use core::fmt;

use lockgate_dtls::wire::Malformed;

use crate::der;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

const SECONDS_PER_DAY: u64 = 86_400;

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Seconds since 1970-01-01 00:00:00 UTC, without leap seconds.
    Unix(u64),
    /// There is no clock. The latest beginning among the certificates of a chain serves as the time: all were issued by
    /// then. What has expired since goes unnoticed, and so does a revocation list that is out of date.
    Unknown,
}

#[cfg(feature = "std")]
impl Time {
    /// What the system's clock says; [`Time::Unknown`] when it says a time before 1970.
    pub fn now() -> Self {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Self::Unknown, |since| Self::Unix(since.as_secs()))
    }
}

/// From when until when a certificate is valid (RFC 5280 §4.1.2.5), both inclusive, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: u64,
    /// Its last second.
    pub not_after: u64,
}

impl Validity {
    pub(crate) fn parse(contents: &[u8]) -> Result<Self, Malformed> {
        let mut reader = der::Reader::new(contents);
        let not_before = parse_time(reader.any()?)?;
        let not_after = parse_time(reader.any()?)?;
        reader.end()?;
        Ok(Self {
            not_before,
            not_after,
        })
    }
}

/// `UTCTime` and `GeneralizedTime` in the one form that RFC 5280 allows, from 1970.
pub(crate) fn parse_time(value: der::Value<'_>) -> Result<u64, Malformed> {
    let (year_digits, rest) = match value.tag {
        UTC_TIME => value.contents.split_at_checked(2),
        GENERALIZED_TIME => value.contents.split_at_checked(4),
        _ => None,
    }
    .ok_or(Malformed)?;
    let (b"Z", digits) = rest
        .split_last_chunk::<1>()
        .map(|(digits, last)| (last, digits))
        .ok_or(Malformed)?
    else {
        return Err(Malformed);
    };
    let year = match (number(year_digits)?, value.tag) {
        // RFC 5280 §4.1.2.5.1
        (year @ 50.., UTC_TIME) => 1900 + year,
        (year, UTC_TIME) => 2000 + year,
        (year, _) => year,
    };
    let (pairs, []) = digits.as_chunks::<2>() else {
        return Err(Malformed);
    };
    let [month, day, hour, minute, second] = pairs else {
        return Err(Malformed);
    };
    let (month, day) = (number(month)?, number(day)?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return Err(Malformed);
    }
    let days = days_before_year(year)
        + (1..month)
            .map(|month| days_in_month(year, month))
            .sum::<u64>()
        + day
        - 1;
    Ok(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Result<u64, Malformed> {
    digits.iter().try_fold(0, |number, digit| {
        if digit.is_ascii_digit() {
            Ok(number * 10 + u64::from(digit - b'0'))
        } else {
            Err(Malformed)
        }
    })
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January of `year`, which is 1970 or later.
const fn days_before_year(year: u64) -> u64 {
    const fn leap_years_before(year: u64) -> u64 {
        let last = year - 1;
        last / 4 - last / 100 + last / 400
    }
    (year - 1970) * 365 + leap_years_before(year) - leap_years_before(1970)
}

/// Seconds since 1970, shown as `2026-11-20 15:32:52 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, seconds) = (self.0 / SECONDS_PER_DAY, self.0 % SECONDS_PER_DAY);
        // A guess that is at most a year too early or late, for as far as certificates reach.
        let mut year = 1970 + days / 366;
        while year < 10_000 && days >= days_before_year(year + 1) {
            year += 1;
        }
        if year >= 10_000 {
            return f.write_str("after the year 9999");
        }
        days -= days_before_year(year);
        let mut month = 1;
        while days >= days_in_month(year, month) {
            days -= days_in_month(year, month);
            month += 1;
        }
        let day = days + 1;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tag: u8, text: &str) -> Result<u64, Malformed> {
        parse_time(der::Value {
            tag,
            whole: &[],
            contents: text.as_bytes(),
        })
    }

    #[test]
    fn times_of_certificates() {
        assert_eq!(parse(UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(parse(UTC_TIME, "000229235959Z"), Ok(951_868_799));
        assert_eq!(parse(UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(
            parse(GENERALIZED_TIME, "99991231235959Z"),
            Ok(253_402_300_799)
        );
        for bad in [
            "",
            "Z",
            "7001010000Z",
            "700101000000",
            "700101000000+0100",
            "690101000000Z",
            "701301000000Z",
            "700001000000Z",
            "010229000000Z",
            "700101240000Z",
            "70010100000aZ",
        ] {
            assert_eq!(parse(UTC_TIME, bad), Err(Malformed), "{bad}");
        }
        assert_eq!(parse(der::INTEGER, "700101000000Z"), Err(Malformed));
    }

    #[test]
    fn dates_are_what_was_parsed() {
        use std::string::ToString;
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_868_799, "2000-02-29 23:59:59 UTC"),
            (1_763_652_772, "2025-11-20 15:32:52 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (253_402_300_800, "after the year 9999"),
            (u64::MAX, "after the year 9999"),
        ] {
            assert_eq!(Date(seconds).to_string(), text);
        }
        // Each day from 1970 to 2200.
        for day in 0..84_000 {
            let digits: std::string::String = Date(day * SECONDS_PER_DAY + 3_661)
                .to_string()
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            let text = std::format!("{digits}Z");
            assert_eq!(
                parse(GENERALIZED_TIME, &text),
                Ok(day * SECONDS_PER_DAY + 3_661)
            );
        }
    }
}
