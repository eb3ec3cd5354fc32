//! What is typed to say how long, how much and of what is recorded.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::capture::{Events, Limits};
use crate::units::Bytes;

/// One limit of `--stop-after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopAfter {
    /// A time.
    Time(Duration),
    /// A size of the trace.
    Bytes(Bytes),
    /// A number of events.
    Events(u64),
}

impl StopAfter {
    /// Makes it count beside what is there already: the lower one of a kind does.
    pub(super) fn lower(self, limits: &mut Limits) {
        match self {
            StopAfter::Time(time) => limits.time = Some(limits.time.map_or(time, |before| before.min(time))),
            StopAfter::Bytes(bytes) => limits.bytes = Some(limits.bytes.map_or(bytes, |before| before.min(bytes))),
            StopAfter::Events(events) => limits.events = Some(limits.events.map_or(events, |before| before.min(events))),
        }
    }
}

/// `vm` or `all`.
pub(super) fn events() -> impl TypedValueParser<Value = Events> {
    PossibleValuesParser::new(["vm", "all"]).map(|word| if word == "vm" { Events::Vm } else { Events::All })
}

/// `90`, `30s`, `5m`, `5min`, `1h`, `250ms`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, min or h")),
    };
    let seconds: f64 = number.parse().map_err(|_| "write a number and a unit, such as 30s".to_owned())?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|error| error.to_string())
}

/// `30s`, `2G` or `10Mevents`. A number alone could be any of the three, and `5m` is a slip of the shift key away from `5M`.
pub(super) fn limit(text: &str) -> Result<StopAfter, String> {
    let (number, unit) = split(text);
    let unit = unit.trim_start();
    if let Some(factor) = unit.strip_suffix("events") {
        return count(number, factor).map(StopAfter::Events);
    }
    match unit {
        "ms" | "s" | "min" | "h" => time(&format!("{number}{unit}")).map(StopAfter::Time),
        "K" | "M" | "G" => format!("{number}{unit}").parse().map(StopAfter::Bytes),
        "m" => Err(format!("`{text}` may be minutes or a size: write {number}min or {number}M")),
        _ => Err(format!(
            "`{text}` is no limit: write a time (30s, 5min, 1h), a size (500M, 2G) or a number of events (10000events, 10Mevents)"
        )),
    }
}

/// A whole number of events with a power of 1000.
fn count(number: &str, factor: &str) -> Result<u64, String> {
    let factor = match factor.trim() {
        "" => 1,
        "K" | "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        other => return Err(format!("`{other}` is no factor: K, M and G are understood before `events`")),
    };
    let count = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    count.ok_or_else(|| format!("`{number}` is no number of events"))
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!((time("1.5m"), time("1.5min")), (Ok(Duration::from_secs(90)), Ok(Duration::from_secs(90))));
        assert!(time("5 minutes").is_err() && time("").is_err() && time("1e999s").is_err());
    }

    #[test]
    fn limits_are_told_apart_by_their_units() {
        assert_eq!(limit("30s"), Ok(StopAfter::Time(Duration::from_secs(30))));
        assert_eq!(limit("5min"), Ok(StopAfter::Time(Duration::from_secs(300))));
        assert_eq!((limit("2G"), limit("64K")), (Ok(StopAfter::Bytes(Bytes(2 << 30))), Ok(StopAfter::Bytes(Bytes(64 << 10)))));
        assert_eq!((limit("10Mevents"), limit("10M events")), (Ok(StopAfter::Events(10_000_000)), Ok(StopAfter::Events(10_000_000))));
        assert_eq!(limit("500events"), Ok(StopAfter::Events(500)));
        for unclear in ["5m", "30", "", "M", "1.5G", "2T", "1.5events", "5Xevents", "99999999999Gevents"] {
            assert!(limit(unclear).is_err(), "{unclear}");
        }
    }

    #[test]
    fn the_lower_limit_of_a_kind_counts() {
        let mut limits = Limits::default();
        ["20s", "1G", "10s", "2G"].into_iter().for_each(|text| limit(text).expect("a limit").lower(&mut limits));
        assert_eq!((limits.time, limits.bytes, limits.events), (Some(Duration::from_secs(10)), Some(Bytes(1 << 30)), None));
    }
}
