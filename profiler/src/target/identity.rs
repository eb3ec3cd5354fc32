//! Whose allocator a file contains, and which version: by the names it exports and the texts it carries.

use object::read::ReadRef;

use super::elf::{Elf, Symbol};
use super::probe;

/// A function that only this allocator has, and the allocator.
const MARKS: [(&str, &str); 4] = [
    ("mallctl", "jemalloc"),
    // Of static programs; these are not exported by any library.
    ("__tunables_init", "glibc"),
    ("__malloc_alloc_meta", "musl"),
    // What musl had before release 1.2.1 and can still be built with: another allocator.
    ("__bin_chunk", "musl-oldmalloc"),
];

/// The function that tells mimalloc's version.
const MIMALLOC_VERSION: &str = "mi_version";

/// The functions that tell whose an allocator is.
pub fn names() -> impl Iterator<Item = &'static str> {
    MARKS.into_iter().map(|(function, _)| function).chain([MIMALLOC_VERSION])
}

/// The name of the allocator whose functions have no prefix; the file's name where it is none that is known. `has` tells of [`names`] whether
/// the file has them.
pub fn name(has: impl Fn(&str) -> bool, soname: Option<&str>, path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let marked = MARKS.iter().find_map(|(function, name)| has(function).then_some(*name));
    marked.or_else(|| by_name(soname.unwrap_or(file))).unwrap_or(file).to_owned()
}

/// The version of the allocator with this name, as far as the file tells it.
pub fn version<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, name: &str, find: impl Fn(&str) -> Option<Symbol>) -> Option<String> {
    let texts = || elf.section(".rodata").split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    match name {
        "glibc" => texts().find_map(glibc),
        "jemalloc" => texts().find_map(jemalloc),
        "tcmalloc" => texts().find_map(tcmalloc),
        "mimalloc" => find(MIMALLOC_VERSION).and_then(|symbol| mimalloc(elf, symbol)),
        // In a static program such a text may be anyone's.
        "musl" if !elf.is_static() => texts().find(|text| musl(text)).map(str::to_owned),
        _ => None,
    }
}

/// By the name of the library; musl's own build gives it none, and it is the loader as well.
fn by_name(name: &str) -> Option<&'static str> {
    match name {
        "libc.so.6" => Some("glibc"),
        "libc.so" => Some("musl"),
        name if name.starts_with("libc.musl-") || name.starts_with("ld-musl-") => Some("musl"),
        _ => None,
    }
}

/// `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.` and more lines.
fn glibc(text: &str) -> Option<String> {
    let line = text.strip_prefix("GNU C Library")?.lines().next()?;
    let (_, version) = line.split_once("release version ")?;
    Some(version.trim_end_matches('.').to_owned())
}

/// `5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c`: release, commits since, commit.
fn jemalloc(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let (release, commits, commit) = (parts.next()?, parts.next()?, parts.next()?);
    let numbers = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let dotted = release.split('.').count() == 3 && release.split('.').all(numbers);
    let hash = commit.strip_prefix('g')?.bytes().all(|byte| byte.is_ascii_hexdigit());
    (dotted && numbers(commits) && hash && parts.next().is_none()).then(|| release.to_owned())
}

/// `gperftools 2.10`
fn tcmalloc(text: &str) -> Option<String> {
    let version = text.strip_prefix("gperftools ")?;
    (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')).then(|| version.to_owned())
}

/// `1.2.3`
fn musl(text: &str) -> bool {
    text.split('.').count() == 3 && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `mi_version` returns a constant: 209 is 2.0.9.
fn mimalloc<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, symbol: Symbol) -> Option<String> {
    let number = probe::returned_constant(elf.code(symbol)).filter(|number| (100..1000).contains(number))?;
    Some(format!("{}.{}.{}", number / 100, number / 10 % 10, number % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries() {
        assert_eq!((by_name("libc.so.6"), by_name("ld-musl-x86_64.so.1"), by_name("libc.so")), (Some("glibc"), Some("musl"), Some("musl")));
        assert_eq!((by_name("libc++.so.1"), by_name("libasan.so.8")), (None, None));
    }

    #[test]
    fn versions_in_texts() {
        let banner = "GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright (C) 2022\n";
        assert_eq!(glibc(banner).as_deref(), Some("2.36"));
        assert_eq!((glibc("GNU C Library"), glibc("the GNU C Library release version 2")), (None, None));
        assert_eq!(jemalloc("5.3.0-0-g54eaed1d8b56").as_deref(), Some("5.3.0"));
        for other in ["5.3-0-gab", "5.3.0", "5.3.0-0-gxyz", "a.b.c-0-gab", "5.3.0-0-gab-x", "5.3.0--gab"] {
            assert_eq!(jemalloc(other), None, "{other}");
        }
        assert_eq!(["1.2.3", "1.2.3-git", "127.0.0.1", "1..3", ""].map(musl), [true, false, false, false, false]);
        assert_eq!((tcmalloc("gperftools 2.10").as_deref(), tcmalloc("gperftools "), tcmalloc("gperftools x")), (Some("2.10"), None, None));
    }
}
