use super::*;
use crate::metrics::Meter;
use crate::trace::manifest::AllocatorFound;
use crate::vm::Calls;

fn process(allocator: &str, path: &str, environment: &[(&str, &str)]) -> Process {
    Process {
        exe: "/usr/bin/program".to_owned(),
        allocators: vec![AllocatorFound {
            name: allocator.to_owned(),
            version: Some("2.36".to_owned()),
            path: path.to_owned(),
            ..AllocatorFound::default()
        }],
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Process::default()
    }
}

fn pasted(process: &Process, spec: &str, source: Source) -> Option<(String, String)> {
    let setting = Setting { process, ran: Some(&process.allocators[0].name), checked: "glibc@2.36", huge_pages: Some("madvise") };
    let paste = setting.paste(&Outcome::of(spec, source, &Meter::default(), Calls::default()))?;
    assert_eq!(paste.other_allocator, paste.before.contains("LD_PRELOAD="), "{paste:?}");
    Some((paste.before, paste.machine))
}

fn before(process: &Process, spec: &str) -> Option<String> {
    pasted(process, spec, Source::Simulated).map(|(before, _)| before)
}

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

#[test]
fn knobs_are_the_declared_ones() {
    let process = process("glibc", LIBC, &[]);
    let given = |spec| before(&process, spec);
    assert_eq!(given("glibc@2.36").as_deref(), Some(""));
    assert_eq!(
        given("glibc:arena_max=1,tcache_count=0").as_deref(),
        Some("GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0")
    );
    assert_eq!(given("jemalloc:dirty_decay_ms=0").as_deref(), Some("LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=dirty_decay_ms:0"));
    assert_eq!(given("mimalloc").as_deref(), Some("LD_PRELOAD=libmimalloc.so.2"));
}

#[test]
fn what_nobody_can_set_is_no_advice() {
    let process = process("glibc", LIBC, &[]);
    for spec in ["recorded", "brk-only", "mmap-only", "glibc:trim_every=5", "glibc@2.42"] {
        assert_eq!(before(&process, spec), None, "{spec}");
    }
}

#[test]
fn the_machine_s_mode_is_a_command_of_its_own() {
    let process = process("glibc", LIBC, &[]);
    let given = |spec| pasted(&process, spec, Source::Simulated).expect("advice");
    assert_eq!(given("glibc+thp=never"), (String::new(), "echo never > /sys/kernel/mm/transparent_hugepage/enabled".to_owned()));
    assert_eq!(given("glibc+thp=madvise").1, "");
}

#[test]
fn what_was_set_before_is_taken_back() {
    let process = process("glibc", LIBC, &[("MALLOC_ARENA_MAX", "1"), ("PYTHONMALLOC", "malloc")]);
    assert_eq!(before(&process, "glibc:arena_max=2").as_deref(), Some("env -u MALLOC_ARENA_MAX GLIBC_TUNABLES=glibc.malloc.arena_max=2"));
    assert_eq!(before(&process, "jemalloc").as_deref(), Some("LD_PRELOAD=libjemalloc.so.2"));
}

#[test]
fn an_allocator_inside_the_program_stays() {
    let inside = process("jemalloc", "/usr/bin/program", &[]);
    assert_eq!(before(&inside, "mimalloc"), None);
    assert_eq!(before(&inside, "jemalloc:dirty_decay_ms=0").as_deref(), Some("MALLOC_CONF=dirty_decay_ms:0"));
    let linked = process("jemalloc", "/usr/lib/libjemalloc.so.2", &[]);
    assert_eq!(before(&linked, "glibc").as_deref(), Some("LD_PRELOAD=libc.so.6"));
    assert_eq!(before(&process("musl", "/lib/ld-musl-x86_64.so.1", &[]), "glibc"), None);
}

#[test]
fn a_library_by_its_file_is_preloaded() {
    let process = process("glibc", LIBC, &[]);
    let given = pasted(&process, "./my lib.so", Source::Replayed).map(|(before, _)| before);
    assert_eq!(given.as_deref(), Some("LD_PRELOAD='./my lib.so'"));
}
