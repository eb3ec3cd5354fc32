//! What of the resident set is free and stays all the same, and whose blocks keep it: what only the program itself can mend.

use crate::reading;
use crate::study::{MemoryPoint, PinRow, PolicyResult, Study};
use crate::words;

/// Less than this share of the resident set, or of a mebibyte, is not worth a sentence.
const WORTH: f64 = 0.1;
const LEAST: u64 = 1 << 20;

/// At the end, or else when most was free, under the allocator that really ran; `None` where it is little or unknown.
pub(super) fn sentence(study: &Study) -> Option<String> {
    let row = study.policies.iter().find(|row| row.policy == reading::checked(study) && !row.memory.is_empty())?;
    let end = row.memory.last()?;
    let (moment, point) = if is_worth_it(end) {
        ("end", end)
    } else {
        // The first of equals.
        ("most free", row.memory.iter().rev().max_by_key(|point| free(point)).filter(|point| is_worth_it(point))?)
    };
    let when = if moment == "end" { "At the end".to_owned() } else { format!("After {}", words::duration(point.time_ns)) };
    let told = format!(
        "{when}, {} of {} resident are free but still held under {}",
        words::bytes(free(point)),
        words::bytes(point.rss_bytes),
        reading::name(row)
    );
    Some(match largest_pin(row, moment) {
        Some(pin) => format!("{told}. {}", told_of(pin)),
        None => format!("{told}, {}.", main_reason(point)),
    })
}

fn free(point: &MemoryPoint) -> u64 {
    reasons(point).iter().map(|reason| reason.0).sum()
}

fn is_worth_it(point: &MemoryPoint) -> bool {
    free(point) >= LEAST && free(point) as f64 >= WORTH * point.rss_bytes as f64
}

fn reasons(point: &MemoryPoint) -> [(u64, &'static str); 5] {
    [
        (point.below_bytes, "below a live block"),
        (point.inside_bytes, "beside live blocks on their pages and slabs"),
        (point.waiting_bytes, "until the allocator gives it back after a while"),
        (point.cache_bytes, "in caches"),
        (point.top_bytes, "at the top of the heap"),
    ]
}

fn main_reason(point: &MemoryPoint) -> String {
    let (bytes, reason) = reasons(point).into_iter().max_by_key(|reason| reason.0).unwrap_or_default();
    format!("most of it ({}) {reason}", words::bytes(bytes))
}

/// Of the blocks that keep memory at that moment, those that keep most, if that is worth a sentence.
fn largest_pin<'a>(row: &'a PolicyResult, moment: &str) -> Option<&'a PinRow> {
    let pins = row.pins.iter().rev().filter(|pin| pin.moment == moment && pin.blocks > 0);
    pins.max_by_key(|pin| pin.holds_bytes).filter(|pin| pin.holds_bytes >= LEAST)
}

fn told_of(pin: &PinRow) -> String {
    let keeps = if pin.blocks == 1 { "keeps" } else { "keep" };
    let whose = pin.caller.as_ref().map_or(String::new(), |caller| format!(", asked for by {caller},"));
    let place = if pin.hold == "top" { " below" } else { "" };
    format!(
        "{} of {}{whose} {keeps} {} of it{place}.",
        words::plural(pin.blocks, "block", "blocks"),
        words::bytes(pin.live_bytes),
        words::bytes(pin.holds_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_at_the_top_is_named_with_what_it_keeps() {
        let point = |below: u64| MemoryPoint { rss_bytes: 40 << 20, below_bytes: below << 20, ..MemoryPoint::default() };
        let pin = PinRow {
            moment: "end".into(),
            hold: "top".into(),
            blocks: 1,
            live_bytes: 96,
            holds_bytes: 26 << 20,
            caller: Some("remember".into()),
            ..PinRow::default()
        };
        let row = |memory| PolicyResult { policy: "glibc".into(), memory, pins: vec![pin.clone()], ..PolicyResult::default() };
        let of = |memory| sentence(&Study { policies: vec![row(memory)], checked: "glibc".into(), ..Study::default() });
        assert_eq!(
            of(vec![point(0), point(36)]).unwrap(),
            "At the end, 36.0 MiB of 40.0 MiB resident are free but still held under glibc. 1 block of 96 B, asked for by remember, keeps 26.0 MiB of it below."
        );
        assert_eq!(
            of(vec![point(36), point(0)]).unwrap(),
            "After 0 ns, 36.0 MiB of 40.0 MiB resident are free but still held under glibc, most of it (36.0 MiB) below a live block."
        );
        assert_eq!(of(vec![point(1)]), None);
        assert_eq!(sentence(&Study::default()), None);
    }
}
