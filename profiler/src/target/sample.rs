//! A small ELF library, made by hand, for tests that need every part of a file to be known.
//!
//! ```text
//! 000 ELF header | 040 two program headers | 0c0 build-id note | 100 code: malloc, free, aligned_alloc (a jump to the stub), the stub
//! 180 dynamic symbols | 240 their names | 2a0 dynamic entries | 2e0 a relocation | 300 a text | 320 section names | 380 section headers
//! ```
//! Virtual addresses are file offsets plus [`BASE`].

/// Distance between virtual addresses and file offsets.
pub(super) const BASE: u64 = 0x1000;

const MALLOC: [u8; 16] = [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0x5d, 0xc3, 0x90, 0x90, 0x90, 0x90];
const FREE: [u8; 16] = [0x48, 0x85, 0xff, 0x74, 0x01, 0x90, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
/// `jmp` to the stub at 130.
const ALIGNED_ALLOC: [u8; 16] = [0xe9, 0x0b, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
/// `jmp *slot`, the slot being at file offset 380, behind everything that is looked at.
const STUB: [u8; 16] = [0xff, 0x25, 0x4a, 0x02, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90];
const NAMES: &[u8] = b"\0malloc\0free\0aligned_alloc\0memalign\0mallctl\0libsample.so.1\0";
const SECTION_NAMES: &[u8] = b"\0.dynsym\0.dynstr\0.dynamic\0.rela.plt\0.rodata\0.shstrtab\0";
const TEXT: &[u8] = b"\x001.2.3-4-g0123abcd\0";

/// The bytes of the library.
pub(super) fn library() -> Vec<u8> {
    let mut bytes = vec![0; 0x380];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, &header());
    put(0x40, &program_header(1, 5, 0, 0x380));
    put(0x78, &program_header(4, 4, 0xc0, 20));
    put(0xc0, &[4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0, 0xde, 0xad, 0xbe, 0xef]);
    for (at, code) in [(0x100, MALLOC), (0x110, FREE), (0x120, ALIGNED_ALLOC), (0x130, STUB)] {
        put(at, &code);
    }
    let symbols = [("malloc", 0x100, 12), ("free", 0x110, 7), ("aligned_alloc", 0x120, 5), ("memalign", 0, 0), ("mallctl", 0x100, 12)];
    for (index, (name, at, size)) in symbols.into_iter().enumerate() {
        put(0x180 + 24 * (index + 1), &symbol(name_at(NAMES, name), at, size));
    }
    put(0x240, NAMES);
    put(0x2a0, &words([14, u64::from(name_at(NAMES, "libsample.so.1")), 0, 0]));
    // A jump slot (type 7) for symbol 4, memalign.
    put(0x2e0, &words([0x380 + BASE, 4 << 32 | 7, 0]));
    put(0x300, TEXT);
    put(0x320, SECTION_NAMES);
    for section in sections() {
        bytes.extend(section);
    }
    bytes
}

fn header() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    header.extend(words([0, 0x40, 0x380]));
    // Flags, then sizes and numbers of the tables.
    header.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 7, 0, 6, 0]);
    header
}

fn program_header(kind: u64, flags: u64, at: u64, size: u64) -> Vec<u8> {
    words([flags << 32 | kind, at, at + BASE, at + BASE, size, size, 8])
}

fn symbol(name: u32, at: u64, size: u64) -> Vec<u8> {
    // A global function (0x12), defined in section 1 where it has an address.
    let section = u64::from(at != 0);
    let address = if at == 0 { 0 } else { at + BASE };
    words([section << 48 | 0x12 << 32 | u64::from(name), address, size])
}

fn sections() -> Vec<Vec<u8>> {
    let section = |name: &str, kind: u64, at: u64, size: u64, link: u64, entry: u64| {
        let name = u64::from(name_at(SECTION_NAMES, name));
        words([kind << 32 | name, 0, at + BASE, at, size, link, 8, entry])
    };
    vec![
        words([0; 8]),
        section(".dynsym", 11, 0x180, 6 * 24, 2, 24),
        section(".dynstr", 3, 0x240, NAMES.len() as u64, 0, 0),
        section(".dynamic", 6, 0x2a0, 32, 2, 16),
        section(".rela.plt", 4, 0x2e0, 24, 1, 24),
        section(".rodata", 1, 0x300, TEXT.len() as u64, 0, 0),
        section(".shstrtab", 3, 0x320, SECTION_NAMES.len() as u64, 0, 0),
    ]
}

fn words<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn name_at(names: &[u8], name: &str) -> u32 {
    let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
    let position = names.windows(wanted.len()).position(|window| window == wanted).expect("the name is in the table");
    position as u32 + 1
}
