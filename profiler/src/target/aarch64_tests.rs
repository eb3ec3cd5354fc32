use super::*;
use crate::target::probe::{ProbePoint, search};

const OLD: Kernel = Kernel { major: 6, minor: 12 };
const NEW: Kernel = Kernel { major: 6, minor: 13 };

/// The code of words in hexadecimal, as a disassembler shows them.
fn code(words: &str) -> Vec<u8> {
    words.split_whitespace().flat_map(|word| u32::from_str_radix(word, 16).expect("a word").to_le_bytes()).collect()
}

/// The positions of arguments, of which a test takes the first ones.
const FIRST: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];

fn find(words: &str, arguments: usize) -> ProbePoint {
    search::<Aarch64>(&code(words), 0x4000, &FIRST[..arguments], &OLD).expect(words)
}

/// Offset, registers and whether stepped.
fn point(words: &str, arguments: usize) -> (u64, [Option<u8>; 3], bool) {
    let found = find(words, arguments);
    (found.offset_in_function, found.registers, found.stepped)
}

#[test]
fn the_allocators_of_debian() {
    let rows = include_str!("aarch64_code.txt").lines().filter(|line| line.contains('|'));
    let mut seen = 0;
    for row in rows {
        let [head, words, _] = row.split(" | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
        let [_, arguments, offset, how] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let arguments: usize = arguments.parse().expect(row);
        let found = find(words, arguments);
        assert_eq!((found.offset_in_function, found.stepped), (offset.parse().expect(row), how == "stepped"), "{row}");
        let expected: Vec<Option<u8>> = (0..3).map(|index| (usize::from(index) < arguments).then_some(index)).collect();
        assert_eq!(found.registers[..], expected, "{row}");
        seen += 1;
    }
    assert_eq!(seen, 53);
}

#[test]
fn what_the_kernel_simulates_steps_and_refuses() {
    let emulated = [
        "14000010", "94000010", "54000041", "b4000040", "35000040", "36000040", "b7f80040", "10000080", "f0000401", "d61f0200", "d63f0000",
        "d65f03c0",
    ];
    // stp, mov, ldr, add, bti c, paciasp, dmb ish, a vector move
    let stepped = ["a9bc7bfd", "aa0003e3", "f9467021", "91001c01", "d503245f", "d503233f", "d5033bbf", "4ea01c00"];
    // svc, brk, mrs, msr, autiasp, wfi, ldr literal, ldrsw literal, prfm literal, ldxr, stlr, retaa, bc.eq, udf
    let refused = [
        "d4000001", "d4200000", "d53bd042", "d51bd042", "d50323bf", "d503207f", "58000040", "98000040", "d8000040", "c85f7c20", "c89ffc20",
        "d65f0bff", "54000050", "00000000",
    ];
    let how = |word: &str, kernel| handling(u32::from_str_radix(word, 16).expect("a word"), &kernel);
    emulated.iter().for_each(|word| assert_eq!(how(word, OLD), Handling::Emulated, "{word}"));
    stepped.iter().for_each(|word| assert_eq!(how(word, NEW), Handling::Stepped, "{word}"));
    refused.iter().for_each(|word| assert!(matches!(how(word, NEW), Handling::Refused(_)), "{word}"));
    assert_eq!((how("d503201f", OLD), how("d503201f", NEW)), (Handling::Stepped, Handling::Emulated));
}

#[test]
fn an_argument_is_followed_into_a_copy() {
    // mov x3, x0; ldr x0, [x1]; cbz x0
    assert_eq!(point("aa0003e3 f9400020 b4000040", 1), (8, [Some(3), None, None], false));
    // mov x2, x1; mov x1, x0; ldr x0, [x4, x3]; b
    assert_eq!(point("aa0103e2 aa0003e1 f8636880 17ffd332", 2), (12, [Some(1), Some(2), None], false));
    // mov w3, w0 clears the upper half; mov x0, #1; cbz x3
    assert_eq!(point("2a0003e3 d2800020 b4000043", 1), (0, [Some(0), None, None], true));
}

#[test]
fn a_clobbered_argument_sends_the_probe_to_the_entry() {
    let clobbers = [
        "d2800000", // mov x0, #0
        "91002000", // add x0, x0, #8
        "9b017c00", // mul x0, x0, x1
        "f9400020", // ldr x0, [x1]
        "a9400020", // ldp x0, x0, [x1]
        "a9400402", // ldp x2, x1, [x0] is harmless alone: x0 stays
        "f8408c02", // ldr x2, [x0, #8]!
        "f8408402", // ldr x2, [x0], #8
        "d53bd040", // mrs x0, tpidr_el0
        "9e660000", // fmov x0, d0
    ];
    for word in clobbers {
        let stays = word == "a9400402";
        // add x3, x0, #7; the clobber; cbz x3
        let found = find(&format!("91001c03 {word} b4000043"), 1);
        assert_eq!(found.offset_in_function, if stays { 8 } else { 0 }, "{word}");
    }
    // A load of a pair takes its second register as well; a conditional compare takes none, whatever its lowest bits say.
    assert_eq!(point("a9400402 b4000043", 2).0, 0);
    assert_eq!(point("fa400820 b4000043", 1), (4, [Some(0), None, None], false));
}

#[test]
fn the_return_address_must_be_in_its_register() {
    let moved = [
        "a9bf7bfd", // stp x29, x30, [sp, #-16]!
        "a9017bfd", // stp x29, x30, [sp, #16]
        "f90007fe", // str x30, [sp, #8]
        "f81f0ffe", // str x30, [sp, #-16]!
        "aa1e03e9", // mov x9, x30
        "d503233f", // paciasp
        "d10043ff", // sub sp, sp, #16
        "910003df", // mov sp, x30
        "f8410fe2", // ldr x2, [sp, #16]!
        "dac103fe", // pacia x30, sp
    ];
    for word in moved {
        assert_eq!(point(&format!("{word} b4000043"), 1), (0, [Some(0), None, None], true), "{word}");
    }
    // What only looks like it: mov x3, #0x1e0; adrp with 30 among its bits; str x29, [sp, #8]
    for word in ["d2803c03", "900003c3", "f90007fd"] {
        assert!(!find(&format!("{word} b4000043"), 1).stepped, "{word}");
    }
}

#[test]
fn only_what_is_understood_is_passed_over() {
    // rdvl x0, #1, of the scalable vectors: nothing behind it is trusted, and it can be stepped.
    assert_eq!(point("04bf5020 b4000043", 1), (0, [Some(0), None, None], true));
    // cpyfp, the first of three that must not be torn apart
    let refused = search::<Aarch64>(&code("19010440 b4000043"), 0, &FIRST[..1], &OLD).unwrap_err();
    assert!(refused.contains("a part of a copy"), "{refused}");
    for word in ["04bf5020", "19010440"] {
        assert_eq!(point(&format!("91001c03 {word} b4000043"), 1), (0, [Some(0), None, None], true), "{word}");
    }
    // br x16; cbz: the second belongs to something else, and the first does as a point itself.
    assert_eq!(point("d61f0200 b4000043", 1).0, 0);
    // A refused entry, nothing else: mrs; ret comes after an exception
    let refused = search::<Aarch64>(&code("d53bd042 d4200000 d65f03c0"), 0, &FIRST[..1], &OLD).unwrap_err();
    assert!(refused.contains("a system register"), "{refused}");
    assert!(search::<Aarch64>(&[], 0, &FIRST[..1], &OLD).unwrap_err().contains("no code"));
}

#[test]
fn a_branch_into_the_block_would_count_twice() {
    // +0 ldr x3, [x0]; +4 cbz x3; +8 a jump back to +4, to +0
    assert_eq!(point("f9400003 b4000043 17ffffff", 1), (0, [Some(0), None, None], true));
    let found = find("f9400003 b4000043 17fffffe", 1);
    assert_eq!((found.offset_in_function, found.stepped), (4, false));
    assert!(found.reason.contains("returns to the entry"), "{}", found.reason);
    // A call is no branch: bl to +4
    assert_eq!(point("f9400003 b4000043 97ffffff", 1).0, 4);
}

#[test]
fn jumps_and_stubs() {
    assert_eq!(Aarch64::forwards_to(&code("17ffd653")), Some(0u64.wrapping_add_signed(-0xa6b4)));
    assert_eq!(Aarch64::forwards_to(&code("d503245f 14000004")), Some(20));
    assert_eq!(
        (Aarch64::forwards_to(&code("d61f0200")), Aarch64::forwards_to(&code("94000004")), Aarch64::forwards_to(&[])),
        (None, None, None)
    );
    // The stub of mi_memalign in libmimalloc.so.2.0 (libmimalloc2.0 2.0.9+ds-2)
    assert_eq!(Aarch64::stub_slot(&code("d0000150 f946fe11 9137e210 d61f0220"), 0x56c0), Some(0x2fdf8));
    assert_eq!(Aarch64::stub_slot(&code("d503245f d0000150 f946fe11"), 0x56bc), Some(0x2fdf8));
    assert_eq!(Aarch64::stub_slot(&code("d61f0200"), 0), None);
    assert_eq!(Aarch64::returned_constant(&code("52801a20 d65f03c0")), Some(209));
    assert_eq!((Aarch64::returned_constant(&code("52801a21 d65f03c0")), Aarch64::returned_constant(&code("52801a20"))), (None, None));
    assert_eq!(Aarch64::jumps(&code("36000042 94000001 d65f03c0")).map(|jump| jump.target).collect::<Vec<_>>(), [8, 8]);
}

proptest::proptest! {
    #[test]
    fn any_words_give_an_answer(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), arguments in 0usize..5) {
        if let Ok(found) = search::<Aarch64>(&bytes, u64::MAX - 4, &FIRST[..arguments], &NEW) {
            proptest::prop_assert!((found.offset_in_function as usize) < bytes.len());
            proptest::prop_assert_eq!(found.registers.iter().flatten().count(), arguments);
            proptest::prop_assert!(!found.stepped || found.offset_in_function == 0);
        }
        Aarch64::forwards_to(&bytes);
        Aarch64::stub_slot(&bytes, u64::MAX);
        Aarch64::returned_constant(&bytes);
        Aarch64::jumps(&bytes).count();
    }
}
