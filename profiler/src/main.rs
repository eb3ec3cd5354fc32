//! The `heapcast` program; everything is in the library.

fn main() -> std::process::ExitCode {
    profiler::cli::main()
}
