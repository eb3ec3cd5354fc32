//! What can be set: nothing. Two releases differ.

use crate::model::{Footprint, ModelSpec, plain_knob};

/// The first release that does not offer the pages of free slots to the system.
pub(super) const WITHOUT_FREE: &str = "1.2.4";

pub(in crate::model) static SPEC: ModelSpec = ModelSpec {
    id: "musl",
    versions: &["1.2.3", WITHOUT_FREE],
    summary: "musl's malloc (mallocng): groups of slots of one size, unmapped as soon as they are free; no caches, no settings",
    tunables: &[],
    knob_value: plain_knob,
    library: Footprint::NONE,
    build: super::build,
};
