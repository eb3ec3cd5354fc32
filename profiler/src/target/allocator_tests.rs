use super::super::sample;
use super::*;
use proptest::prelude::*;

const KERNEL: Kernel = Kernel { major: 6, minor: 1 };

/// One line of the measured table: function, offset, registers of the arguments (x86 numbers).
type Row = (&'static str, u64, &'static [u8]);

/// Compares with what an installed library gives; says so where it is not installed or is another build than the one that was measured.
fn library(path: &str, name: &str, version: &str, build_id: &str, rows: &[Row], covered: &[(&str, &str)], throwing: &[&str]) {
    let Ok(verdict) = examine_file(Path::new(path), &KERNEL) else {
        println!("skipped: {path} is not installed");
        return;
    };
    let Verdict::Allocators(allocators) = verdict else { panic!("{path} is an allocator, not {verdict:?}") };
    let [allocator] = &allocators[..] else { panic!("{path} is one allocator, not {allocators:?}") };
    assert_eq!((allocator.name.as_str(), allocator.path.as_str()), (name, path));
    // Those behind the rows are mimalloc's own for a heap that is named.
    let stepped: Vec<&str> =
        allocator.probes.iter().take(rows.len()).filter(|probe| probe.point.stepped).map(|probe| probe.symbol.as_str()).collect();
    assert!(stepped.is_empty(), "every function has a cheap point, but {stepped:?}");
    if allocator.build_id.as_deref() != Some(build_id) {
        println!("skipped: {path} is not the build whose offsets were measured");
        return;
    }
    assert_eq!(allocator.version.as_deref(), Some(version));
    let found: Vec<(&str, u64, Vec<u8>)> = allocator
        .probes
        .iter()
        .map(|probe| (probe.symbol.as_str(), probe.point.offset_in_function, probe.point.registers.iter().flatten().copied().collect()))
        .collect();
    let expected: Vec<(&str, u64, Vec<u8>)> =
        rows.iter().map(|(symbol, offset, registers)| (*symbol, *offset, registers.to_vec())).collect();
    assert_eq!(found[..expected.len()], expected);
    for &(name, by) in covered {
        assert!(allocator.covered.contains(&(name.to_owned(), by.to_owned())), "{name} by {by}: {:?}", allocator.covered);
    }
    let skipped: Vec<&str> = allocator.skipped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(skipped, throwing, "{:?}", allocator.skipped);
}

#[test]
fn glibc() {
    let rows: [Row; 10] = [
        ("malloc", 0, &[7]),
        ("free", 3, &[7]),
        ("calloc", 0, &[7, 6]),
        ("realloc", 0, &[7, 6]),
        ("memalign", 7, &[7, 6]),
        ("posix_memalign", 7, &[7, 6, 2]),
        ("valloc", 7, &[7]),
        ("pvalloc", 7, &[7]),
        ("malloc_trim", 0, &[7]),
        ("mallopt", 7, &[7, 6]),
    ];
    let build = "93ac61ec5a8eb1396f9fbd350e3169a558528a40";
    library(
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "glibc",
        "2.36",
        build,
        &rows,
        &[("aligned_alloc", "memalign"), ("reallocarray", "realloc")],
        &[],
    );
}

#[test]
fn jemalloc() {
    let rows: [Row; 16] = [
        ("malloc", 7, &[7]),
        ("free", 48, &[7]),
        ("calloc", 0, &[7, 6]),
        ("realloc", 0, &[7, 6]),
        ("memalign", 0, &[7, 6]),
        ("aligned_alloc", 0, &[7, 6]),
        ("posix_memalign", 0, &[7, 6, 2]),
        ("valloc", 0, &[7]),
        ("mallocx", 0, &[7, 6]),
        ("rallocx", 2, &[7, 6]),
        ("xallocx", 0, &[7, 6]),
        ("dallocx", 0, &[7]),
        ("sdallocx", 10, &[7]),
        ("_ZnwmRKSt9nothrow_t", 7, &[7]),
        ("_ZdlPvm", 3, &[7]),
        ("_ZdaPvm", 3, &[7]),
    ];
    // The first two begin with a jump, one calls on its only way, and the last one does so on all ways but that of a null pointer.
    let covered = [
        ("_ZnamRKSt9nothrow_t", "_ZnwmRKSt9nothrow_t"),
        ("_ZdaPv", "free"),
        ("_ZnwmSt11align_val_t", "aligned_alloc"),
        ("_ZdlPvmSt11align_val_t", "sdallocx"),
    ];
    let (path, build) = ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "1d5163c246dc9cd2b4d339f2ac42efd95c6e0ae1");
    // Aligned ones call aligned_alloc, which does not throw.
    library(path, "jemalloc", "5.3.0", build, &rows, &covered, &["_Znwm", "_Znam"]);
}

#[test]
fn mimalloc() {
    let rows: [Row; 8] = [
        ("malloc", 21, &[6]),
        ("free", 6, &[7]),
        ("calloc", 18, &[0, 6]),
        ("mi_memalign", 9, &[0, 7]),
        ("mi_posix_memalign", 8, &[7, 6, 2]),
        ("mi_valloc", 0, &[7]),
        ("mi_pvalloc", 0, &[7]),
        ("mi_zalloc", 21, &[6]),
    ];
    let covered = [
        ("mi_malloc", "malloc"),
        ("realloc", "mi_heap_realloc"),
        ("memalign", "mi_memalign"),
        ("reallocarray", "mi_reallocarray"),
        ("mi_reallocarray", "mi_reallocn"),
        ("_ZdlPvm", "mi_free"),
        ("_ZnwmSt11align_val_t", "mi_malloc_aligned"),
        ("mi_malloc_aligned", "mi_heap_malloc_aligned"),
        ("mi_cfree", "mi_free"),
    ];
    let throwing = ["_Znwm", "_Znam", "mi_new", "mi_new_n", "mi_heap_alloc_new", "mi_heap_alloc_new_n"];
    let build = "d07f4e7dc9a039fcbe7747f416476bd65cb48e8b";
    library("/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0", "mimalloc", "2.0.9", build, &rows, &covered, &throwing);
}

#[test]
fn tcmalloc() {
    let rows: [Row; 16] = [
        ("malloc", 10, &[7]),
        ("free", 10, &[7]),
        ("calloc", 0, &[7, 6]),
        ("realloc", 0, &[7, 6]),
        ("memalign", 10, &[7, 6]),
        ("posix_memalign", 11, &[7, 6, 2]),
        ("valloc", 0, &[7]),
        ("pvalloc", 0, &[7]),
        ("_ZnwmRKSt9nothrow_t", 10, &[7]),
        ("_ZnwmSt11align_val_tRKSt9nothrow_t", 13, &[7, 6]),
        ("_ZdlPvRKSt9nothrow_t", 10, &[7]),
        ("_ZdlPvm", 10, &[7]),
        ("_ZdlPvSt11align_val_t", 10, &[7]),
        ("_ZdlPvSt11align_val_tRKSt9nothrow_t", 10, &[7]),
        ("_ZdlPvmSt11align_val_t", 10, &[7]),
        ("tc_malloc_skip_new_handler", 0, &[7]),
    ];
    let covered = [("aligned_alloc", "memalign"), ("_ZdlPv", "free"), ("tc_malloc", "malloc"), ("tc_delete_sized", "_ZdlPvm")];
    let operators = ["_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t"];
    let throwing = [&operators[..], &["tc_new", "tc_newarray", "tc_new_aligned", "tc_newarray_aligned"]].concat();
    let build = "39dfd4a5855703fa6c2469749282f75b18a1aa66";
    library("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", "tcmalloc", "2.10", build, &rows, &covered, &throwing);
}

#[test]
fn operators_that_merely_call_malloc_make_no_allocator() {
    match examine_file(Path::new("/usr/lib/x86_64-linux-gnu/libstdc++.so.6"), &KERNEL) {
        Ok(verdict) => assert_eq!(verdict, Verdict::Nothing),
        Err(_) => println!("skipped: there is no libstdc++"),
    }
}

#[test]
fn the_loader_is_none() {
    match examine_file(Path::new("/lib64/ld-linux-x86-64.so.2"), &KERNEL) {
        Ok(verdict) => assert_eq!(verdict, Verdict::Nothing),
        Err(_) => println!("skipped: there is no loader"),
    }
    assert!(is_loader("ld-linux-x86-64.so.2") && !is_loader("libc.so.6") && !is_loader("libc.musl-x86_64.so.1"));
}

/// The allocators of a file.
fn examined(bytes: &[u8], path: &str) -> Vec<Allocator> {
    match examine(bytes, path, &KERNEL) {
        Verdict::Allocators(allocators) => allocators,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_small_library() {
    let bytes = sample::library();
    let [allocator] = &examined(&bytes, "/opt/libsample.so.1")[..] else { panic!("it defines malloc and free") };
    assert_eq!((allocator.name.as_str(), allocator.version.as_deref()), ("jemalloc", Some("1.2.3")));
    let points: Vec<(&str, u64)> = allocator.probes.iter().map(|probe| (probe.symbol.as_str(), probe.point.file_offset)).collect();
    // Behind the landing mark, at the branch; aligned_alloc jumps through a stub to memalign.
    assert_eq!(points, [("malloc", 0x104), ("free", 0x113)]);
    assert_eq!(allocator.covered, [("aligned_alloc".to_owned(), "memalign".to_owned())]);
    assert_eq!(allocator.probes[0].cookie(), Cookie::new(Kind::Malloc, Form::Plain, [Some(7), None, None, None]));
    assert_eq!((allocator.symbols.as_str(), allocator.skipped.len()), (".dynsym", 0));
}

#[test]
fn without_both_malloc_and_free_it_is_none() {
    let mut bytes = sample::library();
    let name = bytes.windows(6).position(|window| window == b"\0free\0").unwrap();
    bytes[name + 1] = b'F';
    assert_eq!(examine(&bytes[..], "libsample.so.1", &KERNEL), Verdict::Nothing);
    assert_eq!(examine(&b"text"[..], "text", &KERNEL), Verdict::Nothing);
}

#[test]
fn the_prefix_under_which_programs_build_jemalloc_in() {
    // `je_` does not fit into the sample's names, so the shorter names of the sample are taken for the longer ones' ends.
    let mut bytes = sample::library();
    let names = bytes.windows(8).position(|window| window == b"\0malloc\0").unwrap();
    let replaced = b"\0je_malloc\0je_free\0";
    bytes[names..names + replaced.len()].copy_from_slice(replaced);
    // Symbols 1 and 2: the name's position in the table is the first word.
    for (symbol, name) in [(1, 1u32), (2, 11)] {
        bytes[0x180 + 24 * symbol..][..4].copy_from_slice(&name.to_le_bytes());
    }
    let [allocator] = &examined(&bytes, "/usr/bin/store")[..] else { panic!("je_malloc and je_free are there") };
    let symbols: Vec<&str> = allocator.probes.iter().map(|probe| probe.symbol.as_str()).collect();
    assert_eq!(symbols, ["je_malloc", "je_free"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damaged_files_never_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), prop_oneof![Just(0u8), Just(0xff), any::<u8>()]), 0..12),
        length in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = sample::library();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Verdict::Allocators(allocators) = examine(&bytes[..], "damaged", &KERNEL) {
            prop_assert!(allocators.iter().flat_map(|allocator| &allocator.probes).all(|probe| probe.symbol.len() < 64));
        }
        if let Ok(elf) = Elf::parse(&bytes[..]) {
            elf.build_id();
            elf.for_each_function(elf::Table::Local, |_, symbol| { elf.code(symbol); });
        }
    }
}
