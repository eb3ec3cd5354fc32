//! Whatever happens to the bytes of a trace: no panic, and what is read is what was written.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::{Disk, any_event, sample, stream};
use crate::error::{Kind, Result};
use crate::event::Event;
use crate::trace::reader::{Damage, Events};
use crate::trace::writer::Stream;

struct Outcome {
    events: Vec<Event>,
    damage: Option<Damage>,
}

fn read(bytes: &[u8]) -> Result<Outcome> {
    let mut stream = Events::new(bytes, bytes.len() as u64, "events.arrow".into())?;
    let mut events = Vec::new();
    while let Some(batch) = stream.next_batch() {
        events.extend_from_slice(batch);
    }
    assert_eq!(stream.unknown(), 0);
    Ok(Outcome { events, damage: stream.damage().cloned() })
}

/// What was read of a damaged stream is the beginning of what was written; if something is missing, it says so.
fn is_honest(bytes: &[u8], written: &[Event]) -> TestCaseResult {
    match read(bytes) {
        Err(error) => prop_assert_eq!(error.kind, Kind::Trace),
        Ok(Outcome { events, damage }) => {
            prop_assert!(written.starts_with(&events));
            prop_assert!(damage.is_some() || events.len() == written.len(), "{} of {} without a word", events.len(), written.len());
            if let Some(damage) = damage {
                prop_assert_eq!(damage.events_read, events.len() as u64);
                prop_assert!(damage.byte <= bytes.len() as u64);
            }
        }
    }
    Ok(())
}

#[test]
fn a_trace_cut_at_any_byte_reads_up_to_the_last_whole_batch() {
    let (events, per_batch) = (sample(60), 20);
    let (bytes, starts) = stream(&events, per_batch);
    for cut in 0..bytes.len() {
        let whole = starts.iter().filter(|&&start| start <= cut).count();
        if whole == 0 {
            let error = read(&bytes[..cut]).err().expect("no header, no events");
            assert_eq!(error.kind, Kind::Trace);
            assert!(error.message.contains("events.arrow") && error.message.contains("byte "), "{error}");
            continue;
        }
        let outcome = read(&bytes[..cut]).expect("a whole header");
        let damage = outcome.damage.expect("an end mark is missing");
        assert_eq!(outcome.events, events[..(whole - 1) * per_batch], "cut at {cut}");
        assert_eq!((damage.byte, damage.events_read), (starts[whole - 1] as u64, outcome.events.len() as u64));
    }
    let all = read(&bytes).expect("it is whole");
    assert_eq!((all.events, all.damage), (events, None));
}

#[test]
fn every_single_bit_that_turns_is_noticed_or_means_nothing() {
    let events = sample(24);
    let (bytes, _) = stream(&events, 12);
    for place in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        is_honest(&bytes, &events).unwrap_or_else(|error| panic!("bit {place}: {error}"));
    }
}

#[test]
fn bytes_behind_the_end_are_damage() {
    let (mut bytes, _) = stream(&sample(5), 5);
    bytes.extend(b"more");
    let outcome = read(&bytes).expect("a whole header");
    assert_eq!(outcome.events.len(), 5);
    assert!(outcome.damage.expect("four bytes too many").to_string().contains("4 bytes follow"));
}

#[test]
fn a_full_disk_costs_only_what_did_not_fit() {
    let events = sample(300);
    let (whole, starts) = stream(&events, 100);
    for room in starts[0]..whole.len() {
        let mut stream: Stream<Disk> = Stream::begin(Disk { bytes: Vec::new(), room }, "events.arrow".into()).expect("room for the header");
        let failed = events
            .chunks(100)
            .try_for_each(|part| part.iter().try_for_each(|event| stream.push(event)).and_then(|()| stream.flush()))
            .and_then(|()| stream.end())
            .expect_err("too little room");
        assert_eq!(failed.kind, Kind::Output);
        assert!(failed.message.contains("events.arrow"), "{failed}");
        assert_eq!(stream.flush().expect_err("it stays failed"), failed);
        let batches = starts.iter().filter(|&&start| start <= room).count() - 1;
        assert_eq!(stream.file.bytes, whole[..starts[batches]], "with room for {room} bytes");
        assert_eq!(read(&stream.file.bytes).expect("a whole header").events, events[..batches * 100]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_events_come_back(events in prop::collection::vec(any_event(), 0..200), batch in 1..100usize) {
        let outcome = read(&stream(&events, batch).0).expect("it is whole");
        prop_assert_eq!(outcome.events, events);
        prop_assert_eq!(outcome.damage, None);
    }

    #[test]
    fn spoiled_bytes_are_noticed(spoiled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut: prop::sample::Index) {
        let events = sample(64);
        let (mut bytes, _) = stream(&events, 16);
        for (place, byte) in spoiled {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        is_honest(&bytes, &events)?;
        is_honest(&bytes[..cut.index(bytes.len())], &events)?;
    }

    #[test]
    fn noise_is_no_trace(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn noise_behind_a_header_is_damage(noise in prop::collection::vec(any::<u8>(), 1..2000)) {
        let (bytes, starts) = stream(&[], 1);
        prop_assert!(read(&[&bytes[..starts[0]], &noise].concat()).expect("a whole header").damage.is_some());
    }
}
