//! What a recording that begins in the middle knows of what was there before, and what it does not.

use std::process::Stdio;

use super::running::{ready_as, started};
use super::{possible, recorder};
use crate::support::{Folder, Running, Trace, heapcast, said, terminate, until};

#[test]
fn a_heap_that_is_older_than_the_recording_is_a_known_unknown() {
    let Some(_alone) = possible() else { return };
    let Some((mut target, _output)) = ready_as("older_heap") else { return };
    let folder = Folder::new("attach-older");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(target.pid().to_string()).stdout(Stdio::null()));
    started(&trace);
    until("blocks are replaced", || Trace::try_open(&trace).filter(|trace| trace.count("malloc") > 300));
    terminate(target.pid());
    assert_eq!((target.code(), recording.code()), (Some(0), Some(0)));
    let report = folder.join("report");
    let out = said(heapcast(&["replay", "-q", "--json", "--policy", "brk-only"]).arg(&trace).arg("-o").arg(&report)).exits(0).out;
    let study: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let notes = study["recording"]["notes"].as_array().expect("notes");
    let about = notes.iter().filter_map(|note| note.as_str()).find(|note| note.contains("older than the recording"));
    let about = about.unwrap_or_else(|| panic!("{notes:?}"));
    assert!(about.starts_with("4.") || about.starts_with("3.9"), "{about}");
    let set_aside = study["recording"]["set_aside"].as_array().expect("a list");
    let unknown = set_aside.iter().find(|count| count["name"].as_str().is_some_and(|name| name.contains("older"))).expect("counted");
    assert!(unknown["count"].as_u64() > Some(200), "{unknown}");
    let bytes = |policy: usize, column: &str| study["policies"][policy][column].as_u64().expect("a number");
    let (measured, recorded) = (bytes(0, "peak_rss_bytes"), bytes(1, "peak_rss_bytes"));
    assert!(recorded.abs_diff(measured) <= measured / 100, "recorded {recorded}, measured {measured}");
    for policy in 2..study["policies"].as_array().expect("policies").len() {
        let bounds = bytes(policy, "peak_rss_low_bytes")..=bytes(policy, "peak_rss_high_bytes");
        assert!(bounds.contains(&measured), "{}: {bounds:?}, measured {measured}", study["policies"][policy]["policy"]);
    }
}
