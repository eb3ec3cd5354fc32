//! The few live blocks that keep free memory from going back.

use super::{POLICY_DOC, Table, Unit, Values, column};
use crate::study::{PinRow, PolicyResult, Study};

pub(super) const PINS: Table = Table {
    name: "pins",
    title: "Pins",
    doc: "Live blocks that keep free memory from going back to the kernel, those that keep most first: at the moment when most was free and held (within a tenth), and at the end.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(pins(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column("moment", "Moment", Unit::Text, "`most free` or `end`.", |s| {
            Values::Text(pins(s).map(|(_, pin)| pin.moment.clone()).collect())
        }),
        column("time_ns", "Time", Unit::Nanos, "That moment, since the process began to be recorded.", |s| per_pin(s, |p| p.time_ns)),
        column(
            "hold",
            "How",
            Unit::Text,
            "`top`: the blocks lie above free pages in a heap that shrinks from its top; they keep them together with all blocks above. `slab`: they lie in slabs or pages that are mostly free.",
            |s| Values::Text(pins(s).map(|(_, pin)| pin.hold.clone()).collect()),
        ),
        column("at", "Address", Unit::Count, "Simulated address of the lowest of them, or of the lowest slab.", |s| per_pin(s, |p| p.at)),
        column("blocks", "Blocks", Unit::Count, "How many live blocks; 0 where only cached blocks are in the way.", |s| {
            per_pin(s, |p| p.blocks)
        }),
        column("slabs", "Slabs", Unit::Count, "Slabs that they lie in.", |s| per_pin(s, |p| p.slabs)),
        column("live_bytes", "Requested", Unit::Bytes, "Their requested bytes.", |s| per_pin(s, |p| p.live_bytes)),
        column("smallest_bytes", "Smallest", Unit::Bytes, "Smallest request among them.", |s| per_pin(s, |p| p.smallest_bytes)),
        column("largest_bytes", "Largest", Unit::Bytes, "Largest request among them.", |s| per_pin(s, |p| p.largest_bytes)),
        column("youngest_ns", "Youngest", Unit::Nanos, "Age of the youngest.", |s| per_pin(s, |p| p.youngest_ns)),
        column("oldest_ns", "Oldest", Unit::Nanos, "Age of the oldest.", |s| per_pin(s, |p| p.oldest_ns)),
        column("holds_bytes", "Keeps", Unit::Bytes, "Free resident bytes that would go back without them.", |s| {
            per_pin(s, |p| p.holds_bytes)
        }),
        column("caller", "Asked for by", Unit::Text, "What asked for most of them; empty where the recording does not tell.", |s| {
            Values::Text(pins(s).map(|(_, pin)| pin.caller.clone().unwrap_or_default()).collect())
        }),
    ],
};

fn pins(study: &Study) -> impl Iterator<Item = (&PolicyResult, &PinRow)> {
    study.policies.iter().flat_map(|policy| policy.pins.iter().map(move |pin| (policy, pin)))
}

fn per_pin(study: &Study, get: impl Fn(&PinRow) -> u64) -> Values {
    Values::Integer(pins(study).map(|(_, pin)| Some(get(pin))).collect())
}
