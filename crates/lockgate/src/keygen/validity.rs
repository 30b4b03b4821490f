//! From when to when a certificate or a list is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime, Time};

use crate::Failure;

/// How long before now validity begins: room for clocks that are slow.
const SLACK: Duration = Duration::from_mins(5);
const DAY: Duration = Duration::from_hours(24);

#[derive(clap::Args)]
pub(super) struct ValidityArgs {
    /// For how many days it is good [default: 3650 for an authority, 365 for others, but never
    /// longer than the authority]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,

    /// The day on which it begins (YYYY-MM-DD, midnight UTC) [default: five minutes ago]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    not_before: Option<OffsetDateTime>,
}

/// The first and the last moment, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) start: OffsetDateTime,
    pub(super) end: OffsetDateTime,
}

/// Now, in whole seconds: certificates know no parts of them.
fn now() -> Result<OffsetDateTime, Failure> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "the clock of this machine is before 1970")?;
    Ok(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

impl Validity {
    /// From five minutes ago until `days` from now.
    pub(super) fn from_now(days: u32) -> Result<Self, Failure> {
        let now = now()?;
        Ok(Self {
            start: now - SLACK,
            end: now + DAY * days,
        })
    }
}

impl ValidityArgs {
    /// `default_days` where none are asked for, or less where `limit` (the end of the authority)
    /// comes first. Asking for more days than that is an error.
    pub(super) fn resolve(
        &self,
        default_days: u32,
        limit: Option<OffsetDateTime>,
    ) -> Result<Validity, Failure> {
        let days = self.days.unwrap_or(default_days);
        let mut validity = match self.not_before {
            Some(start) => Validity {
                start,
                end: start + DAY * days,
            },
            None => Validity::from_now(days)?,
        };
        if let Some(limit) = limit {
            if self.days.is_some() && validity.end > limit {
                return Err(format!(
                    "--days {days}: that is later than the end of the authority on {}",
                    limit.date()
                ));
            }
            validity.end = validity.end.min(limit);
            if validity.end <= validity.start {
                return Err(format!(
                    "the authority is good until {} only; make a new one",
                    limit.date()
                ));
            }
        }
        Ok(validity)
    }
}

fn parse_date(text: &str) -> Result<OffsetDateTime, String> {
    let date = || {
        let mut parts = text.split('-');
        let [year, month, day] = [parts.next()?, parts.next()?, parts.next()?];
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if parts.next().is_some() || year.len() != 4 || ![year, month, day].into_iter().all(digits)
        {
            return None;
        }
        let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
        let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
        // UTCTime begins in 1950 (RFC 5280 §4.1.2.5.1), and there must be room for --days.
        (1950..=9000)
            .contains(&date.year())
            .then(|| date.with_time(Time::MIDNIGHT).assume_utc())
    };
    date().ok_or_else(|| "expected a date such as 2026-01-31".into())
}
