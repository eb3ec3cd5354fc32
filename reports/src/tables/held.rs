//! Where each model's memory sat.

use super::{POLICY_DOC, Table, Unit, Values, column};
use crate::study::{HeldPart, PolicyResult, Study};

pub(super) const HELD: Table = Table {
    name: "held",
    title: "What the allocator holds",
    doc: "What each model had from the system when the resident set was highest (within one hundredth): the program's blocks, and where the rest is. Not all of it is resident. Only models know this.",
    columns: &[
        column("policy", "Policy", Unit::Text, POLICY_DOC, |s| Values::Text(held(s).map(|(policy, _)| policy.policy.clone()).collect())),
        column(
            "part",
            "Part",
            Unit::Text,
            "`live` is what the program asked for and has not freed, `rounding` what blocks are larger than that, `headers` the allocator's bookkeeping; the others are free memory, by the allocator's own names (`tcache`, `bins`, `top`, `dirty`, …).",
            |s| Values::Text(held(s).map(|(_, part)| part.part.clone()).collect()),
        ),
        column("bytes", "Bytes", Unit::Bytes, "Size of the part, resident or not.", |s| {
            Values::Integer(held(s).map(|(_, part)| Some(part.bytes)).collect())
        }),
    ],
};

fn held(study: &Study) -> impl Iterator<Item = (&PolicyResult, &HeldPart)> {
    study.policies.iter().flat_map(|policy| policy.held.iter().map(move |part| (policy, part)))
}
