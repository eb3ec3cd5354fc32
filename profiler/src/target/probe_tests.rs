use super::*;
use proptest::prelude::*;

const OLD: Kernel = Kernel { major: 6, minor: 1 };
const NEW: Kernel = Kernel { major: 6, minor: 18 };

/// The code of hexadecimal digits; blanks are left out, so that each group can be one instruction.
fn code(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.as_chunks::<2>().0.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The positions of arguments, of which a test takes the first ones.
const FIRST: [usize; 7] = [0, 1, 2, 3, 4, 5, 6];

/// Offset, registers and whether stepped.
fn point(hex: &str, arguments: usize, kernel: Kernel) -> (u64, [Option<u8>; 3], bool) {
    let found = find(&code(hex), 0x4000, &FIRST[..arguments], &kernel).unwrap();
    assert_eq!(found.file_offset, 0x4000 + found.offset_in_function);
    assert!(!found.reason.is_empty());
    (found.offset_in_function, found.registers, found.stepped)
}

const RDI: Option<u8> = Some(7);
const RSI: Option<u8> = Some(6);
const RDX: Option<u8> = Some(2);

#[test]
fn a_push_at_the_entry() {
    // push r12; push rbp; mov rbx, rdi; ret
    assert_eq!(point("4154 55 4889fb c3", 1, OLD), (0, [RDI, None, None], false));
    assert_eq!(point("4154 55 4889fb c3", 3, OLD), (0, [RDI, RSI, RDX], false));
    assert_eq!(point("4154 55 4889fb c3", 0, OLD), (0, [None; 3], false));
}

#[test]
fn a_landing_mark_is_passed_over() {
    // endbr64; push rbp; ret
    assert_eq!(point("f30f1efa 55 c3", 2, OLD), (4, [RDI, RSI, None], false));
    // endbr64; test rdi, rdi; je +1; nop; ret
    assert_eq!(point("f30f1efa 4885ff 7401 90 c3", 1, OLD), (7, [RDI, None, None], false));
}

#[test]
fn an_argument_is_followed_into_a_copy() {
    // mov rsi, rdi; mov rdi, fs:[rax]; cmp rsi, 0x400; ja: the size is in rsi
    assert_eq!(point("4889fe 64488b38 4881fe00040000 7729 c3", 1, OLD), (14, [RSI, None, None], false));
    // mov rax, rdi; mov rdi, fs:[rdx]; cmp rax, 1; je: the count is in rax
    assert_eq!(point("4889f8 64488b3a 4883f801 7408 c3", 2, OLD), (11, [Some(0), RSI, None], false));
    // mov rdx, rsi; mov rsi, rdi; mov rdi, rax; jmp: two arguments moved along
    assert_eq!(point("4889f2 4889fe 4889c7 e9f74effff", 2, OLD), (9, [RSI, RDX, None], false));
    // mov r8, rdi; xor edi, edi; je
    assert_eq!(point("4989f8 31ff 7401 90 c3", 1, OLD), (5, [Some(8), None, None], false));
}

#[test]
fn a_clobbered_argument_sends_the_probe_to_the_entry() {
    let clobbers = [
        // mov rdi, [rip+0]; je
        "488b3d00000000 7401 90 c3",
        // mov eax, edi is no copy; xor edi, edi; je
        "89f8 31ff 7401 90 c3",
        // mov edi, edi clears the upper half; je
        "89ff 7401 90 c3",
        // mov dil, 1; je
        "40b701 7401 90 c3",
        // cmovne rdi, rsi; je
        "480f45fe 7401 90 c3",
        // xchg rdi, rax; je
        "4897 7401 90 c3",
        // lea rdi, [rdi+8]; je
        "488d7f08 7401 90 c3",
    ];
    for hex in clobbers {
        assert_eq!(point(hex, 1, OLD), (0, [RDI, None, None], true), "{hex}");
    }
    // The other arguments are not concerned: with none needed from rdi the jump is fine.
    assert_eq!(point("89f8 7401 90 c3", 1, OLD), (2, [RDI, None, None], false));
    // mul writes rax and rdx: the third argument is gone.
    assert_eq!(point("48f7e6 7401 90 c3", 2, OLD), (3, [RDI, RSI, None], false));
    assert_eq!(point("48f7e6 7401 90 c3", 3, OLD), (0, [RDI, RSI, RDX], true));
}

#[test]
fn the_stack_pointer_must_be_as_at_the_entry() {
    // sub rsp, 24; test rdi, rdi; je
    assert_eq!(point("4883ec18 4885ff 7401 90 c3", 1, OLD), (0, [RDI, None, None], true));
    // push imm8 is not emulated and moves the stack; je
    assert_eq!(point("6a01 7401 90 c3", 1, OLD), (0, [RDI, None, None], true));
}

#[test]
fn only_the_first_block_is_searched() {
    // test rdi, rdi; jmp rax; push rbp
    assert_eq!(point("4885ff ffe0 55 c3", 1, OLD), (0, [RDI, None, None], true));
    // mov eax, 1; ret; push rbp: the push belongs to something else
    assert_eq!(point("b801000000 c3 55", 1, OLD), (0, [RDI, None, None], true));
}

#[test]
fn a_branch_into_the_block_would_count_twice() {
    // +0 mov rax, [rdi]; +3 test rax, rax; +6 je +0; then a jump back to +3, +6, +0
    for (back, expected) in [("ebf9", (0, true)), ("ebfc", (0, true)), ("ebf6", (6, false))] {
        let found = point(&format!("488b07 4885c0 7402 {back} c3"), 1, OLD);
        assert_eq!((found.0, found.2), expected, "{back}");
    }
    let found = find(&code("488b07 4885c0 7402 ebfc c3"), 0, &FIRST[..1], &OLD).unwrap();
    assert!(found.reason.contains("a branch returns to +6"), "{}", found.reason);
    // A return to the entry itself is said: each turn counts as a call.
    let found = find(&code("488b07 4885c0 7402 ebf6 c3"), 0, &FIRST[..1], &OLD).unwrap();
    assert!(found.reason.contains("returns to the entry"), "{}", found.reason);
}

#[test]
fn long_nops_on_kernels_that_know_them() {
    // nop dword [rax+rax]; push rbp
    assert_eq!(point("0f1f440000 55 c3", 1, OLD), (5, [RDI, None, None], false));
    assert_eq!(point("0f1f440000 55 c3", 1, NEW), (0, [RDI, None, None], false));
}

#[test]
fn refused_instructions_are_never_chosen() {
    // cs nop; push rbp: the push is fine
    assert_eq!(point("2e0f1f4000 55 c3", 1, NEW), (5, [RDI, None, None], false));
    // cs nop; ret: nothing is
    let refused = find(&code("2e0f1f4000 c3"), 0, &FIRST[..1], &NEW).unwrap_err();
    assert!(refused.contains("a segment prefix"), "{refused}");
    assert!(find(&[], 0, &FIRST[..1], &NEW).unwrap_err().contains("no code"));
    assert!(find(&code("06"), 0, &FIRST[..1], &NEW).is_err(), "not an instruction of 64-bit code");
    assert!(find(&code("90"), 0, &FIRST[..4], &NEW).is_err(), "no more than three arguments");
}

#[test]
fn jumps_and_stubs() {
    assert_eq!(forwards_to(&code("e90b000000")), Some(0x10));
    assert_eq!(forwards_to(&code("f30f1efa e90b000000")), Some(0x14));
    assert_eq!(forwards_to(&code("ebfe")), Some(0));
    assert_eq!((forwards_to(&code("ffe0")), forwards_to(&code("55 e90b000000")), forwards_to(&[])), (None, None, None));
    assert_eq!(stub_slot(&code("ff254a020000"), 0), Some(0x250));
    assert_eq!(stub_slot(&code("f30f1efa f2ff2545020000"), 0), Some(0x250));
    assert_eq!((stub_slot(&code("ffe0"), 0), stub_slot(&code("e90b000000"), 0)), (None, None));
    assert_eq!(returned_constant(&code("b8d1000000 c3")), Some(209));
    assert_eq!((returned_constant(&code("31c0 c3")), returned_constant(&code("b8d1000000 90"))), (None, None));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..80), arguments in 0usize..5, minor in 0u32..30) {
        let kernel = Kernel { major: 6, minor };
        if let Ok(found) = find(&bytes, u64::MAX - 4, &FIRST[..arguments], &kernel) {
            prop_assert!((found.offset_in_function as usize) < bytes.len());
            prop_assert_eq!(found.registers.iter().flatten().count(), arguments);
            prop_assert!(!found.stepped || found.offset_in_function == 0);
        }
        forwards_to(&bytes);
        stub_slot(&bytes, 0);
        returned_constant(&bytes);
    }
}
