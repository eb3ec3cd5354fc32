//! Tests of the trace as a whole, and the events that they use.

mod damage;
mod folder;
mod python;
mod versions;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::event::{Access, Advice, Call, Errno, Event, What};
use crate::trace::format::BACKINGS;
use crate::trace::writer::{Cut, Stream};
use crate::units::{Addr, Bytes, Nanos, Pages};

/// A folder of one test, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("heapcast-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a place for temporary files");
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk with room for so many bytes.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl std::io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let fits = bytes.len().min(self.room - self.bytes.len());
        if fits == 0 && !bytes.is_empty() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Cut for Disk {
    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.bytes.truncate(usize::try_from(length).expect("a length of a vector"));
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of a stream with these events, so many in a batch, and where its messages after the header begin; the last is the end mark.
fn stream(events: &[Event], batch: usize) -> (Vec<u8>, Vec<usize>) {
    let disk = Disk { bytes: Vec::new(), room: usize::MAX };
    let mut stream: Stream<Disk> = Stream::begin(disk, "events.arrow".into()).expect("endless room");
    let mut starts = Vec::new();
    for part in events.chunks(batch) {
        starts.push(stream.file.bytes.len());
        part.iter().try_for_each(|event| stream.push(event)).and_then(|()| stream.flush()).expect("endless room");
    }
    starts.push(stream.file.bytes.len());
    stream.end().expect("endless room");
    (stream.file.bytes, starts)
}

/// Events of every kind, the same each time.
fn sample(count: u64) -> Vec<Event> {
    let ptr = |i: u64| Addr(0x5555_0000_0000 + i * 48);
    let what = |i: u64| match i % 8 {
        0 => What::Alloc { call: Call::ALL[(i / 8 % 8) as usize].0, ptr: ptr(i), size: Bytes(i), old: Addr(0), align: 0, site: i as u32 },
        1 => What::Free { ptr: ptr(i - 1) },
        2 => What::Fault { addr: ptr(i), access: Access::Write, protection: false, by_kernel: i % 16 == 2 },
        3 => What::Mmap { hint: Addr(0), len: Bytes(1 << 21), prot: 3, flags: 0x22, file: false, result: Err(12) },
        4 => What::Rss { anon: Pages(i), file: Pages(7), shmem: Pages(0) },
        5 => What::Munmap { addr: ptr(i), len: Bytes(4096), entered: Nanos(i), errno: 0 },
        6 => What::Brk { asked: Addr(0), got: ptr(i) },
        _ => What::Fork { child: 7, process: 1 },
    };
    (0..count).map(|i| Event { time: Nanos(i * 1000), process: 0, tid: 42, in_heap: i % 3 == 0, what: what(i) }).collect()
}

fn addr() -> impl Strategy<Value = Addr> {
    prop_oneof![Just(0), 0..1u64 << 48, any::<u64>()].prop_map(Addr)
}

fn len() -> impl Strategy<Value = Bytes> {
    prop_oneof![0..1u64 << 20, any::<u64>()].prop_map(Bytes)
}

fn some_pages() -> impl Strategy<Value = Pages> {
    (0..1u64 << 52).prop_map(Pages)
}

fn result() -> impl Strategy<Value = Result<Addr, Errno>> {
    prop_oneof![addr().prop_map(Ok), (1..4096u16).prop_map(Err)]
}

fn any_advice() -> impl Strategy<Value = Advice> {
    // Not `Other` of a number that has a name: that is the same advice written in another way.
    any::<u32>().prop_map(|number| match number {
        4 | 8 | 14 | 15 => Advice::Free,
        other => Advice::Other(other),
    })
}

fn heap() -> impl Strategy<Value = What> {
    let call = (0..Call::ALL.len()).prop_map(|i| Call::ALL[i].0);
    prop_oneof![
        (call, addr(), len(), addr(), any::<u64>(), any::<u32>()).prop_map(|(call, ptr, size, old, align, site)| What::Alloc {
            call,
            ptr,
            size,
            old,
            align,
            site
        }),
        addr().prop_map(|ptr| What::Free { ptr }),
        len().prop_map(|pad| What::Trim { pad }),
        any::<(i32, i32)>().prop_map(|(parameter, value)| What::Configure { parameter, value }),
    ]
}

fn system_call() -> impl Strategy<Value = What> {
    let bits = any::<(u8, u32, bool)>;
    prop_oneof![
        (addr(), addr()).prop_map(|(asked, got)| What::Brk { asked, got }),
        (addr(), len(), bits(), result()).prop_map(|(hint, len, (prot, flags, file), result)| What::Mmap {
            hint,
            len,
            prot,
            flags,
            file,
            result
        }),
        (addr(), len(), any::<u64>(), any::<u16>()).prop_map(|(addr, len, at, errno)| What::Munmap {
            addr,
            len,
            entered: Nanos(at),
            errno
        }),
        (addr(), len(), len(), any::<u32>(), result()).prop_map(|(addr, len, new_len, flags, result)| What::Mremap {
            addr,
            len,
            new_len,
            flags,
            result
        }),
        (addr(), len(), any_advice(), any::<u16>()).prop_map(|(addr, len, advice, errno)| What::Madvise { addr, len, advice, errno }),
        (addr(), len(), any::<u8>(), any::<u16>()).prop_map(|(addr, len, prot, errno)| What::Mprotect { addr, len, prot, errno }),
        (addr(), len(), any::<bool>(), any::<u16>()).prop_map(|(addr, len, on_fault, errno)| What::Mlock { addr, len, on_fault, errno }),
        (addr(), len(), any::<u16>()).prop_map(|(addr, len, errno)| What::Munlock { addr, len, errno }),
        any::<(u32, u16)>().prop_map(|(flags, errno)| What::Mlockall { flags, errno }),
    ]
}

fn memory() -> impl Strategy<Value = What> {
    let accesses = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::Exec)];
    let backing = (0..BACKINGS.len()).prop_map(|i| BACKINGS[i]);
    prop_oneof![
        (addr(), accesses, any::<(bool, bool)>()).prop_map(|(addr, access, (protection, by_kernel))| What::Fault {
            addr,
            access,
            protection,
            by_kernel
        }),
        (some_pages(), some_pages(), some_pages()).prop_map(|(anon, file, shmem)| What::Rss { anon, file, shmem }),
        (addr(), len(), any::<u8>(), backing).prop_map(|(addr, len, prot, backing)| What::Mapped { addr, len, prot, backing }),
        (addr(), some_pages()).prop_map(|(addr, pages)| What::Resident { addr, pages }),
        some_pages().prop_map(|pages| What::Swap { pages }),
    ]
}

fn task() -> impl Strategy<Value = What> {
    prop_oneof![
        any::<u32>().prop_map(|child| What::ThreadStart { child }),
        any::<(u32, u32)>().prop_map(|(child, process)| What::Fork { child, process }),
        Just(What::Start),
        any::<u64>().prop_map(|since| What::Paused { since: Nanos(since) }),
        Just(What::WindowBegin),
        Just(What::WindowEnd),
        Just(What::ThreadEnd),
        Just(What::End),
    ]
}

/// Any event that a recording can hold.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let what = prop_oneof![heap(), system_call(), memory(), task()];
    (any::<(u64, u32, u32, bool)>(), what).prop_map(|((time, process, tid, in_heap), what)| Event {
        time: Nanos(time),
        process,
        tid,
        in_heap,
        what,
    })
}
