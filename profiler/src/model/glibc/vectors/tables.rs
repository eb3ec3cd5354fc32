//! What the real allocator gave for the workloads of [`super::profiles`].

use super::observed::{Kind, Run};
use super::profiles::operations;
use super::script::{Call, Op};
use std::fmt::Debug;

fn same<T: PartialEq + Debug>(name: &str, what: &str, expected: T, got: T) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{name}: {what}: expected {expected:x?}, got {got:x?}")) }
}

fn checksum(name: &str, expected: u64, run: &Run, script: &[Op]) -> Result<(), String> {
    let heap: Vec<String> = run.steps.iter().take(8).map(|step| format!("{:x}", step.pointer)).collect();
    same(name, &format!("checksum of the blocks, the first of which are {}", heap.join(" ")), expected, run.checksum(script).1)
}

/// A workload and what came of it.
pub(crate) struct Row {
    pub(crate) profile: &'static str,
    pub(crate) seed: u64,
    pub(crate) operations: usize,
    /// Blocks that were given.
    pub(crate) values: usize,
    pub(crate) checksum: u64,
    /// Break at the end, above the heap's start.
    pub(crate) end: u64,
    pub(crate) faults: u64,
    /// Pages of the heap that are resident at the end.
    pub(crate) resident: usize,
    /// `brk`, `mmap`, `munmap`, `mremap`, `madvise`.
    pub(crate) calls: [usize; 5],
}

impl Row {
    pub(crate) fn check(&self, script: &[Op], run: &Run) -> Result<(), String> {
        let name = &format!("{} with seed {}", self.profile, self.seed);
        same(name, "operations and blocks", (self.operations, self.values), (script.len(), run.checksum(script).0))?;
        let calls = [Kind::Brk, Kind::Mmap, Kind::Munmap, Kind::Mremap, Kind::Madvise].map(|kind| run.calls(kind));
        same(name, "break and system calls", (self.end, self.calls), (run.end - run.heap, calls))?;
        checksum(name, self.checksum, run, script)?;
        same(name, "faults and resident pages", (self.faults, self.resident), (run.faults(), run.resident().len()))
    }
}

#[rustfmt::skip]
const fn row(profile: &'static str, seed: u64, [operations, values]: [usize; 2], checksum: u64, end: u64, [faults, resident]: [usize; 2], calls: [usize; 5]) -> Row {
    Row { profile, seed, operations, values, checksum, end, faults: faults as u64, resident, calls }
}

/// Versions 2.31, 2.35 and 2.36, which agree.
#[rustfmt::skip]
pub(crate) const MAIN: [Row; 27] = [
    row("small", 1, [20000, 10063], 0x97388f21e5d1972d, 0x21000, [7, 7], [1, 0, 0, 0, 0]),
    row("small", 2, [20000, 10063], 0xbc3747fba2fcaffc, 0x21000, [7, 7], [1, 0, 0, 0, 0]),
    row("small", 3, [20000, 10065], 0xcbbf259f390d640b, 0x21000, [7, 7], [1, 0, 0, 0, 0]),
    row("tiny", 1, [100000, 53080], 0xa2d2f645163555a7, 0xa5000, [156, 156], [5, 0, 0, 0, 0]),
    row("tiny", 2, [100000, 53139], 0xa981bca0c96cafea, 0xa5000, [153, 153], [5, 0, 0, 0, 0]),
    row("tiny", 3, [100000, 53114], 0xbe65fb77983d31f5, 0xa5000, [156, 156], [5, 0, 0, 0, 0]),
    row("mixed", 1, [50000, 29466], 0x19134992ceab5519, 0x1fe000, [602, 463], [63, 0, 0, 0, 0]),
    row("mixed", 2, [50000, 29565], 0xb41c1c19098cca43, 0x1f4000, [596, 479], [42, 0, 0, 0, 0]),
    row("mixed", 3, [50000, 29526], 0x761a5abaf9e58c5b, 0x1bd000, [524, 445], [37, 0, 0, 0, 0]),
    row("realloc", 1, [40000, 34786], 0xaf0a80bdcabcdc0d, 0x77b000, [3706, 1759], [111, 23, 23, 102, 0]),
    row("realloc", 2, [40000, 34800], 0xe5b9fd1381791847, 0x90c000, [3621, 2208], [94, 34, 34, 172, 0]),
    row("realloc", 3, [40000, 34800], 0x572c25c91672194f, 0x80f000, [3490, 2027], [100, 37, 37, 213, 0]),
    row("large", 1, [20000, 11466], 0x7f7f042e24bac8e5, 0x27e1000, [12589, 7977], [128, 14, 14, 2, 0]),
    row("large", 2, [20000, 11485], 0x6c8126a001115155, 0x292b000, [13237, 9666], [74, 12, 12, 3, 0]),
    row("large", 3, [20000, 11508], 0x5e58e16c1ab93031, 0x2ac7000, [13493, 10450], [58, 14, 14, 7, 0]),
    row("ramp", 1, [59880, 30000], 0x46c97e6b09276260, 0x12c7000, [6689, 3346], [1517, 0, 0, 0, 0]),
    row("ramp", 2, [59880, 30000], 0xbc7f2e9abb58e1dd, 0x1325000, [6799, 3300], [1635, 0, 0, 0, 0]),
    row("ramp", 3, [59880, 30000], 0xa3b2b0dad65ee642, 0x13be000, [6859, 3403], [1622, 0, 0, 0, 0]),
    row("sbrk", 1, [20069, 11173], 0xe4115baed2cd6d09, 0x1fc7e9, [301, 297], [85, 0, 0, 0, 0]),
    row("sbrk", 2, [20074, 11168], 0xd2445b6277127bb1, 0x232aa8, [327, 323], [97, 0, 0, 0, 0]),
    row("sbrk", 3, [20066, 11183], 0x161470c3c3714bc4, 0x1fe810, [298, 297], [82, 0, 0, 0, 0]),
    row("trim", 1, [40032, 22498], 0x90fa4cbc29b2c15d, 0x33e000, [2193, 400], [81, 0, 0, 0, 1067]),
    row("trim", 2, [40035, 22461], 0x0b344e688c0a6c0b, 0x39c000, [2384, 359], [81, 0, 0, 0, 1275]),
    row("trim", 3, [40034, 22508], 0xef829e2f36b97356, 0x3ec000, [2359, 443], [74, 0, 0, 0, 1178]),
    row("iters", 1, [92000, 62000], 0xeaa6170be0ce519b, 0x2f0d000, [12019, 12019], [365, 0, 0, 0, 0]),
    row("iters", 2, [92000, 62000], 0xd56a0c413cb421c6, 0x2f0d000, [12038, 12038], [365, 0, 0, 0, 0]),
    row("iters", 3, [92000, 62000], 0x66912e2ab2d6e716, 0x2eec000, [12003, 12003], [364, 0, 0, 0, 0]),
];

/// Seed 1 under another version.
pub(crate) struct Other {
    pub(crate) profile: &'static str,
    pub(crate) version: &'static str,
    pub(crate) checksum: u64,
    pub(crate) end: u64,
    pub(crate) faults: u64,
}

impl Other {
    pub(crate) fn check(&self, script: &[Op], run: &Run) -> Result<(), String> {
        let name = &format!("{} under {}", self.profile, self.version);
        same(name, "break", self.end, run.end - run.heap)?;
        checksum(name, self.checksum, run, script)?;
        same(name, "faults", self.faults, run.faults())
    }
}

#[rustfmt::skip]
const fn other(profile: &'static str, version: &'static str, checksum: u64, end: u64, faults: u64) -> Other {
    Other { profile, version, checksum, end, faults }
}

/// Versions with rules of their own.
#[rustfmt::skip]
pub(crate) const OTHERS: [Other; 27] = [
    other("small", "2.39", 0x97388f21e5d1972d, 0x21000, 7),
    other("small", "2.41", 0x1e90c525354b892b, 0x21000, 7),
    other("small", "2.42", 0x462059f74aa5e23e, 0x21000, 7),
    other("tiny", "2.39", 0xcc4c3285cd0c2976, 0xa3000, 132),
    other("tiny", "2.41", 0x34164eced15a47ca, 0xa5000, 146),
    other("tiny", "2.42", 0x9843cc8946179f91, 0xa5000, 140),
    other("mixed", "2.39", 0xcf2fa875d41d59c5, 0x1db000, 552),
    other("mixed", "2.41", 0xfe72cd619b28ec43, 0x210000, 605),
    other("mixed", "2.42", 0x6f6781d717c5572b, 0x202000, 562),
    other("realloc", "2.39", 0xaf0a80bdcabcdc0d, 0x77b000, 3706),
    other("realloc", "2.41", 0xd8bef5937cb6d73f, 0x72e000, 3926),
    other("realloc", "2.42", 0x50b0d2f89c54f411, 0x875000, 3062),
    other("large", "2.39", 0xca8233b4f8b7d561, 0x25e0000, 11976),
    other("large", "2.41", 0x67e399a4ae3b13c7, 0x26f0000, 10726),
    other("large", "2.42", 0xda8fb193494bf61d, 0x26ab000, 13249),
    other("ramp", "2.39", 0x46c97e6b09276260, 0x12c7000, 6689),
    other("ramp", "2.41", 0x100807c350a4ec0c, 0x12c7000, 6693),
    other("ramp", "2.42", 0x2bf87dffa59938f2, 0x12c7000, 6704),
    other("sbrk", "2.39", 0x4a03283116cfd7a6, 0x1d27e9, 263),
    other("sbrk", "2.41", 0x9c3902cc299cc763, 0x1cc7e9, 280),
    other("sbrk", "2.42", 0x6063519c008dbd5a, 0x1cf7e9, 265),
    other("trim", "2.39", 0x3f07af507dd86945, 0x3b4000, 2219),
    other("trim", "2.41", 0x2914edf6a9f56cd8, 0x363000, 2178),
    other("trim", "2.42", 0xdd26854126f516f2, 0x359000, 2167),
    other("iters", "2.39", 0xeaa6170be0ce519b, 0x2f0d000, 12019),
    other("iters", "2.41", 0xeaa6170be0ce519b, 0x2f0d000, 12019),
    other("iters", "2.42", 0x7c11bca47143ce39, 0x2f0d000, 12019),
];

/// Seed 1 in a thread of its own, 2.36.
pub(crate) struct Arena {
    pub(crate) profile: &'static str,
    pub(crate) checksum: u64,
    pub(crate) faults: u64,
    /// Growing `mprotect`, `madvise`, `mmap`, `munmap`, `mremap`; without those that make a heap.
    pub(crate) calls: [usize; 5],
    /// Highest size of the last heap.
    pub(crate) highest: u64,
    /// Length of the `mprotect` that makes the second heap, where there is one.
    pub(crate) second: Option<u64>,
}

impl Arena {
    /// The operations: those of the profile, all by one thread that is not the first.
    pub(crate) fn script(&self) -> Vec<Op> {
        let spawn = Op::new(Call::Spawn, 1, 0);
        [spawn].into_iter().chain(operations(self.profile, 1).into_iter().map(|op| op.by(1))).collect()
    }

    pub(crate) fn check(&self, script: &[Op], run: &Run) -> Result<(), String> {
        let name = &format!("{} in a thread", self.profile);
        let (calls, makings, highest) = run.arena_calls();
        same(name, "system calls", self.calls, calls)?;
        same(name, "the second heap's first size", self.second, makings.get(1).copied())?;
        same(name, "the last heap's highest size", self.highest, highest)?;
        checksum(name, self.checksum, run, script)?;
        // What the thread's start touches is not the workload's.
        same(name, "faults", self.faults, run.faults() - run.steps[0].faults)
    }
}

#[rustfmt::skip]
const fn arena(profile: &'static str, checksum: u64, faults: u64, calls: [usize; 5], highest: u64, second: Option<u64>) -> Arena {
    Arena { profile, checksum, faults, calls, highest, second }
}

/// One secondary arena.
#[rustfmt::skip]
pub(crate) const ARENAS: [Arena; 8] = [
    arena("small", 0x20e1f4e332599ae2, 8, [0, 0, 0, 0, 0], 0x21000, None),
    arena("tiny", 0x8c1fd8a8bb655658, 160, [127, 0, 0, 0, 0], 0xa0000, None),
    arena("mixed", 0xc57d18181b580a98, 526, [63, 7, 0, 0, 0], 0x21e000, None),
    arena("realloc", 0x14444d24ff3f8e3e, 3495, [53, 16, 20, 20, 82], 0x925000, None),
    arena("large", 0x5f139346620dd541, 15049, [48, 15, 13, 13, 1], 0x2afa000, None),
    arena("ramp", 0x0a3d7c014120f429, 6703, [1169, 834, 0, 0, 0], 0x13db000, None),
    arena("ramp2", 0xeed99bf3bcb12f6e, 18873, [3571, 113, 0, 0, 0], 0x3bab000, Some(0x25000)),
    arena("huge", 0x99140bb49d9257cc, 21232, [1148, 6, 0, 0, 0], 0x11a8000, Some(0x3d000)),
];

/// Settings, and what they made of seed [`SETTINGS_SEED`] in 2.36.
pub(crate) struct Set {
    pub(crate) values: &'static [(&'static str, i64)],
    pub(crate) checksums: [(&'static str, u64); 5],
}

pub(crate) const SETTINGS_SEED: u64 = 7;

impl Set {
    pub(crate) fn check(&self, profile: &str, expected: u64, script: &[Op], run: &Run) -> Result<(), String> {
        checksum(&format!("{profile} with {:?}", self.values), expected, run, script)
    }
}

#[rustfmt::skip]
const fn set(values: &'static [(&'static str, i64)], [mixed, large, realloc, tiny, ramp]: [u64; 5]) -> Set {
    Set { values, checksums: [("mixed", mixed), ("large", large), ("realloc", realloc), ("tiny", tiny), ("ramp", ramp)] }
}

/// Settings one by one.
#[rustfmt::skip]
pub(crate) const SETTINGS: [Set; 10] = [
    set(&[("tcache_max", 128)], [0x14b48bb7f274071f, 0xe043cee0fdb925ef, 0x892fa64dbdfa4b87, 0xd01278583d1c5144, 0x728a3eac804ea426]),
    set(&[("tcache_count", 40)], [0x71f6e6ecdffaa7fe, 0x95ee38d5480b5c31, 0xdfc23bfedaca2885, 0x78f01cda7a1d915d, 0xae2edd0898c09ec2]),
    set(&[("mxfast", 0)], [0xe3dbbf333fc49d54, 0x8094c0fcee1265c7, 0xdc237121e9c2b15b, 0xe88be75c955fbab3, 0xb834ab2bf3e238a3]),
    set(&[("mxfast", 160)], [0x40b19a7b59076a3e, 0xc9e2a8cab42733f8, 0xb1f95ce1d5663c2d, 0x6eafc897caf651be, 0x90121953b320e42b]),
    set(&[("mmap_threshold", 65536)], [0x02e46fc50f9d138b, 0xf0f4955de8df91cb, 0x9413eb9984d3df69, 0x50e069826b9e7aad, 0xfa1d31bea1d0898b]),
    set(&[("trim_threshold", 1_000_000)], [0x02e46fc50f9d138b, 0xd969dd4bfe6e760d, 0x2f1478993924d844, 0x50e069826b9e7aad, 0xfa1d31bea1d0898b]),
    set(&[("top_pad", 0)], [0x2704b2ed6d6e0df3, 0x264953eab099efe2, 0xd84f308d795f340f, 0x5deb98fae911ce98, 0xfa1d31bea1d0898b]),
    set(&[("top_pad", 5000)], [0x8f8cc90a8ec1362b, 0x264953eab099efe2, 0x2d74e135966d142d, 0x5deb98fae911ce98, 0xfa1d31bea1d0898b]),
    set(&[("mmap_max", 3)], [0x02e46fc50f9d138b, 0x000fcb0ea9c31886, 0xc9cc3c970e772dc7, 0x50e069826b9e7aad, 0xfa1d31bea1d0898b]),
    set(&[("tcache_count", 0), ("mxfast", 0)], [0x81511b0f8eda6c48, 0xc460ee9c9dd3bb03, 0x1f5f7e683dca8c51, 0xeae600f93bbf70f7, 0x37d811baa8bb35b0]),
];
