use super::super::sample::{self, BASE};
use super::*;

#[test]
fn a_library_is_read() {
    let bytes = sample::library();
    let elf = Elf::parse(&bytes[..]).unwrap();
    assert_eq!(elf.soname().as_deref(), Some("libsample.so.1"));
    assert_eq!(elf.build_id().as_deref(), Some("deadbeef"));
    assert!(!elf.is_program() && !elf.is_static() && !elf.is_go());
    assert_eq!(elf.section(".rodata")[1..6], *b"1.2.3");
    assert!(elf.section(".data").is_empty());
}

#[test]
fn functions_have_names_and_imports_have_slots() {
    let bytes = sample::library();
    let elf = Elf::parse(&bytes[..]).unwrap();
    let mut names = Vec::new();
    elf.for_each_function(Table::Dynamic, |name, _| names.push(name.to_vec()));
    assert_eq!(names, [&b"malloc"[..], b"free", b"aligned_alloc", b"mallctl"]);
    assert!(!elf.has_symbol_table());
    assert_eq!(elf.points_to(BASE + 0x380), Some(Pointee::Import(b"memalign")));
    // Without a relocation it is what stands there.
    assert_eq!(elf.points_to(BASE + 0x38), Some(Pointee::Own(u64::from_le_bytes(bytes[0x38..0x40].try_into().unwrap()))));
    assert_eq!(elf.points_to(0), None);
}

#[test]
fn addresses_become_offsets() {
    let bytes = sample::library();
    let elf = Elf::parse(&bytes[..]).unwrap();
    assert_eq!(elf.file_offset(BASE + 0x100), Some(0x100));
    assert_eq!((elf.file_offset(BASE - 1), elf.file_offset(BASE + 0x380), elf.file_offset(u64::MAX)), (None, None, None));
    assert_eq!(elf.code(Symbol { address: BASE + 0x110, size: 7 }), &bytes[0x110..0x117]);
    assert_eq!(elf.code(Symbol { address: BASE + 0x110, size: 0 }), &bytes[0x110..0x210]);
    // A size beyond the segment is cut, an address outside gives nothing.
    assert_eq!(elf.code(Symbol { address: BASE + 0x370, size: u64::MAX }).len(), 0x10);
    assert!(elf.code(Symbol { address: 0, size: 7 }).is_empty());
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let reason = |bytes: &[u8]| Elf::parse(bytes).err().expect("refused").message;
    assert_eq!(reason(b"#!/bin/sh\necho a script is not a program\n"), "not an ELF file");
    assert_eq!(reason(b""), "not an ELF file");
    let mut bytes = sample::library();
    bytes[18] = 183;
    assert!(reason(&bytes).contains("e_machine 183"), "{}", reason(&bytes));
    bytes[4] = 1;
    assert!(reason(&bytes).contains("32-bit"), "{}", reason(&bytes));
}

#[test]
fn sections_are_not_needed() {
    let mut bytes = sample::library();
    bytes[0x28..0x30].fill(0);
    let elf = Elf::parse(&bytes[..]).unwrap();
    assert_eq!((elf.functions(Table::Dynamic).count(), elf.soname(), elf.file_offset(BASE + 4)), (0, None, Some(4)));
    assert_eq!(elf.build_id().as_deref(), Some("deadbeef"), "notes stand in a segment");
}

#[test]
fn this_test_program() {
    let source = open(&std::env::current_exe().unwrap()).unwrap();
    let elf = Elf::parse(&source).unwrap();
    assert!(elf.is_program() && !elf.is_go());
    let mut count = 0;
    elf.for_each_function(Table::Local, |_, _| count += 1);
    assert!(count > 100);
    assert!(open(Path::new("/no/such/file")).is_err());
}
