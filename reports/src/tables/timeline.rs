//! The curves.

use super::{POLICY_DOC, Table, Unit, Values, column};
use crate::study::{PolicyResult, Study, TimePoint};

pub(super) const TIMELINE: Table = Table {
    name: "timeline",
    title: "Timeline",
    doc: "The curves: samples of each policy in time order, thinned so that peaks stay. A value holds until the next sample of the same policy.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(points(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column(
            "time_ns",
            "Time",
            Unit::Nanos,
            "Time since the process began to be recorded. Every policy runs on the recorded clock: a faster or slower allocator does not change it.",
            |s| per_point(s, |p| Some(p.time_ns)),
        ),
        column("rss_bytes", "RSS", Unit::Bytes, "Resident set of the whole process.", |s| per_point(s, |p| p.rss_bytes)),
        column("live_bytes", "Live", Unit::Bytes, "Requested bytes in blocks that were allocated and not yet freed.", |s| {
            per_point(s, |p| p.live_bytes)
        }),
        column("mapped_bytes", "Mapped", Unit::Bytes, "Size of all mappings and the break area.", |s| per_point(s, |p| p.mapped_bytes)),
        column("minor_faults", "Minor faults", Unit::Count, "Minor faults so far.", |s| per_point(s, |p| p.minor_faults)),
        column("returned_bytes", "Returned", Unit::Bytes, "Bytes given back to the kernel so far.", |s| per_point(s, |p| p.returned_bytes)),
        column(
            "source",
            "Source",
            Unit::Text,
            "Where the curve comes from, as in the summary: a policy's model and its library have the same name.",
            |s| Values::Text(points(s).map(|(policy, _)| policy.source.clone()).collect()),
        ),
        column(
            "rss_low_bytes",
            "RSS, low",
            Unit::Bytes,
            "The resident set if only the touches that were seen happened; empty where one reading is all there is.",
            |s| per_point(s, |p| p.rss_low_bytes),
        ),
        column("rss_high_bytes", "RSS, high", Unit::Bytes, "The resident set if all was touched whose touch could not be seen.", |s| {
            per_point(s, |p| p.rss_high_bytes)
        }),
    ],
};

fn points(study: &Study) -> impl Iterator<Item = (&PolicyResult, &TimePoint)> {
    study.policies.iter().flat_map(|policy| policy.timeline.iter().map(move |point| (policy, point)))
}

fn per_point(study: &Study, get: impl Fn(&TimePoint) -> Option<u64>) -> Values {
    Values::Integer(points(study).map(|(_, point)| get(point)).collect())
}
