use super::*;
use crate::study::UnitCosts;

fn policy(name: &str, peak: Option<u64>, faults: Option<u64>) -> PolicyResult {
    PolicyResult { policy: name.into(), peak_rss_bytes: peak, minor_faults: faults, ..Default::default() }
}

fn study(policies: Vec<PolicyResult>) -> Study {
    Study { policies, ..Default::default() }
}

fn checked(measured: u64, recorded: u64) -> SelfCheck {
    SelfCheck::of(&study(vec![policy("measured", Some(measured), None), policy("recorded", Some(recorded), None)]))
}

#[test]
fn grades_follow_the_error() {
    assert_eq!(checked(1000, 1010).grade(), Grade::Agrees);
    assert_eq!(checked(1000, 989).grade(), Grade::Off);
    assert_eq!(checked(1000, 1101).grade(), Grade::FarOff);
    assert_eq!(checked(0, 1).grade(), Grade::Unknown);
    assert_eq!(SelfCheck::of(&Study::default()).grade(), Grade::Unknown);
}

#[test]
fn a_model_of_the_allocator_that_ran_is_what_is_checked() {
    let rows = [("measured", 1000), ("recorded", 1000), ("glibc@2.36", 1005)];
    let mut study = study(rows.map(|(name, peak)| policy(name, Some(peak), None)).to_vec());
    study.checked = "glibc@2.36".into();
    study.fidelity = vec![crate::study::FidelityRow { metric: "placements".into(), replayed: Some(0.99998), ..Default::default() }];
    let check = SelfCheck::of(&study);
    assert_eq!(check.peak_margin(), 0.005);
    assert!(check.sentence().starts_with("The model of the allocator that ran puts 99.998 % of the blocks"), "{}", check.sentence());
    assert!(is_truth(&study, &study.policies[2]));
}

#[test]
fn many_wrong_faults_spoil_a_good_peak() {
    let rows = vec![policy("measured", Some(1000), Some(100)), policy("recorded", Some(1000), Some(103))];
    assert_eq!(SelfCheck::of(&study(rows)).grade(), Grade::Off);
}

#[test]
fn a_library_speaks_for_its_model() {
    let mut rows = vec![policy("measured", Some(1000), Some(100)), policy("a", Some(900), Some(90)), policy("a", Some(1200), None)];
    (rows[1].source, rows[2].source) = ("simulated".into(), "replayed".into());
    let study = study(rows);
    assert_eq!(against_library(&study, &study.policies[1]).as_deref(), Some("peak −25.0 %, faults –"));
    assert_eq!(against_library(&study, &study.policies[2]), None);
    assert_eq!(name(&study.policies[2]), "a (real library)");
}

#[test]
fn one_unknown_call_count_makes_the_sum_unknown() {
    let mut row = policy("a", None, None);
    assert_eq!(syscalls(&row), None);
    (row.brk_calls, row.mmap_calls, row.munmap_calls, row.mremap_calls, row.madvise_calls) = (Some(1), Some(2), Some(3), Some(4), None);
    assert_eq!(syscalls(&row), None);
    row.madvise_calls = Some(5);
    assert_eq!(syscalls(&row), Some(15));
}

#[test]
fn losses_are_named() {
    let mut study = Study::default();
    assert_eq!(losses(&study), None);
    study.recording.lost = vec![KindCount { name: "malloc".into(), count: 3 }, KindCount { name: "fault".into(), count: 0 }];
    assert!(losses(&study).unwrap().starts_with("3 events were lost while recording (3 malloc):"));
}

#[test]
fn the_kernels_time_is_counts_times_costs() {
    let mut study = study(vec![policy("measured", Some(1000), Some(100))]);
    let row = &mut study.policies[0];
    (row.brk_calls, row.mmap_calls, row.munmap_calls) = (Some(2), Some(3), Some(4));
    (row.mremap_calls, row.madvise_calls, row.returned_bytes) = (Some(0), Some(1), Some(8192));
    assert_eq!(kernel_time(&study, &study.policies[0]), None);
    study.recording.unit_costs = Some(UnitCosts { fault_ns: 500, return_ns: 100, grow_ns: 10, mmap_ns: 20, munmap_ns: 30, madvise_ns: 40 });
    assert_eq!(kernel_time(&study, &study.policies[0]), Some(50_000 + 200 + 20 + 60 + 120 + 40));
}
