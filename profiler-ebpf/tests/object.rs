//! The stored object contains what the wire says it contains: the two are used together, and are stored apart.

use std::{collections::BTreeMap, fs, path::PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use profiler_ebpf as wire;

fn stored(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("object").join(name)).expect("the object is stored in the repository")
}

/// Names of the symbols in a section whose name begins so, with their bytes.
fn symbols(section: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = stored("heapcast.bpf.o");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let of_interest = file.symbols().filter(|symbol| matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Text));
    of_interest
        .filter_map(|symbol| {
            let home = file.section_by_index(symbol.section_index()?).ok()?;
            if !home.name().ok()?.starts_with(section) {
                return None;
            }
            let (start, len) = (symbol.address() as usize, symbol.size() as usize);
            Some((symbol.name().ok()?.to_owned(), home.data().ok()?.get(start..start + len)?.to_vec()))
        })
        .collect()
}

#[test]
fn every_program_is_there_and_no_other() {
    let mut expected: Vec<&str> = wire::TRACEPOINTS.iter().map(|tracepoint| tracepoint.name).collect();
    expected.sort_unstable();
    assert_eq!(symbols("tracepoint").into_keys().collect::<Vec<_>>(), expected);
    for name in wire::RAW_TRACEPOINTS {
        assert!(symbols(&format!("raw_tp/{name}")).contains_key(*name), "{name}");
    }
    let copies =
        |name: &str, range: std::ops::Range<u32>| range.clone().map(move |n| format!("{name}_{}", n - range.start)).collect::<Vec<_>>();
    let mut heap = [copies(wire::HEAP_ENTER, wire::HEAP_ENTER_COPIES), copies(wire::HEAP_FREE, wire::HEAP_FREE_COPIES)].concat();
    heap.extend([wire::HEAP_ENTER, wire::HEAP_FREE].map(str::to_owned));
    heap.sort_unstable();
    assert_eq!(symbols("uprobe").into_keys().collect::<Vec<_>>(), heap);
    assert_eq!(symbols("uretprobe").into_keys().collect::<Vec<_>>(), [wire::HEAP_RETURN]);
}

#[test]
fn every_map_is_there() {
    let maps = symbols("maps");
    for name in [
        wire::EVENTS,
        wire::COUNTS,
        wire::TARGETS,
        wire::PENDING,
        wire::CALLS,
        wire::SEEDS,
        wire::WINDOW,
        wire::SEEN,
        wire::STOPS,
        wire::COOKIES,
    ] {
        assert!(maps.contains_key(name), "{name}");
    }
}

#[test]
fn every_global_is_there_with_its_default() {
    let globals = symbols(".rodata");
    let value = |name: &str| globals.get(name).unwrap_or_else(|| panic!("no global {name}")).clone();
    for field in wire::FIELDS {
        assert_eq!(value(field.global), field.default.to_le_bytes(), "{}", field.global);
    }
    assert_eq!(value(wire::WIRE), wire::WIRE_VERSION.to_le_bytes());
    assert_eq!(value(wire::NEVER), 0u32.to_le_bytes());
    assert_eq!(value(wire::MACHINE), wire::machine::X86_64.to_le_bytes());
    assert_eq!(value(wire::STOP), 0u32.to_le_bytes());
    assert_eq!(value(wire::CGROUP), 0u64.to_le_bytes());
    assert_eq!(value(wire::SPIN_ROUNDS), 0u32.to_le_bytes());
    assert_eq!([value(wire::WAIT_ABOVE), value(wire::STOP_ABOVE)], [0u64.to_le_bytes(); 2]);
    assert_eq!(value(wire::STACKS), 0u32.to_le_bytes());
    assert_eq!(value(wire::RSS_STEP), wire::DEFAULT_RSS_STEP.to_le_bytes());
    assert_eq!(value(wire::THREAD_SLOTS), wire::DEFAULT_THREAD_SLOTS.to_le_bytes());
}

#[test]
fn no_path_of_the_machine_that_built_it() {
    let bytes = stored("heapcast.bpf.o");
    for path in [b"/home/".as_slice(), b"/root/", b"/tmp/", b"/usr/"] {
        assert!(!bytes.windows(path.len()).any(|window| window == path), "{}", String::from_utf8_lossy(path));
    }
}
