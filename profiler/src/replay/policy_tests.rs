//! What a SPEC means, and what is said about one that means nothing.

use super::*;
use crate::model::{Knob, plain_knob};
use proptest::prelude::*;

static KNOBS: [Tunable; 3] = [
    Tunable {
        key: "arena_max",
        knobs: &[Knob { variable: "GLIBC_TUNABLES", key: Some("glibc.malloc.arena_max") }],
        default: 0,
        unit: Unit::Count,
        range: (0, 1000),
        doc: "",
    },
    Tunable {
        key: "mmap_threshold",
        knobs: &[Knob { variable: "MALLOC_MMAP_THRESHOLD_", key: None }],
        default: 128 << 10,
        unit: Unit::Bytes,
        range: (0, 1 << 40),
        doc: "",
    },
    Tunable {
        key: "decay_ms",
        knobs: &[Knob { variable: "MALLOC_CONF", key: Some("dirty_decay_ms") }],
        default: 10,
        unit: Unit::Millis,
        range: (-1, 1 << 40),
        doc: "",
    },
];

pub(in crate::replay) static SPEC: ModelSpec = ModelSpec {
    id: "sample",
    versions: &["1.0", "2.36"],
    summary: "for tests",
    tunables: &KNOBS,
    knob_value: plain_knob,
    library: crate::model::Footprint::NONE,
    build: |_| Err(Error::new(Kind::Failed, "is not built")),
};

fn sample(text: &str) -> Result<Policy> {
    Policy::among(text, &[&SPEC])
}

fn settings(text: &str) -> Settings {
    sample(text).unwrap_or_else(|error| panic!("{text}: {error}")).model.expect("a model").1
}

fn refusal(result: Result<Policy>) -> String {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind, Kind::Usage);
    error.message
}

#[test]
fn a_spec_sets_version_tunables_and_huge_pages() {
    let policy = sample("sample@1.0:mmap_threshold=64K,decay_ms=-1+thp=always").unwrap();
    assert_eq!(
        (policy.thp(), policy.to_string().as_str()),
        (Some(thp::Mode::Always), "sample@1.0:mmap_threshold=64K,decay_ms=-1+thp=always")
    );
    let (_, settings) = policy.model.unwrap();
    assert_eq!(
        (settings.version, settings.get("mmap_threshold"), settings.get("decay_ms"), settings.get("arena_max")),
        (Some("1.0"), 65536, -1, 0)
    );
    assert_eq!(self::settings("sample").version, Some("2.36"));
}

#[test]
fn real_knobs_mean_the_tunables_they_stand_for() {
    assert_eq!(settings("env:GLIBC_TUNABLES=glibc.malloc.arena_max=2"), settings("sample:arena_max=2"));
    assert_eq!(settings("env:MALLOC_CONF=dirty_decay_ms:0 MALLOC_MMAP_THRESHOLD_=4096"), settings("sample:decay_ms=0,mmap_threshold=4K"));
    assert!(refusal(sample("env:GLIBC_TUNABLES=glibc.malloc.arena_mx=2")).contains("did you mean `GLIBC_TUNABLES=glibc.malloc.arena_max`"));
    assert!(refusal(sample("env:GLIBC_TUNABLES=nonsense")).contains("key=value"));
    assert!(refusal(sample("env:")).contains("at least one"));
    let none = refusal(Policy::parse("env:MIMALLOC_PURGE_DELAY=0"));
    assert!(none.contains("MIMALLOC_PURGE_DELAY"), "{none}");
}

#[test]
fn what_is_unknown_is_refused_with_the_nearest_valid_one() {
    assert!(refusal(Policy::parse("mmaponly")).contains("did you mean `mmap-only`"));
    assert!(refusal(Policy::parse("record")).contains("did you mean `recorded`"));
    assert!(refusal(Policy::parse("brk-only:top_pat=1")).contains("did you mean `top_pad`"));
    assert!(refusal(Policy::parse("brk-only+thp=allways")).contains("did you mean `always`"));
    assert!(refusal(Policy::parse("brk-only+huge")).contains("thp="));
    assert!(refusal(Policy::parse("brk-only@3")).contains("no versions"));
    assert!(refusal(Policy::parse("mmap-only:x=1")).contains("there is none"));
    assert!(refusal(Policy::parse("brk-only:top_pad")).contains("key=value"));
    assert!(refusal(Policy::parse("brk-only:top_pad=12Q")).contains("number of bytes"));
    assert!(refusal(Policy::parse("brk-only:top_pad=-1")).contains("out of range"));
    assert!(refusal(Policy::parse("")).contains("unknown policy"));
    assert!(refusal(sample("sample@2.35")).contains("did you mean `2.36`"));
    assert!(refusal(sample("sample:arena_max=2K")).contains("whole number"));
}

#[test]
fn recorded_is_no_model() {
    let policy = Policy::parse("recorded").unwrap();
    assert!(policy.is_recorded() && policy.build().is_err());
    assert!(!Policy::parse("mmap-only").unwrap().is_recorded());
    let elsewhere = Policy::parse("recorded+thp=always").unwrap();
    assert!(elsewhere.is_recorded() && !elsewhere.is_what_happened() && policy.is_what_happened());
    assert_eq!(elsewhere.to_string(), "recorded+thp=always");
}

proptest! {
    #[test]
    fn a_spec_reads_back_as_it_was_given(pad in 0u64..1 << 20, unit in prop::sample::select(vec!["", "K", "M"]), trim in 0u64..1 << 30, mode in 0usize..4) {
        let thp = ["", "+thp=always", "+thp=madvise", "+thp=never"][mode];
        let text = format!("brk-only:top_pad={pad}{unit},trim_threshold={trim}{thp}");
        let policy = Policy::parse(&text).unwrap();
        prop_assert_eq!(policy.to_string(), text.clone());
        let again = Policy::parse(&policy.to_string()).unwrap();
        prop_assert_eq!(again.thp(), policy.thp());
        let (settings, same) = (policy.model.unwrap().1, again.model.unwrap().1);
        let factor = match unit { "K" => 1 << 10, "M" => 1 << 20, _ => 1 };
        prop_assert_eq!((settings.bytes("top_pad"), settings.bytes("trim_threshold")), (pad * factor, trim));
        prop_assert_eq!(settings, same);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z:@=+,0-9KMG -]{0,40}") {
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&format!("env:{text}"));
        let _ = Policy::parse(&format!("brk-only:top_pad={text}"));
    }
}
