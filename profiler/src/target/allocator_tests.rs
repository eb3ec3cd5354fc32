use super::super::sample;
use super::*;
use proptest::prelude::*;

const KERNEL: Kernel = Kernel { major: 6, minor: 1 };

/// One line of the measured table: function, offset, registers of the arguments (x86 numbers).
type Row = (&'static str, u64, &'static [u8]);

/// Compares with what an installed library gives; says so where it is not installed or is another build than the one that was measured.
fn library(path: &str, name: &str, version: &str, build_id: &str, rows: &[Row], skipped: &[&str]) {
    let Ok(verdict) = examine_file(Path::new(path), &KERNEL) else {
        println!("skipped: {path} is not installed");
        return;
    };
    let Verdict::Allocator(allocator) = verdict else { panic!("{path} is an allocator, not {verdict:?}") };
    assert_eq!((allocator.name.as_str(), allocator.path.as_str()), (name, path));
    assert!(allocator.probes.iter().all(|probe| !probe.point.stepped), "every function has a cheap point: {allocator:#?}");
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
    assert_eq!(found, expected);
    assert_eq!(allocator.skipped.iter().map(|(symbol, _)| symbol.as_str()).collect::<Vec<_>>(), skipped);
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
    library("/usr/lib/x86_64-linux-gnu/libc.so.6", "glibc", "2.36", build, &rows, &["aligned_alloc", "reallocarray"]);
}

#[test]
fn jemalloc() {
    let rows: [Row; 8] = [
        ("malloc", 7, &[7]),
        ("free", 48, &[7]),
        ("calloc", 0, &[7, 6]),
        ("realloc", 0, &[7, 6]),
        ("memalign", 0, &[7, 6]),
        ("aligned_alloc", 0, &[7, 6]),
        ("posix_memalign", 0, &[7, 6, 2]),
        ("valloc", 0, &[7]),
    ];
    library("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "jemalloc", "5.3.0", "1d5163c246dc9cd2b4d339f2ac42efd95c6e0ae1", &rows, &[]);
}

#[test]
fn mimalloc() {
    let rows: [Row; 9] = [
        ("malloc", 21, &[6]),
        ("free", 6, &[7]),
        ("calloc", 18, &[0, 6]),
        ("realloc", 20, &[6, 2]),
        ("memalign", 0, &[7, 6]),
        ("aligned_alloc", 0, &[7, 6]),
        ("posix_memalign", 0, &[7, 6, 2]),
        ("valloc", 0, &[7]),
        ("pvalloc", 0, &[7]),
    ];
    let build = "d07f4e7dc9a039fcbe7747f416476bd65cb48e8b";
    library("/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0", "mimalloc", "2.0.9", build, &rows, &["reallocarray"]);
}

#[test]
fn tcmalloc() {
    let rows: [Row; 8] = [
        ("malloc", 10, &[7]),
        ("free", 10, &[7]),
        ("calloc", 0, &[7, 6]),
        ("realloc", 0, &[7, 6]),
        ("memalign", 10, &[7, 6]),
        ("posix_memalign", 11, &[7, 6, 2]),
        ("valloc", 0, &[7]),
        ("pvalloc", 0, &[7]),
    ];
    let build = "39dfd4a5855703fa6c2469749282f75b18a1aa66";
    library("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", "tcmalloc", "2.10", build, &rows, &["aligned_alloc"]);
}

#[test]
fn the_loader_is_none() {
    match examine_file(Path::new("/lib64/ld-linux-x86-64.so.2"), &KERNEL) {
        Ok(verdict) => assert_eq!(verdict, Verdict::Nothing),
        Err(_) => println!("skipped: there is no loader"),
    }
    assert!(is_loader("ld-linux-x86-64.so.2") && !is_loader("libc.so.6") && !is_loader("libc.musl-x86_64.so.1"));
}

#[test]
fn a_small_library() {
    let bytes = sample::library();
    let Verdict::Allocator(allocator) = examine(&bytes[..], "/opt/libsample.so.1", &KERNEL) else { panic!("it defines malloc and free") };
    assert_eq!((allocator.name.as_str(), allocator.version.as_deref()), ("jemalloc", Some("1.2.3")));
    let points: Vec<(&str, u64)> = allocator.probes.iter().map(|probe| (probe.symbol.as_str(), probe.point.file_offset)).collect();
    // Behind the landing mark, at the branch; aligned_alloc jumps through a stub to memalign.
    assert_eq!(points, [("malloc", 0x104), ("free", 0x113)]);
    assert_eq!(allocator.skipped.len(), 1);
    assert!(allocator.skipped[0].0 == "aligned_alloc" && allocator.skipped[0].1.contains("a jump to memalign"), "{:?}", allocator.skipped);
    assert_eq!(allocator.probes[0].cookie(), Cookie::new(Kind::Malloc, [Some(7), None, None]));
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
    let Verdict::Allocator(allocator) = examine(&bytes[..], "/usr/bin/store", &KERNEL) else { panic!("je_malloc and je_free are there") };
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
        if let Verdict::Allocator(allocator) = examine(&bytes[..], "damaged", &KERNEL) {
            prop_assert!(allocator.probes.iter().all(|probe| probe.symbol.len() < 64));
        }
        if let Ok(elf) = Elf::parse(&bytes[..]) {
            elf.build_id();
            elf.for_each_function(elf::Table::Local, |_, symbol| { elf.code(symbol); });
        }
    }
}
