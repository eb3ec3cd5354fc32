//! Ways through a function: what it calls and jumps to, always or ever.

use std::collections::HashSet;

use super::probe::{Machine, Native};

/// A direct call or jump, or one through a variable that the loader fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// To code at this (wrapping) distance from the function's start.
    To(u64),
    /// To where the variable at this distance points.
    Through(u64),
}

/// What an instruction does to the way through a function. A transfer is `None` where it is not known to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The next instruction follows.
    Next,
    /// It follows after a call.
    Call(Option<Transfer>),
    /// It follows, or not.
    Branch(Transfer),
    /// It does not.
    Jump(Option<Transfer>),
    /// The function ends, or what happens is not known.
    Return,
    /// The program ends.
    Trap,
}

impl Turn {
    fn transfer(self) -> Option<Transfer> {
        match self {
            Turn::Call(transfer) | Turn::Jump(transfer) => transfer,
            Turn::Branch(transfer) => Some(transfer),
            Turn::Next | Turn::Return | Turn::Trap => None,
        }
    }
}

/// Whether every way through the function, from its start to a return, makes a transfer that `arrives` accepts.
/// Code that cannot be followed (a jump by table) counts as a way that does not.
pub fn always(code: &[u8], mut arrives: impl FnMut(Transfer) -> bool) -> bool {
    let (mut seen, mut starts, mut arrived) = (HashSet::new(), vec![0], false);
    while let Some(start) = starts.pop() {
        for (at, turn) in Native::turns(code, start) {
            if !seen.insert(at) || turn == Turn::Trap {
                break;
            }
            let accepted = turn.transfer().is_some_and(&mut arrives);
            arrived |= accepted;
            match turn {
                Turn::Call(_) | Turn::Jump(_) if accepted => break,
                Turn::Next | Turn::Call(_) => {}
                Turn::Branch(_) if accepted => {}
                Turn::Branch(Transfer::To(target)) if target < code.len() as u64 => starts.push(target),
                Turn::Jump(Some(Transfer::To(target))) if target < code.len() as u64 => {
                    starts.push(target);
                    break;
                }
                _ => return false,
            }
        }
    }
    arrived
}

/// The transfers that the function makes on any way through it.
pub fn ever(code: &[u8]) -> impl Iterator<Item = Transfer> {
    Native::turns(code, 0).filter_map(|(_, turn)| turn.transfer())
}

/// The jump with which a function ends whose code has no branch: it passes on what it was given.
pub fn passes_to(code: &[u8]) -> Option<Transfer> {
    match Native::turns(code, 0).map(|(_, turn)| turn).find(|turn| *turn != Turn::Next)? {
        Turn::Jump(transfer) => transfer,
        _ => None,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.as_chunks::<2>().0.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    const TARGET: Transfer = Transfer::To(0x1000);

    fn arrives(hex: &str) -> bool {
        always(&code(hex), |transfer| transfer == TARGET)
    }

    #[test]
    fn a_call_on_the_only_way() {
        // push rbx; call +0x1000; test rax, rax; je +1; nop; pop rbx; ret
        assert!(arrives("53 e8fa0f0000 4885c0 7401 90 5b c3"));
        // jmp +0x1000
        assert!(arrives("e9fb0f0000"));
        assert!(!arrives("c3") && !arrives("53 e8fb0f0000 c3"), "no call, or one to somewhere else");
    }

    #[test]
    fn a_way_around_the_call() {
        // test rdi, rdi; je +6 (ret); call +0x1000; ret; ret
        assert!(!arrives("4885ff 7406 e8f60f0000 c3 c3"));
        // The same, but the other way jumps to the target, too: je +6; call; ret; jmp
        assert!(arrives("4885ff 7406 e8f60f0000 c3 e9f00f0000"));
        // jmp rax: nobody knows where to.
        assert!(!arrives("4885ff 7406 e8f60f0000 c3 ffe0"));
        // ja out of the function
        assert!(!arrives("0f87fa1f0000 e8f50f0000 c3"));
        // ud2 ends the program
        assert!(arrives("4885ff 7406 e8f60f0000 c3 0f0b"));
    }

    #[test]
    fn loops_end() {
        // jmp self; a loop around a call; a loop that never calls
        assert!(!arrives("ebfe"));
        assert!(arrives("e8fb0f0000 ebf9"));
        assert!(!arrives("4885ff 75fb c3"));
    }

    #[test]
    fn transfers_through_variables() {
        // call *[rip+0x10]; jmp *[rip+0x20]
        let both = code("ff1510000000 ff2520000000");
        assert_eq!(ever(&both).collect::<Vec<_>>(), [Transfer::Through(0x16), Transfer::Through(0x2c)]);
        assert!(always(&both, |transfer| transfer == Transfer::Through(0x16)));
        assert!(always(&both[6..], |transfer| transfer == Transfer::Through(0x26)));
    }

    #[test]
    fn what_passes_on() {
        // mov rax, rdi; mov rdi, rsi; mov rsi, rax; jmp
        assert_eq!(passes_to(&code("4889f8 4889f7 4889c6 e9f20f0000")), Some(TARGET));
        assert_eq!(passes_to(&code("ff2510000000")), Some(Transfer::Through(0x16)));
        assert_eq!((passes_to(&code("7400 e9f20f0000")), passes_to(&code("ffe0")), passes_to(&code("c3"))), (None, None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            always(&bytes, |_| false);
            let somewhere = always(&bytes, |_| true);
            prop_assert!(!somewhere || ever(&bytes).count() > 0 || bytes.is_empty());
            passes_to(&bytes);
        }
    }
}
