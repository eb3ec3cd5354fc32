//! Whether the program compiles for arm64, with Debian's compiler and its arm64 library, which is unpacked below `target` and never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{cargo, find, output, root, run as run_command};
use crate::libcs::{apt, packages};

const COMPILER: &str = "/usr/bin/rustc";
/// For the libraries in C that dependencies bring.
const C_COMPILER: &str = "aarch64-linux-gnu-gcc";
const TARGET: &str = "aarch64-unknown-linux-gnu";
const LIBRARY: &str = "libstd-rust-web-dev";
const ARM64: [&str; 4] = ["-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"];

/// `cargo xtask arm64`. It takes some minutes, most of them for `polars`.
pub(crate) fn run() -> Result<(), String> {
    find(C_COMPILER).ok_or(format!("there is no {C_COMPILER}: Debian's package gcc-aarch64-linux-gnu"))?;
    let sysroot = sysroot(&root().join("target/arm64-library"))?;
    let mut check = cargo("check --locked --package profiler --target-dir target/arm64 --target");
    check.arg(TARGET).env("RUSTC", COMPILER).env_remove("RUSTUP_TOOLCHAIN");
    run_command(check.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", sysroot.display())))
}

/// A folder with the libraries of this machine, for build scripts, and of arm64.
fn sysroot(folder: &Path) -> Result<PathBuf, String> {
    let sysroot = folder.join("sysroot");
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let own = output(COMPILER, &["--print=sysroot"]).ok_or(format!("there is no {COMPILER}: Debian's package rustc-web"))?;
    fetch(folder)?;
    let unpacked = folder.join("root");
    for package in packages(folder).map_err(failed)? {
        run_command(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    }
    let place = folder.join("begun/lib/rustlib");
    fs::create_dir_all(&place).map_err(failed)?;
    for entry in fs::read_dir(Path::new(own.trim()).join("lib/rustlib")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        symlink(entry.path(), place.join(entry.file_name())).map_err(failed)?;
    }
    symlink(unpacked.join("usr/lib/rustlib").join(TARGET), place.join(TARGET)).map_err(failed)?;
    // Renamed in the end: what is there is complete.
    fs::rename(folder.join("begun"), &sysroot).map_err(failed)?;
    Ok(sysroot)
}

/// The library and what it needs, of the version of this machine's, from wherever that came.
fn fetch(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let version = output("dpkg-query", &["--show", "--showformat=${Version}", LIBRARY]).ok_or(format!("{LIBRARY} is not installed"))?;
    let targets = output("apt-get", &["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let sources: String = targets.unwrap_or_default().lines().filter_map(|line| line.split_once(' ')).map(source).collect();
    if sources.is_empty() {
        return Err("no mirror of Debian is set up here".to_owned());
    }
    crate::libcs::set_up(&sources, folder).map_err(failed)?;
    run_command(apt("apt-get", folder).args(ARM64).args(["--quiet=2", "update"]))?;
    let shared = apt("apt-cache", folder).args(ARM64).args(["depends", &format!("{LIBRARY}={version}")]).output().map_err(failed)?;
    let shared = String::from_utf8_lossy(&shared.stdout).into_owned();
    let names = shared.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).filter(|name| name.starts_with("libstd-rust"));
    let wanted: Vec<String> = names.chain([LIBRARY]).map(|name| format!("{name}={version}")).collect();
    run_command(apt("apt-get", folder).args(ARM64).args(["--quiet=2", "download"]).args(wanted))
}

/// A line of `sources.list`.
fn source((release, mirror): (&str, &str)) -> String {
    crate::libcs::source(mirror, release)
}
