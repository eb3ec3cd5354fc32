//! The mappings of a process: `/proc/PID/maps`.
//!
//! ```text
//! 7f3a5c021000-7f3a60000000 rw-p 00000000 08:01 1311 /usr/lib/name\012with a line feed (deleted)
//! start        end          prot offset   dev   inode path
//!                              p private, s shared; numbers in hexadecimal, the inode in decimal
//! ```

use super::process;
use crate::error::Result;
use crate::event::{self, Backing};
use crate::units::{Addr, Bytes};

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: Addr,
    /// First byte behind it.
    pub end: Addr,
    /// [`event::PROT_READ`], [`event::PROT_WRITE`], [`event::PROT_EXEC`].
    pub prot: u8,
    /// Whether writes are seen by others.
    pub shared: bool,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// Major and minor number of the file's device.
    pub dev: (u32, u32),
    /// Inode of the file; 0 for none.
    pub inode: u64,
    /// Path as the process sees it, or a name in brackets, or empty.
    pub path: String,
    /// Whether the file has no name any more.
    pub deleted: bool,
}

impl Mapping {
    /// Its length.
    pub fn len(&self) -> Bytes {
        self.end.since(self.start)
    }

    /// Never: the kernel has no empty mappings, and [`parse`] takes none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether code of a file is mapped here.
    pub fn is_code(&self) -> bool {
        self.prot & event::PROT_EXEC != 0 && self.inode != 0 && backing(self) != Backing::Special
    }
}

/// The mappings of a process, in the order of their addresses.
pub fn read(pid: u32) -> Result<Vec<Mapping>> {
    let bytes = process::file(pid, "maps")?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Reads the text of a `maps` file; lines that are not mappings are left out.
pub fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mapping> {
    // The path is separated by spaces too but may contain some, so only the first five fields are split off.
    let mut rest = line;
    let mut field = || {
        let (word, tail) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        rest = tail;
        word
    };
    let (start, end) = field().split_once('-')?;
    let (flags, offset, dev, inode) = (field().as_bytes(), field(), field(), field());
    let (major, minor) = dev.split_once(':')?;
    let path = rest.trim_start();
    let (name, deleted) = path.strip_suffix(" (deleted)").map_or((path, false), |name| (name, true));
    let bit = |index: usize, letter: u8, bit: u8| if flags.get(index) == Some(&letter) { bit } else { 0 };
    let mapping = Mapping {
        start: Addr(hex(start)?),
        end: Addr(hex(end)?),
        prot: bit(0, b'r', event::PROT_READ) | bit(1, b'w', event::PROT_WRITE) | bit(2, b'x', event::PROT_EXEC),
        shared: flags.get(3) == Some(&b's'),
        offset: hex(offset)?,
        dev: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
        inode: inode.parse().ok()?,
        // The kernel escapes line feeds and nothing else.
        path: name.replace("\\012", "\n"),
        deleted,
    };
    (mapping.start < mapping.end).then_some(mapping)
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// What backs a mapping.
pub fn backing(mapping: &Mapping) -> Backing {
    match mapping.path.as_str() {
        "[heap]" => Backing::Break,
        path if path.starts_with("[stack") => Backing::Stack,
        path if is_special(path) => Backing::Special,
        _ if mapping.shared => Backing::Shared,
        _ if mapping.inode == 0 => Backing::Anonymous,
        _ => Backing::PrivateFile,
    }
}

/// Pages that the kernel provides or counts elsewhere: a mapping of its own, or huge pages from the reserved pool.
fn is_special(path: &str) -> bool {
    let named_by_kernel = ["[vdso]", "[vsyscall]", "[uprobes]", "[sigpage]", "/anon_hugepage"].contains(&path);
    named_by_kernel || path.starts_with("[vvar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
55d0c0a00000-55d0c0a01000 r-xp 00002000 08:01 1311                       /usr/bin/two words
55d0c2000000-55d0c2021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
7f0000021000-7f0004000000 ---p 00000000 00:00 0                          [anon:arena 1]
7f1000000000-7f1000001000 rw-s 00000000 00:01 1024                       /dev/zero (deleted)
7f1000001000-7f1000002000 r--p 00001000 fd:10 99999999                   /tmp/a\\012b (deleted)
7f1000200000-7f1000400000 rw-p 00000000 00:10 5                          /anon_hugepage (deleted)
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
7ffd00100000-7ffd00104000 r--p 00000000 00:00 0                          [vvar]
7ffd00104000-7ffd00106000 r--p 00000000 00:00 0                          [vvar_vclock]
7ffd00106000-7ffd00108000 r-xp 00000000 00:00 0                          [vdso]
7fffffffe000-7ffffffff000 --xp 00000000 00:00 0                          [uprobes]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";

    #[test]
    fn every_field_is_read() {
        let mappings = parse(TEXT);
        assert_eq!(mappings.len(), 13);
        let program = Mapping {
            start: Addr(0x55d0_c0a0_0000),
            end: Addr(0x55d0_c0a0_1000),
            prot: event::PROT_READ | event::PROT_EXEC,
            shared: false,
            offset: 0x2000,
            dev: (8, 1),
            inode: 1311,
            path: "/usr/bin/two words".into(),
            deleted: false,
        };
        assert_eq!(mappings[0], program);
        assert_eq!((mappings[5].path.as_str(), mappings[5].deleted, mappings[5].dev), ("/tmp/a\nb", true, (0xfd, 0x10)));
        assert_eq!(mappings[1].len(), Bytes(0x21000));
        let code: Vec<bool> = mappings.iter().map(Mapping::is_code).collect();
        assert_eq!(code.iter().filter(|&&is| is).count(), 1, "only the program holds code of a file");
    }

    #[test]
    fn backings() {
        use Backing::*;
        let found: Vec<Backing> = parse(TEXT).iter().map(backing).collect();
        let expected =
            [PrivateFile, Break, Anonymous, Anonymous, Shared, PrivateFile, Special, Stack, Special, Special, Special, Special, Special];
        assert_eq!(found, expected);
    }

    #[test]
    fn own_mappings_are_understood_in_full() {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(parse(&text).len(), text.lines().count());
        assert!(parse(&text).windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}", at in 0..TEXT.len(), put in "[ -~]{0,3}") {
            parse(&text);
            let mut damaged = TEXT.to_owned();
            damaged.replace_range(at..at + 1, &put);
            for mapping in parse(&damaged) {
                prop_assert!(!mapping.is_empty());
            }
        }
    }
}
