//! Whether a file can be preloaded, before the loader only warns and goes on without it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

const SHARED_OBJECT: u16 = 3;
const X86_64: u16 = 62;

/// That it is a shared library for this machine.
///
/// # Errors
/// `Target`: it is missing, no library, or for another machine.
pub(super) fn check(path: &Path) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(Kind::Target, format!("{} cannot be preloaded: {why}", path.display())));
    let mut head = [0; 20];
    let file = File::open(path).context(Kind::Target, format!("cannot open the library {}", path.display()))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) || (&file).read_exact(&mut head).is_err() || !head.starts_with(b"\x7fELF")
    {
        return refuse("it is no ELF file; name a shared library, such as libjemalloc.so.2");
    }
    let [kind, machine] = [16, 18].map(|at| u16::from_le_bytes([head[at], head[at + 1]]));
    match (head[4], machine, kind) {
        (2, X86_64, SHARED_OBJECT) => Ok(()),
        (2, X86_64, _) => refuse("it is no shared library; link it with -shared"),
        (class, machine, _) => refuse(&format!("it is for {}; heapcast measures x86-64 libraries", architecture(class, machine))),
    }
}

/// The usual name of a machine.
fn architecture(class: u8, machine: u16) -> String {
    match (class, machine) {
        (_, 3) => "32-bit x86".to_owned(),
        (_, 40) => "32-bit ARM".to_owned(),
        (_, 183) => "arm64".to_owned(),
        (_, 243) => "RISC-V".to_owned(),
        (1, X86_64) => "x86-64 with 32-bit addresses (x32)".to_owned(),
        _ => format!("another architecture (number {machine} in ELF files)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_preloaded_is_refused_with_the_reason() {
        let path = std::env::temp_dir().join(format!("heapcast-elf.{}", std::process::id()));
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check(&path).unwrap_err().message
        };
        let elf = |class: u8, kind: u8, machine: u8| {
            let mut bytes = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
            (bytes[4], bytes[16], bytes[18]) = (class, kind, machine);
            bytes
        };
        assert!(refused(b"not a library at all").contains("no ELF file"));
        assert!(refused(b"").contains("no ELF file"));
        assert!(refused(&elf(1, 3, 3)).contains("it is for 32-bit x86; heapcast measures x86-64 libraries"));
        assert!(refused(&elf(2, 3, 183)).contains("it is for arm64;"));
        assert!(refused(&elf(1, 3, 62)).contains("(x32)"));
        assert!(refused(&elf(2, 3, 22)).contains("number 22"));
        assert!(refused(&elf(2, 1, 62)).contains("no shared library"));
        std::fs::write(&path, elf(2, 3, 62)).unwrap();
        assert_eq!(check(&path), Ok(()));
        std::fs::remove_file(&path).unwrap();
        assert!(check(&path).unwrap_err().message.contains("cannot open the library"));
        assert!(check(&std::env::temp_dir()).unwrap_err().message.contains("no ELF file"));
    }
}
