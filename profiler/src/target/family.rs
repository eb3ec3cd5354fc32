//! THE TABLE of functions that hand out, resize and take back memory, by the names that allocators give them.
//!
//! Queries (`malloc_usable_size`, `nallocx`, `mi_good_size`, …) change nothing and are not in it.

use profiler_ebpf::Form::{Flags, InPlace, Layout, Plain};
use profiler_ebpf::Kind::{AlignedAlloc, Calloc, Free, Malloc, Mallopt, Memalign, PosixMemalign, Pvalloc, Realloc, Trim, Valloc};
use profiler_ebpf::slot::{ALIGN, COUNT, POINTER, SIZE};
use profiler_ebpf::{Form, Kind};

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name without the allocator's prefix.
    pub name: &'static str,
    /// What its records are.
    pub kind: Kind,
    /// How its arguments are meant.
    pub form: Form,
    /// Which of its arguments (by position) are wanted, and what for (see [`profiler_ebpf::slot`]).
    pub arguments: &'static [(usize, usize)],
}

impl Function {
    /// Whether it hands out or resizes a block.
    pub fn allocates(&self) -> bool {
        !matches!(self.kind, Free | Trim | Mallopt)
    }

    /// Whether it is one of C's own, which every allocator has code for; the others may merely pass on to one of these.
    pub fn is_basic(&self) -> bool {
        C.iter().any(|function| function == self)
    }

    /// Whether an exception may leave it. A return probe, whose return address no unwinder knows, would then end the program.
    pub fn throws(&self) -> bool {
        THROWING.contains(&self.name)
    }

    /// Whether a call of the other, made by this one, says all that a record of this one would.
    pub fn is_told_by(&self, other: &Function) -> bool {
        let aligned = |kind| matches!(kind, Memalign | AlignedAlloc | PosixMemalign);
        let same = self.kind == other.kind || (aligned(self.kind) && aligned(other.kind));
        // Flags and layouts become one kind or another by their values.
        self.allocates() == other.allocates() && (same || matches!(self.form, Flags | Layout))
    }
}

/// Functions whose names begin alike.
pub struct Set {
    /// What stands before their names.
    pub prefix: &'static str,
    /// Whose prefix it is; without one, whose functions they are must be found out.
    pub allocator: Option<&'static str>,
    /// The functions; where two names share their code the earlier one is probed.
    pub functions: &'static [&'static [Function]],
}

/// Every set. A prefix is what the allocator's own build (`mi_`, `tc_`) or a program that builds it in (`je_`) puts before the names.
pub const SETS: [Set; 7] = [
    Set { prefix: "", allocator: None, functions: &[&C, &C_MORE, &JEMALLOC, &CPP, &RUST] },
    Set { prefix: "je_", allocator: Some("jemalloc"), functions: &[&C, &C_MORE, &JEMALLOC] },
    Set { prefix: "_rjem_", allocator: Some("jemalloc"), functions: &[&C, &C_MORE, &JEMALLOC] },
    Set { prefix: "_rjem_je_", allocator: Some("jemalloc"), functions: &[&C, &C_MORE, &JEMALLOC] },
    Set { prefix: "rjem_", allocator: Some("jemalloc"), functions: &[&C, &C_MORE, &JEMALLOC] },
    Set { prefix: "mi_", allocator: Some("mimalloc"), functions: &[&C, &C_MORE, &MIMALLOC, &MIMALLOC_HEAP] },
    Set { prefix: "tc_", allocator: Some("tcmalloc"), functions: &[&C, &C_MORE, &TCMALLOC] },
];

const fn f(kind: Kind, name: &'static str, arguments: &'static [(usize, usize)]) -> Function {
    Function { name, kind, form: Plain, arguments }
}

const fn formed(kind: Kind, form: Form, name: &'static str, arguments: &'static [(usize, usize)]) -> Function {
    Function { name, kind, form, arguments }
}

/// `(size)`
const S: &[(usize, usize)] = &[(SIZE, 0)];
/// `(block)`
const P: &[(usize, usize)] = &[(POINTER, 0)];
/// `(count, size)`
const CS: &[(usize, usize)] = &[(COUNT, 0), (SIZE, 1)];
/// `(block, size)`
const PS: &[(usize, usize)] = &[(POINTER, 0), (SIZE, 1)];
/// `(block, count, size)`
const PCS: &[(usize, usize)] = &[(POINTER, 0), (COUNT, 1), (SIZE, 2)];
/// `(alignment, size)`
const AS: &[(usize, usize)] = &[(ALIGN, 0), (SIZE, 1)];
/// `(size, alignment)`
const SA: &[(usize, usize)] = &[(SIZE, 0), (ALIGN, 1)];
/// `(count, size, alignment)`
const CSA: &[(usize, usize)] = &[(COUNT, 0), (SIZE, 1), (ALIGN, 2)];
/// `(heap, size)`
const HS: &[(usize, usize)] = &[(SIZE, 1)];
/// `(heap, count, size)`
const HCS: &[(usize, usize)] = &[(COUNT, 1), (SIZE, 2)];
/// `(heap, block, size)`
const HPS: &[(usize, usize)] = &[(POINTER, 1), (SIZE, 2)];
/// `(heap, block, count, size)`
const HPCS: &[(usize, usize)] = &[(POINTER, 1), (COUNT, 2), (SIZE, 3)];
/// `(heap, size, alignment)`
const HSA: &[(usize, usize)] = &[(SIZE, 1), (ALIGN, 2)];
/// `(heap, count, size, alignment)`
const HCSA: &[(usize, usize)] = &[(COUNT, 1), (SIZE, 2), (ALIGN, 3)];

/// C's own, and those of glibc that others have taken over.
const C: [Function; 11] = [
    f(Malloc, "malloc", S),
    f(Free, "free", P),
    f(Calloc, "calloc", CS),
    f(Realloc, "realloc", PS),
    f(Memalign, "memalign", AS),
    f(AlignedAlloc, "aligned_alloc", AS),
    f(PosixMemalign, "posix_memalign", &[(POINTER, 0), (ALIGN, 1), (SIZE, 2)]),
    f(Valloc, "valloc", S),
    f(Pvalloc, "pvalloc", S),
    f(Trim, "malloc_trim", S),
    f(Mallopt, "mallopt", PS),
];

/// Later, older and other systems' names.
const C_MORE: [Function; 6] = [
    f(Realloc, "reallocarray", PCS),
    f(Realloc, "reallocf", PS),
    f(Free, "cfree", P),
    f(Free, "vfree", P),
    f(Free, "free_sized", P),
    f(Free, "free_aligned_sized", P),
];

/// jemalloc's non-standard functions.
const JEMALLOC: [Function; 5] = [
    formed(Malloc, Flags, "mallocx", SA),
    f(Realloc, "rallocx", PS),
    formed(Realloc, InPlace, "xallocx", PS),
    f(Free, "dallocx", P),
    f(Free, "sdallocx", P),
];

/// mimalloc's own functions on the default heap. A `realloc` to an alignment is recorded without it.
const MIMALLOC: [Function; 27] = [
    f(Calloc, "zalloc", S),
    f(Malloc, "malloc_small", S),
    f(Calloc, "zalloc_small", S),
    f(Malloc, "mallocn", CS),
    f(Realloc, "reallocn", PCS),
    f(Realloc, "rezalloc", PS),
    f(Realloc, "recalloc", PCS),
    f(Realloc, "expand", PS),
    f(AlignedAlloc, "malloc_aligned", SA),
    f(AlignedAlloc, "malloc_aligned_at", SA),
    f(AlignedAlloc, "zalloc_aligned", SA),
    f(AlignedAlloc, "zalloc_aligned_at", SA),
    f(AlignedAlloc, "calloc_aligned", CSA),
    f(AlignedAlloc, "calloc_aligned_at", CSA),
    f(Realloc, "realloc_aligned", PS),
    f(Realloc, "realloc_aligned_at", PS),
    f(Realloc, "rezalloc_aligned", PS),
    f(Realloc, "rezalloc_aligned_at", PS),
    f(Free, "free_size", P),
    f(Free, "free_aligned", P),
    f(Free, "free_size_aligned", P),
    f(Malloc, "new", S),
    f(Malloc, "new_n", CS),
    f(Malloc, "new_nothrow", S),
    f(AlignedAlloc, "new_aligned", SA),
    f(AlignedAlloc, "new_aligned_nothrow", SA),
    f(Realloc, "new_realloc", PS),
];

/// The same on a heap that is named.
const MIMALLOC_HEAP: [Function; 19] = [
    f(Malloc, "heap_malloc", HS),
    f(Malloc, "heap_malloc_small", HS),
    f(Calloc, "heap_zalloc", HS),
    f(Calloc, "heap_calloc", HCS),
    f(Malloc, "heap_mallocn", HCS),
    f(Realloc, "heap_realloc", HPS),
    f(Realloc, "heap_reallocn", HPCS),
    f(Realloc, "heap_reallocf", HPS),
    f(Realloc, "heap_rezalloc", HPS),
    f(Realloc, "heap_recalloc", HPCS),
    f(AlignedAlloc, "heap_malloc_aligned", HSA),
    f(AlignedAlloc, "heap_malloc_aligned_at", HSA),
    f(AlignedAlloc, "heap_zalloc_aligned", HSA),
    f(AlignedAlloc, "heap_zalloc_aligned_at", HSA),
    f(AlignedAlloc, "heap_calloc_aligned", HCSA),
    f(Realloc, "heap_realloc_aligned", HPS),
    f(Realloc, "heap_rezalloc_aligned", HPS),
    f(Malloc, "heap_alloc_new", HS),
    f(Malloc, "heap_alloc_new_n", HCS),
];

/// What gperftools calls its C++ operators, and more.
const TCMALLOC: [Function; 17] = [
    f(Malloc, "malloc_skip_new_handler", S),
    f(Malloc, "new", S),
    f(Malloc, "newarray", S),
    f(Malloc, "new_nothrow", S),
    f(Malloc, "newarray_nothrow", S),
    f(AlignedAlloc, "new_aligned", SA),
    f(AlignedAlloc, "newarray_aligned", SA),
    f(AlignedAlloc, "new_aligned_nothrow", SA),
    f(AlignedAlloc, "newarray_aligned_nothrow", SA),
    f(Free, "delete", P),
    f(Free, "deletearray", P),
    f(Free, "delete_nothrow", P),
    f(Free, "deletearray_nothrow", P),
    f(Free, "delete_sized", P),
    f(Free, "deletearray_sized", P),
    f(Free, "delete_aligned", P),
    f(Free, "delete_sized_aligned", P),
];

/// C++: `operator new` and `delete`, as compilers write their names on machines where `size_t` is `unsigned long`.
const CPP: [Function; 20] = [
    f(Malloc, "_Znwm", S),
    f(Malloc, "_Znam", S),
    f(Malloc, "_ZnwmRKSt9nothrow_t", S),
    f(Malloc, "_ZnamRKSt9nothrow_t", S),
    f(AlignedAlloc, "_ZnwmSt11align_val_t", SA),
    f(AlignedAlloc, "_ZnamSt11align_val_t", SA),
    f(AlignedAlloc, "_ZnwmSt11align_val_tRKSt9nothrow_t", SA),
    f(AlignedAlloc, "_ZnamSt11align_val_tRKSt9nothrow_t", SA),
    f(Free, "_ZdlPv", P),
    f(Free, "_ZdaPv", P),
    f(Free, "_ZdlPvRKSt9nothrow_t", P),
    f(Free, "_ZdaPvRKSt9nothrow_t", P),
    f(Free, "_ZdlPvm", P),
    f(Free, "_ZdaPvm", P),
    f(Free, "_ZdlPvSt11align_val_t", P),
    f(Free, "_ZdaPvSt11align_val_t", P),
    f(Free, "_ZdlPvSt11align_val_tRKSt9nothrow_t", P),
    f(Free, "_ZdaPvSt11align_val_tRKSt9nothrow_t", P),
    f(Free, "_ZdlPvmSt11align_val_t", P),
    f(Free, "_ZdaPvmSt11align_val_t", P),
];

/// Those that throw `std::bad_alloc`, or what a handler of the program throws: `operator new`, and the libraries' own names for it.
const THROWING: [&str; 12] = [
    "_Znwm",
    "_Znam",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "new",
    "newarray",
    "new_n",
    "new_aligned",
    "newarray_aligned",
    "new_realloc",
    "heap_alloc_new",
    "heap_alloc_new_n",
];

/// Rust: what a program calls, the default behind it and a `#[global_allocator]`'s. Since Rust 1.87 their names are mangled; see
/// [`plain_name`].
const RUST: [Function; 12] = [
    formed(Malloc, Layout, "__rust_alloc", SA),
    f(Free, "__rust_dealloc", P),
    formed(Realloc, Layout, "__rust_realloc", &[(POINTER, 0), (SIZE, 3)]),
    formed(Calloc, Layout, "__rust_alloc_zeroed", SA),
    formed(Malloc, Layout, "__rg_alloc", SA),
    f(Free, "__rg_dealloc", P),
    formed(Realloc, Layout, "__rg_realloc", &[(POINTER, 0), (SIZE, 3)]),
    formed(Calloc, Layout, "__rg_alloc_zeroed", SA),
    formed(Malloc, Layout, "__rdl_alloc", SA),
    f(Free, "__rdl_dealloc", P),
    formed(Realloc, Layout, "__rdl_realloc", &[(POINTER, 0), (SIZE, 3)]),
    formed(Calloc, Layout, "__rdl_alloc_zeroed", SA),
];

/// The name that a function has in the table: `_RNvCshjxpZdNyy6W_7___rustc12___rust_alloc` is `__rust_alloc`.
pub fn plain_name(name: &[u8]) -> &[u8] {
    const CRATE: &[u8] = b"7___rustc";
    if !name.starts_with(b"_RNvC") {
        return name;
    }
    let inside = name.windows(CRATE.len()).position(|window| window == CRATE).map(|at| &name[at + CRATE.len()..]);
    let Some(rest) = inside else { return name };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // A name that itself begins with `_` is set apart by another one.
    rest[digits..].strip_prefix(b"_").unwrap_or(&rest[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_a_set_are_unique_and_arguments_have_registers() {
        for set in &SETS {
            let functions: Vec<&Function> = set.functions.iter().copied().flatten().collect();
            let names: HashSet<&str> = functions.iter().map(|function| function.name).collect();
            assert_eq!(names.len(), functions.len(), "{}", set.prefix);
            for function in functions {
                let wanted = function.arguments.len();
                assert!((1..=3).contains(&wanted) && function.arguments.iter().all(|&(_, position)| position < 6), "{}", function.name);
                assert_eq!(function.kind == Free, function.arguments == P, "{}", function.name);
            }
        }
    }

    #[test]
    fn what_throws() {
        let throwing = CPP.iter().chain(&TCMALLOC).chain(&MIMALLOC).chain(&MIMALLOC_HEAP).filter(|function| function.throws());
        assert!(throwing.clone().all(|function| function.allocates() && !function.name.contains("nothrow")));
        assert_eq!(throwing.count(), 4 + 4 + 4 + 2);
        assert!(!C.iter().chain(&C_MORE).chain(&JEMALLOC).chain(&RUST).any(Function::throws));
    }

    #[test]
    fn names_of_rust_are_read() {
        assert_eq!(plain_name(b"_RNvCshjxpZdNyy6W_7___rustc12___rust_alloc"), b"__rust_alloc");
        assert_eq!(plain_name(b"_RNvCs4TgY9_7___rustc11___rdl_alloc"), b"__rdl_alloc");
        for name in [&b"__rust_alloc"[..], b"malloc", b"_RNvCs1_3foo3bar", b"_RNvC", b""] {
            assert_eq!(plain_name(name), name);
        }
        assert_eq!(plain_name(b"_RNvCs_7___rustc"), b"");
    }

    #[test]
    fn what_a_call_inside_another_tells() {
        let [malloc, free, calloc, _, memalign, aligned_alloc, ..] = C;
        assert!(malloc.is_told_by(&malloc) && memalign.is_told_by(&aligned_alloc) && free.is_told_by(&free));
        assert!(!calloc.is_told_by(&malloc) && !memalign.is_told_by(&malloc) && !free.is_told_by(&malloc));
        let [rust_alloc, ..] = RUST;
        assert!(rust_alloc.is_told_by(&aligned_alloc) && !rust_alloc.is_told_by(&free));
    }
}
