//! From a SPEC to a library and its environment.

use std::path::{Path, PathBuf};

use super::elf;
use crate::error::{Error, Kind, Result};
use crate::model::REGISTRY;
use crate::replay::Policy;
use crate::vm::thp;

/// What to run: a library with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As it was given.
    pub spec: String,
    /// What is preloaded; `None` is libc's own malloc.
    pub library: Option<PathBuf>,
    /// The child's environment.
    pub variables: Vec<(String, String)>,
    /// The child shall have no huge pages, whatever the machine's setting is.
    pub no_huge_pages: bool,
}

/// A library that is looked for by the name of its allocator.
struct Known {
    name: &'static str,
    /// How its variables begin.
    variables: &'static str,
    /// Names of its file, each perhaps followed by a dot and more.
    files: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
}

const GLIBC: &str = "glibc";

const KNOWN: [Known; 3] = [
    Known { name: "jemalloc", variables: "MALLOC_CONF", files: &["libjemalloc.so.2"], package: "libjemalloc2" },
    Known { name: "mimalloc", variables: "MIMALLOC_", files: &["libmimalloc.so.2"], package: "libmimalloc2.0" },
    Known {
        name: "tcmalloc",
        variables: "TCMALLOC_",
        files: &["libtcmalloc_minimal.so.4", "libtcmalloc.so.4"],
        package: "libtcmalloc-minimal4",
    },
];

impl Choice {
    /// Understands a SPEC of an allocator that has a library here.
    ///
    /// # Errors
    /// `Usage` for what is not understood or no library does; `Target` when the library is not installed.
    pub fn parse(spec: &str) -> Result<Choice> {
        let (body, huge) = spec.split_once('+').map_or((spec, None), |(body, huge)| (body, Some(huge)));
        let (name, variables) = match body.strip_prefix("env:") {
            Some(assignments) => from_assignments(spec, assignments)?,
            None => from_name(spec, body)?,
        };
        let library = if name == GLIBC { None } else { Some(find(&name)?) };
        Ok(Choice { spec: spec.to_owned(), library, variables, no_huge_pages: no_huge_pages(huge)? })
    }

    /// A library by its file.
    ///
    /// # Errors
    /// `Target` when it cannot be preloaded.
    pub fn library(path: &Path) -> Result<Choice> {
        elf::check(path)?;
        let whole = path.canonicalize().map_err(|cause| Error::new(Kind::Target, format!("{}: {cause}", path.display())))?;
        Ok(Choice { spec: path.display().to_string(), library: Some(whole), variables: Vec::new(), no_huge_pages: false })
    }

    /// Every allocator that is installed here, libc's first, with its defaults.
    pub fn installed() -> Vec<Choice> {
        let names = std::iter::once(GLIBC).chain(KNOWN.iter().map(|known| known.name));
        names.filter_map(|name| Choice::parse(name).ok()).collect()
    }

    /// The file whose malloc it is, for people.
    pub fn file(&self) -> String {
        self.library.as_ref().map_or("libc".to_owned(), |path| path.display().to_string())
    }
}

fn usage(message: String) -> Error {
    Error::new(Kind::Usage, message)
}

/// `NAME[@VERSION][:key=value…]`
fn from_name(spec: &str, body: &str) -> Result<(String, Vec<(String, String)>)> {
    let end = body.find(['@', ':']).unwrap_or(body.len());
    let name = &body[..end];
    let known = KNOWN.iter().any(|known| known.name == name);
    if !is_modelled(name) && known {
        let bare = body == name;
        let refused = || usage(format!("the settings of {name} are not known here: give its own variables, as in env:VARIABLE=value"));
        return bare.then(|| (name.to_owned(), Vec::new())).ok_or_else(refused);
    }
    let policy = Policy::parse(spec)?;
    if !known && name != GLIBC {
        return Err(usage(format!("{name} is a model without a library: `heapcast replay` shows it; measured are glibc, {}", names())));
    }
    if let Some(version) = body.strip_prefix(name).and_then(|rest| rest.strip_prefix('@')) {
        refuse_other_version(name, version.split(':').next().unwrap_or_default())?;
    }
    Ok((name.to_owned(), policy.variables()?))
}

/// `VARIABLE=value VARIABLE=value`
fn from_assignments(spec: &str, assignments: &str) -> Result<(String, Vec<(String, String)>)> {
    let pairs = assignments.split_whitespace().filter_map(|assignment| assignment.split_once('='));
    let variables: Vec<(String, String)> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let of = |variable: &str| match KNOWN.iter().find(|known| variable.starts_with(known.variables)) {
        Some(known) => known.name,
        None => GLIBC,
    };
    let name = variables.first().map_or(GLIBC, |(variable, _)| of(variable));
    // Where there is a model it knows the variables, and what does not belong together.
    if is_modelled(name) {
        Policy::parse(spec)?;
    } else if let Some((other, _)) = variables.iter().find(|(variable, _)| of(variable) != name) {
        return Err(usage(format!("{other} is no variable of {name}")));
    }
    Ok((name.to_owned(), variables))
}

/// What `LD_PRELOAD` takes for an allocator, for the loader to find in its usual folders.
pub fn preloaded(name: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|known| known.name == name).and_then(|known| known.files.first().copied());
    known.or_else(|| (name == GLIBC).then_some("libc.so.6"))
}

fn is_modelled(name: &str) -> bool {
    REGISTRY.iter().any(|spec| spec.id == name)
}

fn names() -> String {
    KNOWN.map(|known| known.name).join(", ")
}

fn refuse_other_version(name: &str, version: &str) -> Result<()> {
    if name != GLIBC {
        return Err(usage(format!("{name}@{version}: measured is the {name} that is installed here; leave out @{version}")));
    }
    let installed = libc_version();
    let refused = || usage(format!("glibc@{version}: measured is the libc of this machine, which is {installed}; leave out @{version}"));
    (installed == version).then_some(()).ok_or_else(refused)
}

fn libc_version() -> String {
    // SAFETY: libc gives a string that stays.
    unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) }.to_string_lossy().into_owned()
}

/// A process can do without huge pages; what the whole machine does cannot be chosen here.
fn no_huge_pages(asked: Option<&str>) -> Result<bool> {
    let Some(asked) = asked.and_then(|asked| asked.strip_prefix("thp=")) else { return Ok(false) };
    let mode = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if mode.contains(&format!("[{asked}]")) {
        return Ok(false);
    }
    let never = thp::Mode::ALL.iter().any(|(mode, name)| *mode == thp::Mode::Never && *name == asked);
    let refused = || {
        let file = "/sys/kernel/mm/transparent_hugepage/enabled";
        usage(format!("thp={asked} is not what this machine does (`{}`): write {asked} to {file} first", mode.trim()))
    };
    never.then_some(true).ok_or_else(refused)
}

/// The installed library of an allocator.
fn find(name: &str) -> Result<PathBuf> {
    let missing = |what: &str, package: &str| {
        Error::new(Kind::Target, format!("{what} was not found: install it (Debian: {package}), or name a file with --library"))
    };
    let known = KNOWN.iter().find(|known| known.name == name).ok_or_else(|| missing(name, "its package"))?;
    let found = known.files.iter().find_map(|file| search(file)).ok_or_else(|| missing(known.files[0], known.package))?;
    elf::check(&found)?;
    Ok(found.canonicalize().unwrap_or(found))
}

const FOLDERS: [&str; 7] =
    ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib"];

/// A library file in what the loader has cached, else in the usual folders.
fn search(name: &str) -> Option<PathBuf> {
    let matches = |path: &Path| {
        let rest = path.file_name()?.to_str()?.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('.')).then_some(())
    };
    let cache = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
    let cached = cache.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok()).map(PathBuf::from);
    let cached = cached.filter(|path| path.is_absolute());
    let listed = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let listed = listed.flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())));
    cached.chain(listed).find(|path| matches(path).is_some() && elf::check(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(spec: &str) -> String {
        Choice::parse(spec).unwrap_err().message
    }

    fn variables(spec: &str) -> Vec<(String, String)> {
        Choice::parse(spec).unwrap().variables
    }

    #[test]
    fn settings_become_the_real_knobs() {
        let tunables = |text: &str| vec![("GLIBC_TUNABLES".to_owned(), text.to_owned())];
        assert_eq!(variables("glibc"), []);
        assert_eq!(variables("glibc:arena_max=2"), tunables("glibc.malloc.arena_max=2"));
        assert_eq!(
            variables("glibc:mmap_threshold=64K,arena_max=1"),
            tunables("glibc.malloc.mmap_threshold=65536:glibc.malloc.arena_max=1")
        );
        assert_eq!(variables("env:GLIBC_TUNABLES=glibc.malloc.top_pad=0"), tunables("glibc.malloc.top_pad=0"));
        assert_eq!(Choice::parse("glibc").unwrap().library, None);
    }

    #[test]
    fn what_no_library_does_is_refused() {
        assert!(refused("brk-only").contains("without a library"));
        assert!(refused("glibc@2.99").contains("did you mean"));
        let other = ["2.31", "2.35"].into_iter().find(|version| *version != libc_version()).unwrap();
        assert!(refused(&format!("glibc@{other}:arena_max=1")).contains(&format!("leave out @{other}")));
        assert!(refused("glibc:arena_maxx=1").contains("arena_max"));
        assert!(refused("no-such-allocator").contains("glibc"));
        assert!(refused("glibc+thp=sometimes").contains("always"));
    }

    #[test]
    fn variables_name_their_library() {
        let named = |assignments: &str| from_assignments(&format!("env:{assignments}"), assignments);
        let one = ("MALLOC_CONF".to_owned(), "dirty_decay_ms:0".to_owned());
        assert_eq!(named("MALLOC_CONF=dirty_decay_ms:0"), Ok(("jemalloc".to_owned(), vec![one])));
        assert!(named("MALLOC_CONF=dirty_decay_ms:0 GLIBC_TUNABLES=glibc.malloc.top_pad=0").is_err());
        assert!(named("GLIBC_TUNABLES=glibc.malloc.top_pad=0 MALLOC_CONF=dirty_decay_ms:0").is_err());
    }
}
