//! The blocks that keep memory, model by model.

use crate::reading;
use crate::study::{PinRow, PolicyResult, Study};
use crate::words;

/// Rows that are shown of a moment; the table has all.
const SHOWN: usize = 6;

/// One model.
pub(super) struct Model {
    pub(super) policy: String,
    /// What matters, in a sentence.
    pub(super) summary: String,
    pub(super) open: bool,
    pub(super) rows: Vec<Row>,
}

/// Blocks that hold something together.
pub(super) struct Row {
    pub(super) moment: String,
    pub(super) how: &'static str,
    pub(super) blocks: String,
    pub(super) sizes: String,
    pub(super) ages: String,
    pub(super) caller: String,
    pub(super) keeps: String,
}

pub(super) fn models(study: &Study) -> Vec<Model> {
    let checked = reading::checked(study);
    let policies = study.policies.iter().filter(|policy| !policy.pins.is_empty());
    policies.map(|policy| Model::of(policy, policy.policy == checked)).collect()
}

impl Model {
    fn of(policy: &PolicyResult, open: bool) -> Model {
        let of = |moment: &'static str| policy.pins.iter().filter(move |pin| pin.moment == moment).take(SHOWN);
        // Where most is free at the end, the two moments are one.
        let end = of("end").map(|pin| pin.time_ns).next().unwrap_or(u64::MAX);
        let most = policy.pins.iter().rev().max_by_key(|pin| pin.holds_bytes);
        Model {
            policy: reading::name(policy),
            summary: most.map(summary).unwrap_or_default(),
            open,
            rows: of("most free").filter(|pin| pin.time_ns < end).chain(of("end")).map(Row::of).collect(),
        }
    }
}

fn summary(pin: &PinRow) -> String {
    let keeps = words::bytes(pin.holds_bytes);
    let when = if pin.moment == "end" { "at the end".to_owned() } else { format!("after {}", words::duration(pin.time_ns)) };
    match (pin.hold.as_str(), pin.blocks) {
        (_, 0) => format!("{when}, cached blocks keep {keeps}"),
        ("top", blocks) => {
            format!(
                "{when}, {} of {} at the top of a heap {} {keeps} below",
                words::plural(blocks, "block", "blocks"),
                words::bytes(pin.live_bytes),
                keep(blocks)
            )
        }
        (_, blocks) => {
            let slabs = words::plural(pin.slabs, "slab that is mostly free", "slabs that are mostly free");
            let found = words::plural(blocks, "block", "blocks");
            format!("{when}, {found} of {} {} {keeps} in {slabs}", words::bytes(pin.live_bytes), keep(blocks))
        }
    }
}

fn keep(blocks: u64) -> &'static str {
    if blocks == 1 { "keeps" } else { "keep" }
}

impl Row {
    fn of(pin: &PinRow) -> Row {
        let none = pin.blocks == 0;
        let from_to = |low: String, high: String| match () {
            () if none => String::new(),
            () if low == high => low,
            () => format!("{low} – {high}"),
        };
        Row {
            moment: format!("{}, {}", pin.moment, words::duration(pin.time_ns)),
            how: if pin.hold == "top" { "above free pages" } else { "in mostly free slabs" },
            blocks: if none { "cached only".into() } else { words::count(pin.blocks) },
            sizes: from_to(words::bytes(pin.smallest_bytes), words::bytes(pin.largest_bytes)),
            ages: from_to(words::duration(pin.youngest_ns), words::duration(pin.oldest_ns)),
            caller: pin.caller.clone().unwrap_or_default(),
            keeps: words::bytes(pin.holds_bytes),
        }
    }
}
