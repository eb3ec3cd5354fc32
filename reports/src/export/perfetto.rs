//! The curves as counters in the Chrome trace event format (JSON), which Perfetto and `chrome://tracing` open.
//!
//! Each policy is a process of its own there, numbered in the order of the summary; its figures are counter tracks.

use serde_json::{Value, json};

use crate::reading;
use crate::study::{PolicyResult, Study, TimePoint};

/// Name of a track and what it shows.
type Track = (&'static str, fn(&TimePoint) -> Option<u64>);

const TRACKS: [Track; 5] = [
    ("RSS, bytes", |point| point.rss_bytes),
    ("live, bytes", |point| point.live_bytes),
    ("mapped, bytes", |point| point.mapped_bytes),
    ("minor faults", |point| point.minor_faults),
    ("returned, bytes", |point| point.returned_bytes),
];

/// The timeline of every policy. Times are microseconds since the process began to be recorded; what is unknown has no track.
pub fn perfetto(study: &Study) -> Value {
    let rows = study.policies.iter().enumerate().flat_map(|(at, policy)| events(at + 1, policy));
    json!({
        "traceEvents": rows.collect::<Vec<_>>(),
        "displayTimeUnit": "ms",
        "otherData": { "heapcast": study.heapcast, "command": study.recording.command.join(" ") },
    })
}

fn events(pid: usize, policy: &PolicyResult) -> impl Iterator<Item = Value> {
    let name = json!({ "ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": { "name": reading::name(policy) } });
    let order = json!({ "ph": "M", "pid": pid, "tid": 0, "name": "process_sort_index", "args": { "sort_index": pid } });
    let counters = policy.timeline.iter().flat_map(move |point| {
        TRACKS.iter().filter_map(move |(track, value)| {
            let value = value(point)?;
            let ts = point.time_ns as f64 / 1e3;
            Some(json!({ "ph": "C", "pid": pid, "tid": 0, "ts": ts, "name": track, "args": { "value": value } }))
        })
    });
    [name, order].into_iter().chain(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_is_a_process_with_counters() {
        let point = |time_ns, rss| TimePoint { time_ns, rss_bytes: rss, live_bytes: Some(7), ..Default::default() };
        let policy = |name: &str, timeline| PolicyResult { policy: name.into(), timeline, ..Default::default() };
        let study = Study {
            policies: vec![policy("measured", vec![point(1_500, Some(4096)), point(2_000, None)]), policy("a\"b", vec![])],
            ..Default::default()
        };
        let trace = perfetto(&study);
        let events = trace["traceEvents"].as_array().unwrap();
        let counters: Vec<&Value> = events.iter().filter(|event| event["ph"] == "C").collect();
        assert_eq!(counters.len(), 3, "{events:?}");
        assert_eq!((&counters[0]["ts"], &counters[0]["args"]["value"], &counters[0]["pid"]), (&json!(1.5), &json!(4096), &json!(1)));
        let names: Vec<&Value> =
            events.iter().filter(|event| event["name"] == "process_name").map(|event| &event["args"]["name"]).collect();
        assert_eq!(names, ["measured", "a\"b"]);
    }
}
