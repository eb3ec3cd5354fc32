//! Installs what the chores and the live tests need, or names what is missing. Does nothing where everything is there.

use std::{path::Path, process::Command};

use crate::command::{find, output, path_with, root, run as run_command};

/// Debian packages, with what they are for.
const PACKAGES: [(&str, &[&str]); 6] = [
    ("the kernel half", &["gcc", "rustc-web", "rust-web-src", "rust-web-clippy", "llvm-22-dev", "libpolly-22-dev"]),
    (
        "the live tests",
        &[
            "strace",
            "sqlite3",
            "jq",
            "perl",
            "pigz",
            "redis-server",
            "redis-tools",
            "xz-utils",
            "git",
            "bpftrace",
            "bpftool",
            "imagemagick",
            "nodejs",
        ],
    ),
    (
        "recordings under other allocators, and the tests of their models",
        &["libjemalloc2", "libmimalloc2.0", "libtcmalloc-minimal4", "musl-tools"],
    ),
    ("programs that bring an allocator with them", &["g++", "libjemalloc-dev", "libgoogle-perftools-dev", "binutils"]),
    ("recordings under other kernels", &["qemu-system-x86", "busybox-static", "cpio"]),
    ("the report's page tests", &["chromium", "python3", "python3-venv"]),
];
/// What only the benchmark compares with: `cargo xtask setup bench`.
const COMPARED: [&str; 4] = ["heaptrack", "valgrind", "bpfcc-tools", "linux-headers-amd64"];
const COMPONENTS: [&str; 2] = ["clippy", "rustfmt"];
const LINKER: &str = "bpf-linker 0.13.0";
const LLVM: &str = "/usr/lib/llvm-22";

/// `cargo xtask setup [bench]`.
pub(crate) fn run(for_bench: bool) -> Result<(), String> {
    let steps = [packages(for_bench), components(), linker(), readers()];
    let failures: Vec<String> = steps.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() {
        println!("everything is there");
        return Ok(());
    }
    Err(failures.join("\n"))
}

fn packages(for_bench: bool) -> Result<(), String> {
    let missing = missing_packages(for_bench);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find("apt-get").is_none() || !is_root() {
        return Err(format!("missing packages (Debian's names): {names}\n  as root: apt-get install {names}"));
    }
    run_command(Command::new("apt-get").arg("update"))?;
    let mut install = Command::new("apt-get");
    run_command(install.args(["install", "--yes", "--no-install-recommends"]).args(&missing).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn missing_packages(for_bench: bool) -> Vec<&'static str> {
    let compared = COMPARED.iter().filter(|_| for_bench);
    PACKAGES.iter().flat_map(|(_, names)| *names).chain(compared).copied().filter(|name| !is_installed(name)).collect()
}

fn is_installed(package: &str) -> bool {
    output("dpkg-query", &["--show", "--showformat=${db:Status-Status}", package]).is_some_and(|status| status == "installed")
}

fn is_root() -> bool {
    output("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// Where the compiler does not come from rustup, its clippy and rustfmt do not either.
fn components() -> Result<(), String> {
    let Some(installed) = output("rustup", &["component", "list", "--installed"]) else { return Ok(()) };
    let missing: Vec<&str> = COMPONENTS.into_iter().filter(|name| !installed.contains(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    run_command(Command::new("rustup").args(["component", "add"]).args(missing))
}

/// Built against Debian's LLVM: the crate's own way of getting one downloads a compiler.
fn linker() -> Result<(), String> {
    if find("bpf-linker").and_then(|file| output(file, &["--version"])).is_some_and(|version| version.trim() == LINKER) {
        return Ok(());
    }
    if !Path::new(LLVM).is_dir() {
        return Err(format!("missing: {LINKER}, and {LLVM} to build it with (package llvm-22-dev)"));
    }
    let (name, version) = LINKER.split_once(' ').unwrap_or((LINKER, ""));
    let mut install = Command::new("cargo");
    install.args(["install", name, "--version", version, "--locked", "--no-default-features", "--features", "llvm-22"]);
    run_command(install.env("LLVM_PREFIX", LLVM).env("PATH", path_with(&Path::new(LLVM).join("bin"))))
}

/// Python's readers of Arrow files, for the tests that open a trace with them.
fn readers() -> Result<(), String> {
    let folder = root().join("target/venv");
    let python = folder.join("bin/python");
    if output(&python, &["-c", "import pyarrow, polars"]).is_some() {
        return Ok(());
    }
    run_command(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run_command(Command::new(&python).args(["-m", "pip", "install", "--quiet", "pyarrow", "polars"]))
}
