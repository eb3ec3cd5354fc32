use super::*;
use proptest::prelude::*;

fn action() -> impl Strategy<Value = Action> {
    let tid = any::<u32>();
    prop_oneof![
        (any::<u32>(), tid, any::<u64>(), any::<u8>(), any::<[bool; 2]>()).prop_map(|(id, tid, size, align_log2, [zeroed, assumed])| {
            Action::Alloc { id, tid, size: Bytes(size), align_log2, zeroed, assumed, site: 0 }
        }),
        (any::<u32>(), tid, any::<u64>()).prop_map(|(id, tid, size)| Action::Realloc { id, tid, size: Bytes(size), site: 0 }),
        (any::<u32>(), tid).prop_map(|(id, tid)| Action::Free { id, tid }),
        any::<u32>().prop_map(|within| Action::Break { within }),
        any::<u32>().prop_map(|within| Action::Map { within }),
        any::<i64>().prop_map(|delta| Action::Sbrk { delta }),
        (tid, any::<u64>()).prop_map(|(tid, pad)| Action::Trim { tid, pad: Bytes(pad) }),
        (tid, any::<[i32; 2]>()).prop_map(|(tid, [parameter, value])| Action::Configure { tid, parameter, value }),
        (any::<u32>(), any::<[u64; 2]>(), 0usize..3, 0usize..4).prop_map(|(id, [from, len], access, evidence)| {
            Action::Touch { id, from: Bytes(from), len: Bytes(len), access: ACCESSES[access], evidence: EVIDENCE[evidence] }
        }),
        any::<[i32; 4]>().prop_map(|[anon, file, shmem, faults]| Action::Resident { anon, file, shmem, faults }),
        (prop::option::of((0usize..6, any::<i16>())), any::<i64>(), any::<u32>()).prop_map(|(calls, mapped, returned)| {
            Action::Mapping { calls: calls.map(|(kind, count)| (SYSCALLS[kind], count)), mapped, returned }
        }),
        Just(Action::Fork),
        tid.prop_map(|tid| Action::ThreadEnd { tid }),
        Just(Action::End),
    ]
}

proptest! {
    #[test]
    fn an_operation_comes_back_as_it_was(time in any::<u64>(), action in action()) {
        let op = Op { time: Nanos(time), action };
        prop_assert_eq!(decode(&encode(&op)), Some(op));
    }

    #[test]
    fn any_bytes_are_an_operation_or_none(bytes in any::<[u8; RECORD]>()) {
        if let Some(op) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&op)), Some(op));
        }
    }

    #[test]
    fn a_head_comes_back_as_it_was(ops in any::<u64>(), slots in any::<u32>(), threads in 1u32..) {
        let head = Head { ops, slots, threads };
        prop_assert_eq!(Head::decode(&head.encode()), Some(head));
    }
}

fn written(ops: &[Action], finish: bool) -> Vec<u8> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("heapcast-script.{}.{number}", std::process::id()));
    let mut writer = Writer::create(&path, 70).unwrap();
    let ops: Vec<Op> = ops.iter().map(|&action| Op { time: Nanos(1), action }).collect();
    writer.write(&ops).unwrap();
    if finish {
        writer.finish().unwrap();
    } else {
        drop(writer);
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn a_script_that_was_not_finished_has_no_head() {
    let ops = [Action::Free { id: 3, tid: 70 }, Action::End];
    let head = |bytes: Vec<u8>| Head::decode(bytes.first_chunk().unwrap());
    assert_eq!(head(written(&ops, false)), None);
    assert_eq!(head(written(&ops, true)), Some(Head { ops: 2, slots: 0, threads: 1 }));
}

#[test]
fn threads_take_the_places_of_those_that_ended() {
    let free = |tid| Action::Free { id: 0, tid };
    let ops = [free(70), free(71), free(72), Action::ThreadEnd { tid: 71 }, free(73), free(72), Action::ThreadEnd { tid: 70 }, free(70)];
    let bytes = written(&ops, true);
    let records = bytes.as_chunks::<RECORD>().0;
    let places: Vec<u32> = records[1..].iter().filter_map(|record| thread(decode(record)?.action)).collect();
    assert_eq!(places, [0, 1, 2, 1, 1, 2, 0, 3]);
    assert_eq!(Head::decode(&records[0]).unwrap().threads, 4);
}
