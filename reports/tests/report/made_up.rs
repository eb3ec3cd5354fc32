//! Studies that look like real ones. Every number is invented.

use reports::study::*;

const MIB: u64 = 1 << 20;

/// A study of a few policies with `points` samples each.
pub(crate) fn study(points: u64) -> Study {
    Study {
        version: STUDY_VERSION,
        heapcast: "0.1.0".into(),
        recording: recording(),
        policies: policies(points),
        checked: "glibc@2.36".into(),
        fidelity: fidelity(),
        explanation: explanation(),
        sizes: sizes(),
        lifetimes: lifetimes(),
        frames: ["main", "parse(char const*)", "std::vector<int>::push_back", "libz.so.1+0x4f10"].map(str::to_owned).into(),
        callsites: call_sites(),
        threads: threads(),
    }
}

/// The same with every outside text trying to leave its place.
pub(crate) fn hostile() -> Study {
    let attack = "</script><script>document.documentElement.dataset.error='escaped'</script><img src=x onerror=alert(1)>\"'\u{2028}<!--";
    let mut study = study(20);
    let recording = &mut study.recording;
    recording.command = vec![attack.into(), attack.into()];
    for text in
        [&mut recording.exe, &mut recording.mode, &mut recording.ending, &mut recording.kernel, &mut recording.arch, &mut recording.thp]
    {
        *text = attack.into();
    }
    recording.notes = vec![attack.into()];
    recording.allocators = vec![AllocatorFound { name: attack.into(), version: Some(attack.into()), path: attack.into() }];
    for counts in [&mut recording.events, &mut recording.lost, &mut recording.set_aside] {
        *counts = vec![KindCount { name: attack.into(), count: 7 }];
    }
    recording.processes[0].exe = attack.into();
    study.heapcast = attack.into();
    study.frames.iter_mut().for_each(|name| *name = attack.into());
    study.policies.iter_mut().flat_map(|policy| &mut policy.pins).for_each(|pin| pin.caller = Some(attack.into()));
    study.fidelity[0].metric = attack.into();
    study.explanation = vec![attack.into()];
    study.checked = attack.into();
    let last = study.policies.last_mut().unwrap();
    (last.policy, last.source) = (attack.into(), attack.into());
    study
}

/// As many models as the palette must keep apart, and more points than a screen has columns.
pub(crate) fn crowded() -> Study {
    crowd(4000)
}

/// The largest that is still to be fluent: twenty models of ten thousand points.
pub(crate) fn large() -> Study {
    let mut study = crowd(10_000);
    study.policies.truncate(22);
    study
}

fn crowd(points: u64) -> Study {
    let mut study = study(points);
    let template = study.policies[2].clone();
    for extra in 0..18 {
        let mut policy = template.clone();
        policy.policy = format!("jemalloc:dirty_decay_ms={}", extra * 500);
        for point in &mut policy.timeline {
            point.rss_bytes = point.rss_bytes.map(|bytes| bytes + extra * 2 * MIB);
        }
        study.policies.push(policy);
    }
    study
}

fn recording() -> Recording {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, count)| KindCount { name: (*name).into(), count: *count }).collect();
    Recording {
        kernel_settings: vec!["khugepaged/pages_to_scan=4096".to_owned()],
        command: ["/usr/bin/python3", "-c", "import json; d=[json.dumps({\"k\":i}) for i in range(300000)]"].map(str::to_owned).into(),
        pid: 4242,
        exe: "/usr/bin/python3.11".into(),
        mode: "launched".into(),
        started_unix_s: 1_709_251_199,
        duration_ns: 2_314_000_000,
        ending: "exited 0".into(),
        kernel: "6.12.0-amd64".into(),
        arch: "x86_64".into(),
        cpus: 8,
        thp: "madvise".into(),
        allocators: vec![AllocatorFound {
            name: "glibc".into(),
            version: Some("2.36".into()),
            path: "/usr/lib/x86_64-linux-gnu/libc.so.6".into(),
        }],
        events: counts(&[
            ("malloc", 1_283_004),
            ("free", 1_279_811),
            ("realloc", 20_144),
            ("page fault", 31_204),
            ("brk", 211),
            ("mmap", 148),
            ("munmap", 61),
        ]),
        lost: counts(&[("malloc", 0), ("page fault", 0)]),
        set_aside: counts(&[("free of a block that was never seen", 3)]),
        processes: vec![
            ProcessRow {
                id: 1,
                pid: 4242,
                exe: "/usr/bin/python3.11".into(),
                heap_calls: 2_582_959,
                peak_rss_bytes: Some(124 * MIB),
                selected: true,
            },
            ProcessRow { id: 2, pid: 4243, exe: "/bin/sh".into(), heap_calls: 118, peak_rss_bytes: None, selected: false },
        ],
        touches: Some(Touches { seen_bytes: 61 * MIB, inferred_bytes: 4 * MIB, assumed_bytes: 2 * MIB }),
        curves_apart_bytes: Some(41_000),
        unit_costs: Some(UnitCosts { fault_ns: 480, return_ns: 240, grow_ns: 700, mmap_ns: 900, munmap_ns: 800, madvise_ns: 150 }),
        notes: vec!["The recording ended 12 ms before the process did; what it gave back in that time is not seen.".into()],
    }
}

/// Peak above the rest of the process (MiB), share kept after the fall, uncertainty in MiB, faults, calls.
struct Shape(&'static str, &'static str, u64, f64, u64, u64, u64);

const SHAPES: [Shape; 7] = [
    Shape("measured", "measured", 112, 0.92, 0, 31_204, 211),
    Shape("recorded", "simulated", 113, 0.92, 0, 31_011, 211),
    Shape("glibc@2.36", "simulated", 112, 0.90, 6, 31_420, 214),
    Shape("glibc@2.36:trim_threshold=64K,arena_max=1", "simulated", 104, 0.55, 6, 39_870, 1_912),
    Shape("jemalloc:dirty_decay_ms=0", "simulated", 91, 0.31, 9, 52_118, 6),
    Shape("brk-only", "simulated", 127, 1.0, 4, 32_900, 1_034),
    Shape("mmap-only", "simulated", 388, 0.2, 30, 1_311_902, 0),
];

fn policies(points: u64) -> Vec<PolicyResult> {
    SHAPES.iter().map(|shape| policy(shape, points)).collect()
}

fn policy(&Shape(name, source, peak, kept, spread, faults, brk): &Shape, points: u64) -> PolicyResult {
    let measured = name == "measured";
    let is_model = source == "simulated" && name != "recorded";
    let timeline = timeline(peak, kept, faults, points, measured);
    let model = |value: u64| (!measured).then_some(value);
    let highest = timeline.iter().filter_map(|point| point.rss_bytes).max();
    let near = |difference: i64| highest.map(|bytes| bytes.saturating_add_signed(difference * MIB as i64));
    let maps = if name == "mmap-only" { 1_283_004 } else { 148 };
    PolicyResult {
        policy: name.into(),
        source: source.into(),
        peak_rss_bytes: highest,
        peak_rss_low_bytes: near(-(spread as i64)),
        peak_rss_high_bytes: near(spread as i64 / 2),
        mean_rss_bytes: highest.map(|bytes| bytes * 7 / 10),
        final_rss_bytes: timeline.last().and_then(|point| point.rss_bytes),
        peak_live_bytes: model(83 * MIB + 4321),
        peak_mapped_bytes: Some((peak + 190) * MIB),
        minor_faults: Some(faults),
        minor_faults_low: Some(faults - spread * 100),
        minor_faults_high: Some(faults + spread * 40),
        major_faults: measured.then_some(0),
        brk_calls: Some(brk),
        mmap_calls: Some(maps),
        munmap_calls: Some(maps - 87),
        mremap_calls: Some(12),
        madvise_calls: Some(if name.starts_with("jemalloc") { 2_204 } else { 0 }),
        returned_bytes: model((peak as f64 * (1.0 - kept)) as u64 * MIB),
        held: if is_model { held(peak * MIB) } else { Vec::new() },
        memory: if is_model { memory(&timeline) } else { Vec::new() },
        pins: if is_model { pins() } else { Vec::new() },
        map: is_model.then(map),
        paste: paste(name),
        timeline,
    }
}

/// Of those that somebody can have.
fn paste(name: &str) -> Option<Paste> {
    let before = match name.split(['@', ':']).next()? {
        "glibc" if name == "glibc@2.36" => "",
        "glibc" => "GLIBC_TUNABLES=glibc.malloc.arena_max=2",
        "jemalloc" => "LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=dirty_decay_ms:0",
        _ => return None,
    };
    Some(Paste { before: before.into(), machine: String::new(), other_allocator: name.starts_with("jemalloc") })
}

fn held(all: u64) -> Vec<HeldPart> {
    let parts = [("live", 60), ("tcache", 3), ("bins", 12), ("top", 8), ("reserved", 900), ("headers", 7), ("rounding", 10)];
    parts.map(|(part, percent)| HeldPart { part: part.into(), bytes: all / 100 * percent }).to_vec()
}

/// Every part has some, in shares of the whole.
fn memory(timeline: &[TimePoint]) -> Vec<MemoryPoint> {
    let point = |point: &TimePoint| {
        let rss = point.rss_bytes.unwrap_or(0);
        let percent = |share: u64| rss / 100 * share;
        let named = [50, 4, 3, 9, 8, 2, 1, 5, 6].map(percent);
        let [live_bytes, overhead_bytes, cache_bytes, inside_bytes, below_bytes, top_bytes, waiting_bytes, huge_bytes, other_bytes] = named;
        let file_bytes = rss - named.iter().sum::<u64>();
        MemoryPoint {
            time_ns: point.time_ns,
            rss_bytes: rss,
            live_bytes,
            overhead_bytes,
            cache_bytes,
            inside_bytes,
            below_bytes,
            top_bytes,
            waiting_bytes,
            huge_bytes,
            other_bytes,
            file_bytes,
        }
    };
    timeline.iter().step_by(timeline.len().div_ceil(300)).map(point).collect()
}

fn pins() -> Vec<PinRow> {
    let pin = |moment: &str, hold: &str, blocks, holds_bytes| PinRow {
        moment: moment.into(),
        time_ns: 1_900_000_000,
        hold: hold.into(),
        at: 0x5555_5555_0000,
        blocks,
        slabs: u64::from(hold == "slab"),
        live_bytes: blocks * 48,
        smallest_bytes: 24,
        largest_bytes: 72,
        youngest_ns: 12_000,
        oldest_ns: 1_200_000_000,
        holds_bytes,
        caller: (blocks > 1).then(|| "json_loads".into()),
    };
    vec![pin("most free", "top", 3, 9 * MIB), pin("most free", "slab", 1, 63_000), pin("end", "top", 0, MIB)]
}

fn map() -> AddressMap {
    let moment = |time_ns, rss, cells: &str| MapMoment { time_ns, rss_bytes: rss * MIB, cells: cells.into() };
    AddressMap {
        cell_bytes: 16_384,
        areas: vec![
            MapArea { start: 0x5555_5555_0000, cells: 900, heap: true },
            MapArea { start: 0x7fff_0000_0000, cells: 100, heap: false },
        ],
        moments: vec![
            moment(1_000_000, 20, "l300a600a100"),
            moment(1_700_000_000, 118, "l500p120f80l200l100"),
            moment(2_314_000_000, 60, "l400f200p50a250l99f"),
        ],
    }
}

fn call_sites() -> Vec<CallSite> {
    let site = |stack: &[u32], share: u64| CallSite {
        stack: stack.to_vec(),
        allocations: 9_000 * share,
        requested_bytes: MIB * share,
        temporary: 700 * share,
        faults: 20 * share,
        live_at_peak_bytes: MIB / 2 * share,
        live_at_end_bytes: 4_000 * share,
    };
    vec![site(&[2, 1, 0], 40), site(&[1, 0], 25), site(&[3, 1, 0], 12), site(&[0], 4), site(&[], 1)]
}

fn threads() -> Vec<ThreadRow> {
    let thread = |tid, allocations| ThreadRow {
        tid,
        allocations,
        requested_bytes: allocations * 60,
        frees: allocations - 100,
        foreign_frees: 40,
        temporary: allocations / 3,
        live_at_peak_bytes: 30 * MIB,
        live_at_end_bytes: 6_000,
        // A program names its threads as it likes.
        name: if tid == 4242 { "main".to_owned() } else { "io <b>\"1\",\n2".to_owned() },
    };
    vec![thread(4242, 900_000), thread(4243, 120_000)]
}

/// Rises in steps to the peak at three quarters, then falls to the share that is kept.
fn timeline(peak: u64, kept: f64, faults: u64, points: u64, measured: bool) -> Vec<TimePoint> {
    let mut noise = peak;
    let sample = |at: u64| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = at as f64 / (points - 1) as f64;
        let level = if share < 0.75 { (share / 0.75).powf(0.8) } else { 1.0 - (1.0 - kept) * ((share - 0.75) * 8.0).min(1.0) };
        let ripple = 1.0 - 0.03 * (noise >> 40) as f64 / (1u64 << 24) as f64;
        let bytes = |level: f64| (level * peak as f64 * MIB as f64) as u64 / 4096 * 4096;
        TimePoint {
            time_ns: at * 2_314_000_000 / (points - 1),
            rss_bytes: Some(11 * MIB + bytes(level * ripple)),
            rss_low_bytes: Some(10 * MIB + bytes(level * ripple * 0.97)),
            rss_high_bytes: Some(12 * MIB + bytes(level * ripple)),
            live_bytes: (!measured).then_some((level.min(1.0) * 83.0 * MIB as f64) as u64),
            mapped_bytes: Some(190 * MIB + bytes(level)),
            minor_faults: Some((faults as f64 * share.min(0.8) / 0.8) as u64),
            returned_bytes: (!measured).then_some(bytes((1.0 - kept) * ((share - 0.75) * 8.0).clamp(0.0, 1.0))),
        }
    };
    (0..points).map(sample).collect()
}

fn fidelity() -> Vec<FidelityRow> {
    let row = |metric: &str, recorded: Option<f64>, replayed: Option<f64>| FidelityRow {
        metric: metric.into(),
        recorded,
        replayed,
        error: recorded.zip(replayed).map(|(recorded, replayed)| (replayed - recorded) / recorded),
    };
    vec![
        row("placements", Some(1.0), Some(0.9973)),
        row("brk_calls", Some(211.0), Some(211.0)),
        row("mmap_calls", Some(148.0), Some(149.0)),
        row("munmap_calls", Some(61.0), Some(61.0)),
        row("madvise_calls", None, None),
        row("peak_rss_bytes", Some(128_950_272.0), Some(129_994_752.0)),
        row("mean_rss_bytes", Some(90_265_190.0), Some(90_996_326.0)),
        row("minor_faults", Some(31_204.0), Some(31_011.0)),
    ]
}

fn explanation() -> Vec<String> {
    let sentences = [
        "810 of 300000 blocks lie elsewhere than recorded. A block that lies elsewhere leads to others that do.",
        "The first is event 81234: thread 4712 calls malloc for 24 bytes; expected at heap + 0x1c3a0, got heap + 0x1c3c0.",
    ];
    sentences.map(str::to_owned).into()
}

/// Quarter steps of powers of two from 8 bytes to 1 MiB.
fn sizes() -> Vec<SizeRow> {
    let class = |step: u64| {
        let base = 8u64 << (step / 4);
        let from = base + base / 4 * (step % 4);
        let to = from + base / 4 - 1;
        let count = 400_000 / (1 + (step as i64 - 9).unsigned_abs().pow(2)) / (1 + step / 20);
        SizeRow {
            from_bytes: from,
            to_bytes: to,
            count,
            total_bytes: count * from,
            live_at_peak_bytes: count * from / (1 + step % 3),
            live_at_end_bytes: count,
            temporary: count / 4,
        }
    };
    (0..68).map(class).collect()
}

fn lifetimes() -> Vec<LifetimeRow> {
    let counts = [120, 18_000, 402_000, 511_000, 190_000, 52_000, 9_100, 600, 300_000];
    let row = |(at, count): (usize, &u64)| LifetimeRow {
        from_ns: if at == 8 { 0 } else { 100 * 10u64.pow(at as u32) },
        to_ns: (at < 8).then(|| 1000 * 10u64.pow(at as u32)),
        count: *count,
        total_bytes: count * 74,
    };
    counts.iter().enumerate().map(row).collect()
}
