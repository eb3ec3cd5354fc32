//! Numbers as people read them. Exact values stay beside them in tables and tool tips.

/// What stands where a value is unknown.
pub const UNKNOWN: &str = "–";

/// Bytes in the largest fitting binary unit, with three to four digits: `1.50 KiB`, `123.4 MiB`.
pub fn bytes(value: u64) -> String {
    scaled(value as f64, byte_unit(value))
}

/// A round byte count, as class limits are: `24 B`, `1.25 KiB`, `256 KiB`.
pub fn round_bytes(value: u64) -> String {
    let (name, size) = byte_unit(value);
    format!("{} {name}", (value as f64 / size * 100.0).round() / 100.0)
}

/// Two byte counts in the unit of the larger: `118.0–131.5 MiB`.
pub fn byte_range(low: u64, high: u64) -> String {
    let unit = byte_unit(low.max(high));
    let number = |value: u64| digits(value as f64 / unit.1);
    if unit.1 == 1.0 { format!("{low}–{high} B") } else { format!("{}–{} {}", number(low), number(high), unit.0) }
}

fn byte_unit(value: u64) -> (&'static str, f64) {
    const UNITS: [(&str, u32); 6] = [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let found = UNITS.iter().find(|unit| value >> unit.1 > 0);
    found.map_or(("B", 1.0), |unit| (unit.0, (1u64 << unit.1) as f64))
}

fn scaled(value: f64, (name, size): (&str, f64)) -> String {
    if size == 1.0 { format!("{value} {name}") } else { format!("{} {name}", digits(value / size)) }
}

fn digits(value: f64) -> String {
    if value < 9.995 { format!("{value:.2}") } else { format!("{value:.1}") }
}

/// A count with its thousands separated: `1,234,567`.
pub fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut out = String::with_capacity(plain.len() * 4 / 3);
    for (position, digit) in plain.chars().enumerate() {
        if position > 0 && (plain.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number that may be whole: whole ones as [`count`], others with up to four decimals.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && (0.0..9e15).contains(&value) { count(value as u64) } else { format!("{value:.4}") }
}

/// A length of time: `812 ns`, `1.23 ms`, `3 min 12 s`.
pub fn duration(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => scaled(nanos as f64, ("µs", 1e3)),
        1_000_000..1_000_000_000 => scaled(nanos as f64, ("ms", 1e6)),
        1_000_000_000..60_000_000_000 => scaled(nanos as f64, ("s", 1e9)),
        60_000_000_000..3_600_000_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A round length of time, as class limits are: `1 µs`, `10 ms`, `100 s`.
pub fn round_duration(nanos: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    let unit = UNITS.iter().find(|unit| nanos >= unit.0 && nanos.is_multiple_of(unit.0)).unwrap_or(&UNITS[3]);
    format!("{} {}", count(nanos / unit.0), unit.1)
}

/// A signed difference: 0.0021 is `+0.21 %`, −0.241 is `−24.1 %`.
pub fn percent(ratio: f64) -> String {
    let magnitude = (ratio * 100.0).abs();
    let text = share(magnitude / 100.0);
    match () {
        () if text.trim_end_matches(" %").parse() == Ok(0.0) => "0.0 %".into(),
        () if ratio < 0.0 => format!("−{text}"),
        () => format!("+{text}"),
    }
}

/// A share of a whole, unsigned: 0.998 is `99.8 %`.
pub fn share(ratio: f64) -> String {
    let value = ratio * 100.0;
    if (99.95..100.0).contains(&value) {
        // Nearly all is not all.
        return format!("{} %", (value * 1e4).floor() / 1e4);
    }
    if value != 0.0 && value < 0.995 {
        format!("{value:.2} %")
    } else if value < 999.5 {
        format!("{value:.1} %")
    } else {
        format!("{} %", number(value.round()))
    }
}

/// `one request`, `2 requests`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A point in time, to the minute, in UTC: `2024-02-29 23:59 UTC`.
///
/// Days become a date by counting 400-year cycles from 1 March of the year 0, so that a leap day is a cycle's last.
pub fn utc(unix_s: u64) -> String {
    const DAYS_TO_1970: u64 = 719_468;
    let days = unix_s / 86_400 + DAYS_TO_1970;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    let minutes = unix_s / 60 % 1440;
    format!("{year:04}-{month:02}-{day_of_month:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_to_four_digits() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (129_394_278, "123.4 MiB"), (u64::MAX, "16.0 EiB")];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(byte_range(900 << 10, 3 << 20), "0.88–3.00 MiB");
        assert_eq!(byte_range(1, 5), "1–5 B");
        assert_eq!([24, 1280, 262_144].map(round_bytes), ["24 B", "1.25 KiB", "256 KiB"]);
    }

    #[test]
    fn counts_are_grouped_in_threes() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn percentages_carry_their_sign() {
        let cases =
            [(0.0, "0.0 %"), (0.0021, "+0.21 %"), (-0.241, "−24.1 %"), (0.000_001, "0.0 %"), (-0.000_001, "0.0 %"), (12.0, "+1,200 %")];
        for (ratio, text) in cases {
            assert_eq!(percent(ratio), text);
        }
        assert_eq!(share(1.0), "100.0 %");
    }

    #[test]
    fn durations_choose_their_unit() {
        let cases = [(812, "812 ns"), (1_230_000, "1.23 ms"), (2_310_000_000, "2.31 s"), (192_000_000_000, "3 min 12 s")];
        for (nanos, text) in cases {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!(round_duration(10_000_000), "10 ms");
        assert_eq!(round_duration(100_000_000_000), "100 s");
        assert_eq!(round_duration(0), "0 ns");
    }

    /// Expected values from `date -u -d @N`.
    #[test]
    fn dates_are_the_calendar_s() {
        let cases = [
            (0, "1970-01-01 00:00 UTC"),
            (951_827_696, "2000-02-29 12:34 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text);
        }
    }
}
