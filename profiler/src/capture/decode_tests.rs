use super::*;
use crate::event::origin::Frame;
use proptest::prelude::*;

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn launched() -> Decoder {
    let mut decoder = Decoder::new(1000);
    decoder.tasks.launcher(7);
    let exec = bytes(&[wire::head(Kind::Exec, 1500), wire::place(7, 0), wire::extent(7, 7)]);
    decoder.decode(&exec, &mut Vec::new());
    decoder
}

#[test]
fn a_malloc_and_a_realloc() {
    let (mut decoder, mut events) = (launched(), Vec::new());
    let malloc = [wire::head(Kind::Malloc, 2000), wire::place(0x5000, 0), wire::extent(100, 7), 0x400];
    let realloc = [wire::head(Kind::Realloc, 2500), wire::place(0x6000, 0), wire::extent(200, 7), 0x5000, 0x500, 0];
    assert_eq!(decoder.decode(&bytes(&malloc), &mut events), None);
    assert_eq!(decoder.decode(&bytes(&realloc), &mut events), None);
    let alloc = |time, call, ptr, size, old, site| Event {
        time: Nanos(time),
        process: 0,
        tid: 7,
        in_heap: false,
        what: What::Alloc { call, ptr: Addr(ptr), size: Bytes(size), old: Addr(old), align: 0, site },
    };
    assert_eq!(events, [alloc(1000, Call::Malloc, 0x5000, 100, 0, 1), alloc(1500, Call::Realloc, 0x6000, 200, 0x5000, 2)]);
    let caller = |addr| Frame { process: 0, parent: 0, addr };
    assert_eq!(decoder.stacks.take_fresh(), [caller(0x400), caller(0x500)]);
}

#[test]
fn what_a_program_tells_its_allocator_keeps_its_sign() {
    let (mut decoder, mut events) = (launched(), Vec::new());
    let parameter = (-3i32).cast_unsigned().into();
    decoder.decode(&bytes(&[wire::head(Kind::Mallopt, 2000), wire::place(parameter, 0), wire::extent(64 << 10, 7)]), &mut events);
    decoder.decode(&bytes(&[wire::head(Kind::Trim, 2500), wire::place(1, 0), wire::extent(5, 7)]), &mut events);
    let whats: Vec<What> = events.iter().map(|event| event.what).collect();
    assert_eq!(whats, [What::Configure { parameter: -3, value: 64 << 10 }, What::Trim { pad: Bytes(5) }]);
}

#[test]
fn a_failed_mmap_carries_its_error() {
    let (mut decoder, mut events) = (launched(), Vec::new());
    let record = [
        wire::head(Kind::Mmap, 2000),
        wire::place(0, wire::IN_HEAP),
        wire::extent(wire::mmap_bits(0x22, 3, true), 7),
        -19i64 as u64,
        4096,
        0,
    ];
    decoder.decode(&bytes(&record), &mut events);
    assert!(events[0].in_heap);
    let expected = What::Mmap { hint: Addr(0), len: Bytes(4096), prot: 3, flags: 0x22, file: true, result: Err(19) };
    assert_eq!(events[0].what, expected);
}

#[test]
fn forks_and_ends_are_followed() {
    let (mut decoder, mut events) = (launched(), Vec::new());
    let fork = [wire::head(Kind::Clone, 2000), wire::place(8, 0), wire::extent(0x0120_0000, 7)];
    let end = [wire::head(Kind::Exit, 2100), wire::place(8, 0), wire::extent(0, 8)];
    decoder.decode(&bytes(&fork), &mut events);
    let signal = decoder.decode(&bytes(&end), &mut events);
    assert_eq!(signal, Some(Signal::Ended { process: 1, time: Nanos(1100) }));
    assert_eq!(events[0].what, What::Fork { child: 8, process: 1 });
    assert_eq!((events[1].what, events[1].process), (What::End, 1));
}

proptest! {
    #[test]
    fn every_byte_string_is_decoded_or_counted(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..50)) {
        let mut decoder = launched();
        let before = decoder.tally.decoded;
        for record in &records {
            decoder.decode(record, &mut Vec::new());
        }
        let tally = decoder.tally;
        let seen = tally.decoded - before + tally.before_exec + tally.after_end + tally.rejected.iter().sum::<u64>();
        prop_assert_eq!(seen, records.len() as u64);
    }

    #[test]
    fn well_formed_records_are_never_rejected_for_their_length(kind in 0usize..Kind::ALL.len(), w in any::<[u64; 6]>()) {
        let kind = Kind::ALL[kind];
        let mut words = w.repeat(kind.words().div_ceil(w.len()));
        words[0] = wire::head(kind, w[0] >> 8);
        let mut decoder = launched();
        decoder.decode(&bytes(&words[..kind.words()]), &mut Vec::new());
        prop_assert_eq!(decoder.tally.rejected[Reject::Length as usize], 0);
        prop_assert_eq!(decoder.tally.rejected[Reject::Kind as usize], 0);
    }
}

#[test]
fn the_end_of_a_vfork_child_is_not_that_of_its_parents_first_thread() {
    const CLONE_VM_AND_VFORK: u64 = 0x4100;
    let (mut decoder, mut events) = (launched(), Vec::new());
    let vfork = [wire::head(Kind::Clone, 2000), wire::place(8, 0), wire::extent(CLONE_VM_AND_VFORK, 7)];
    let exit = |pid, tid| bytes(&[wire::head(Kind::Exit, 2100), wire::place(pid, 0), wire::extent(0, tid)]);
    decoder.decode(&bytes(&vfork), &mut events);
    assert_eq!(decoder.decode(&exit(8, 8), &mut events), None);
    let thread = [wire::head(Kind::Clone, 2200), wire::place(9, 0), wire::extent(0x1_0100, 7)];
    decoder.decode(&bytes(&thread), &mut events);
    assert_eq!(decoder.decode(&exit(7, 7), &mut events), Some(Signal::LeaderEnded { process: 0 }));
}
