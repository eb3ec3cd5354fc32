//! The kernel half: built with a compiler of its own, stored in the repository, rebuilt and compared.
//!
//! The object is stored so that a user needs stable Rust only. Its bytes depend on the versions of the compiler, the linker
//! and the strip tool, which are stored beside it, and on nothing else: paths are mapped away and the profile is pinned here.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{cargo_home, find, output, path_with, root, run as run_command};

const TARGET: &str = "bpfel-unknown-none";
const FLAGS: [&str; 9] = [
    "-Zbuild-std=core",
    "--locked",
    "--package=profiler-ebpf",
    "--bin=heapcast-bpf",
    "--features=probes",
    "--release",
    "--target",
    TARGET,
    "--target-dir",
];
const MISSING: &str = "no toolchain for the kernel half: `cargo xtask setup` installs one on Debian; elsewhere
  rustup toolchain install nightly --component rust-src --component clippy
  cargo install bpf-linker --version 0.13.0
  and LLVM's llvm-strip";

/// `cargo xtask ebpf WHAT`.
pub(crate) fn run(what: &str) -> Result<(), String> {
    match what {
        "build" => build(),
        "check" => check(),
        "clippy" => clippy(),
        _ => Err(format!("ebpf: build, check or clippy, not `{what}`")),
    }
}

/// Builds the object and stores it together with the versions that made it.
pub(crate) fn build() -> Result<(), String> {
    let toolchain = Toolchain::find().ok_or(MISSING)?;
    let object = toolchain.build()?;
    write(&stored("heapcast.bpf.o"), &object)?;
    write(&stored("TOOLCHAIN"), toolchain.versions.as_bytes())?;
    println!("stored {} bytes, made by\n{}", object.len(), toolchain.versions);
    Ok(())
}

/// Builds the object again; with the toolchain that made the stored one, the two must be the same byte for byte.
pub(crate) fn check() -> Result<(), String> {
    let toolchain = Toolchain::find().ok_or(MISSING)?;
    let recorded = String::from_utf8_lossy(&read(&stored("TOOLCHAIN"))?).into_owned();
    let object = toolchain.build()?;
    if recorded != toolchain.versions {
        println!("builds, not compared: the stored object was made by\n{recorded}and this is\n{}", toolchain.versions);
        return Ok(());
    }
    let old = read(&stored("heapcast.bpf.o"))?;
    match old.iter().zip(&object).position(|(a, b)| a != b) {
        None if old.len() == object.len() => {
            println!("the stored object is what its source gives: {} bytes", old.len());
            Ok(())
        }
        difference => Err(format!(
            "the stored object ({} bytes) is not what its source gives ({} bytes; first difference at byte {}): run `cargo xtask ebpf build`",
            old.len(),
            object.len(),
            difference.unwrap_or(old.len().min(object.len()))
        )),
    }
}

/// Lints the probes for their own target, with warnings denied.
pub(crate) fn clippy() -> Result<(), String> {
    let toolchain = Toolchain::find().ok_or(MISSING)?;
    let folder = toolchain.rustc.parent().unwrap_or(Path::new("/"));
    if !folder.join("clippy-driver").is_file() {
        return Err(format!("no clippy beside {}: `cargo xtask setup`, or the toolchain's clippy component", toolchain.rustc.display()));
    }
    // cargo-clippy takes the driver that lies beside it, hence the compiler's folder first.
    let mut cargo = Command::new(folder.join("cargo-clippy"));
    cargo.arg("clippy").args(FLAGS).arg(root().join("target/ebpf-clippy")).args(["--", "-Dwarnings"]);
    // A distribution may have no cargo beside its compiler; then the one that runs this does as well.
    let beside = Some(folder.join("cargo")).filter(|path| path.is_file());
    let running = beside.or_else(|| std::env::var_os("CARGO").map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("cargo"));
    run_command(toolchain.environment(&mut cargo).env("PATH", path_with(folder)).env("CARGO", running))
}

/// What builds the object.
struct Toolchain {
    rustc: PathBuf,
    /// Source of the compiler's library, below which `library/core` lies.
    source: PathBuf,
    linker: PathBuf,
    strip: PathBuf,
    /// What the bytes depend on, one line each.
    versions: String,
}

impl Toolchain {
    /// A distribution's compiler with its library source, or a rustup nightly.
    fn find() -> Option<Toolchain> {
        let nightly = output("rustup", &["which", "--toolchain", "nightly", "rustc"]).map(|path| PathBuf::from(path.trim()));
        [Some(PathBuf::from("/usr/bin/rustc")), nightly].into_iter().flatten().find_map(Toolchain::with)
    }

    fn with(rustc: PathBuf) -> Option<Toolchain> {
        let source = Path::new(output(&rustc, &["--print=sysroot"])?.trim()).join("lib/rustlib/src/rust");
        if !source.join("library/core/Cargo.toml").is_file() {
            return None;
        }
        let linker = find("bpf-linker")?;
        let strip = ["llvm-strip-22", "llvm-strip"].iter().find_map(|name| find(name))?;
        let version = output(&rustc, &["-vV"])?;
        let line = |start: &str| version.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        let strip_version = output(&strip, &["--version"])?;
        let strip_version = strip_version.lines().find(|line| line.contains("version")).unwrap_or_default().trim();
        let linker_version = output(&linker, &["--version"])?;
        let versions = format!("{}\n{}\n{}\nllvm-strip: {strip_version}\n", line("rustc"), line("LLVM"), linker_version.trim());
        Some(Toolchain { rustc, source, linker, strip, versions })
    }

    /// Builds and strips: the type information that the kernel wants stays, the debug information goes.
    fn build(&self) -> Result<Vec<u8>, String> {
        let target = root().join("target/ebpf");
        let mut cargo = Command::new("cargo");
        run_command(self.environment(cargo.arg("build").args(FLAGS).arg(&target)))?;
        let built = target.join(TARGET).join("release/heapcast-bpf");
        let stripped = built.with_extension("o");
        run_command(Command::new(&self.strip).arg("--strip-debug").arg("-o").arg(&stripped).arg(&built))?;
        read(&stripped)
    }

    /// Everything that the result depends on is set here, whatever the caller's environment and the workspace's profiles say.
    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let linker_folder = self.linker.parent().unwrap_or(Path::new("/"));
        command
            .current_dir(root())
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTFLAGS")
            .env("PATH", path_with(linker_folder))
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags())
    }

    /// Type information for the loader, and no path of this machine in it.
    fn rustflags(&self) -> OsString {
        let mut flags = OsString::from("-Clink-arg=--btf");
        let registry = cargo_home().join("registry/src");
        for (folder, name) in [(root(), "heapcast"), (&registry, "registry"), (&self.source, "rust")] {
            flags.push("\x1f--remap-path-prefix=");
            flags.push(folder);
            flags.push("=");
            flags.push(name);
        }
        flags
    }
}

fn stored(name: &str) -> PathBuf {
    root().join("profiler-ebpf/object").join(name)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}
