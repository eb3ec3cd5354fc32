//! Where the running kernel keeps the fields of its tracepoints: their offsets are no ABI.

use std::path::Path;

use profiler_ebpf as wire;

/// The globals of the kernel half that must be overridden on this kernel, with the offset in bytes.
pub fn offsets() -> Vec<(&'static str, u32)> {
    wire::FIELDS
        .iter()
        .filter_map(|field| {
            let format = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].into_iter().find_map(|home| {
                std::fs::read_to_string(Path::new(home).join("events").join(field.category).join(field.tracepoint).join("format")).ok()
            })?;
            let offset = offset(&format, field.field)?;
            (offset != field.default).then_some((field.global, offset))
        })
        .collect()
}

/// Offset of a field in a tracepoint's `format` text: lines like `field:pid_t pid; offset:8; size:4; signed:1;`.
fn offset(format: &str, field: &str) -> Option<u32> {
    format.lines().find_map(|line| {
        let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
        let name = declaration.rsplit([' ', '*']).next()?.split('[').next()?;
        if name != field {
            return None;
        }
        rest.split(';').find_map(|part| part.trim().strip_prefix("offset:"))?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::offset;

    const FORMAT: &str = "name: task_newtask\nformat:\n\tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\tfield:const char * name;\toffset:28;\tsize:8;\tsigned:0;\n";

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(
            [offset(FORMAT, "pid"), offset(FORMAT, "comm"), offset(FORMAT, "name"), offset(FORMAT, "char")],
            [Some(8), Some(12), Some(28), None]
        );
    }
}
