//! The folder of a trace: what is made, replaced, refused and left alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Folder, sample};
use crate::error::Kind;
use crate::event::Event;
use crate::trace::manifest::{FILE, Mode, Process};
use crate::trace::{EVENTS, Manifest, Reader, Writer};

fn record(dir: &Path, events: &[Event], force: bool) -> crate::error::Result<()> {
    let mut writer = Writer::create(dir, &Manifest::default(), force)?;
    events.iter().try_for_each(|event| writer.push(event))?;
    writer.finish(&Manifest { complete: true, ..Manifest::default() })
}

fn events_of(reader: &mut Reader) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(batch) = reader.next_batch() {
        events.extend_from_slice(batch);
    }
    events
}

#[test]
fn a_trace_reads_back() {
    let folder = Folder::new("back");
    let dir = folder.join("a/trace");
    let events = sample(70_000);
    record(&dir, &events, false).unwrap();
    let mut reader = Reader::open(&dir).unwrap();
    assert!(reader.manifest().complete && reader.bytes_read() < reader.bytes_total());
    assert_eq!(events_of(&mut reader), events);
    assert_eq!((reader.damage(), reader.events_read()), (None, 70_000));
    assert_eq!(reader.bytes_read(), reader.bytes_total());
}

#[test]
fn only_its_owner_can_read_it() {
    let folder = Folder::new("modes");
    let dir = folder.join("trace");
    record(&dir, &[], false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&dir), mode(&dir.join(FILE)), mode(&dir.join(EVENTS))], [0o700, 0o600, 0o600]);
}

#[test]
fn what_was_flushed_is_there_without_an_end() {
    let folder = Folder::new("flush");
    let dir = folder.join("trace");
    let mut writer = Writer::create(&dir, &Manifest::default(), false).unwrap();
    let events = sample(10);
    events.iter().for_each(|event| writer.push(event).unwrap());
    writer.flush().unwrap();
    writer.push(&events[0]).unwrap();
    let described = Manifest { mode: Mode::Attached, processes: vec![Process::default()], ..Manifest::default() };
    writer.describe(&described).unwrap();
    let mut reader = Reader::open(&dir).unwrap();
    assert_eq!(events_of(&mut reader), events);
    assert_eq!(reader.manifest(), &described);
    let damage = reader.damage().expect("no end mark").to_string();
    assert!(damage.contains("cut off") && damage.contains("10 events"), "{damage}");
    assert_eq!((writer.events_written(), writer.bytes_written()), (10, fs::metadata(dir.join(EVENTS)).unwrap().len()));
}

#[test]
fn only_a_trace_is_replaced_and_only_when_told() {
    let folder = Folder::new("force");
    let dir = folder.join("trace");
    record(&dir, &sample(5), false).unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    let refused = record(&dir, &[], false).unwrap_err();
    assert!(refused.kind == Kind::Output && refused.message.contains("--force"), "{refused}");
    assert_eq!(events_of(&mut Reader::open(&dir).unwrap()).len(), 5);
    record(&dir, &sample(7), true).unwrap();
    assert_eq!(events_of(&mut Reader::open(&dir).unwrap()).len(), 7);
    assert_eq!(fs::read_to_string(dir.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn nothing_else_is_touched() {
    let folder = Folder::new("other");
    fs::write(folder.join("thesis.tex"), "years").unwrap();
    for force in [false, true] {
        let refused = record(folder.as_ref(), &[], force).unwrap_err();
        assert!(refused.kind == Kind::Output && refused.message.contains("not a trace"), "{refused}");
        let refused = record(&folder.join("thesis.tex"), &[], force).unwrap_err();
        assert!(refused.kind == Kind::Output && refused.message.contains("file"), "{refused}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::write(folder.join(EVENTS), "not events").unwrap();
    assert!(record(folder.as_ref(), &[], true).is_err());
}

#[test]
fn an_empty_folder_is_taken() {
    let folder = Folder::new("empty");
    record(folder.as_ref(), &sample(1), false).unwrap();
    assert_eq!(events_of(&mut Reader::open(folder.as_ref()).unwrap()).len(), 1);
}

#[test]
fn a_manifest_that_is_gone_or_damaged_costs_only_itself() {
    let folder = Folder::new("manifest");
    record(folder.as_ref(), &sample(3), false).unwrap();
    for text in [None, Some("{\"format\": {\"major\": 1")] {
        match text {
            None => fs::remove_file(folder.join(FILE)).unwrap(),
            Some(text) => fs::write(folder.join(FILE), text).unwrap(),
        }
        let mut reader = Reader::open(folder.as_ref()).unwrap();
        assert!(!reader.manifest().complete && reader.manifest().notes[0].contains(FILE), "{:?}", reader.manifest());
        assert_eq!(events_of(&mut reader).len(), 3);
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let folder = Folder::new("refused");
    let refusal = |dir: &Path| Reader::open(dir).err().expect("not a trace");
    let missing = refusal(&folder.join("nowhere"));
    assert!(missing.kind == Kind::Trace && missing.message.contains("nowhere"), "{missing}");
    record(folder.as_ref(), &sample(3), false).unwrap();
    fs::write(folder.join(FILE), r#"{"format": {"major": 2, "minor": 0}}"#).unwrap();
    let newer = refusal(folder.as_ref());
    assert!(newer.kind == Kind::Trace && newer.message.contains("upgrade heapcast"), "{newer}");
    fs::write(folder.join(EVENTS), "").unwrap();
    fs::remove_file(folder.join(FILE)).unwrap();
    let empty = refusal(folder.as_ref());
    assert!(empty.kind == Kind::Trace && empty.message.contains("byte 0"), "{empty}");
}

/// A file system of one page or so, where that can be had.
struct TinyDisk<'a>(&'a Folder);

impl TinyDisk<'_> {
    fn mounted(at: &Folder) -> Option<TinyDisk<'_>> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "heapcast-test"]).arg(at.as_ref()).output();
        mount.is_ok_and(|done| done.status.success()).then_some(TinyDisk(at))
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.as_ref()).status();
    }
}

#[test]
fn a_real_full_disk() {
    let folder = Folder::new("full");
    let Some(_disk) = TinyDisk::mounted(&folder) else {
        return eprintln!("skipped: mounting a small tmpfs is not permitted");
    };
    let dir = folder.join("trace");
    let mut writer = Writer::create(&dir, &Manifest::default(), false).unwrap();
    let mut written = Vec::new();
    let failed = loop {
        let part = sample(500);
        part.iter().for_each(|event| writer.push(event).unwrap());
        match writer.flush() {
            Ok(()) => written.extend(part),
            Err(error) => break error,
        }
    };
    assert!(failed.kind == Kind::Output && failed.message.contains("No space left"), "{failed}");
    assert!(failed.message.contains(EVENTS) && !written.is_empty(), "{failed}");
    assert_eq!(writer.finish(&Manifest { complete: true, ..Manifest::default() }).unwrap_err(), failed);
    let mut reader = Reader::open(&dir).unwrap();
    assert_eq!(events_of(&mut reader), written);
    assert!(!reader.manifest().complete && reader.damage().is_some());
}
