//! The kernel's counters, read without libc.

use super::super::answer::Reading;
use super::raw;

/// The counters of this process.
pub(super) fn take(statm: i32) -> Reading {
    let (mapped, resident) = pages(statm);
    Reading { mapped, resident, faults: faults() }
}

/// Mapped and resident pages.
pub(super) fn pages(statm: i32) -> (i64, i64) {
    let mut text = [0u8; 128];
    let length = raw::call(libc::SYS_pread64, [statm as usize, text.as_mut_ptr() as usize, text.len(), 0]);
    let mut numbers = [0i64; 2];
    let mut at = 0;
    for &byte in text.iter().take(length.max(0) as usize) {
        match (byte, numbers.get_mut(at)) {
            (b'0'..=b'9', Some(number)) => *number = *number * 10 + i64::from(byte - b'0'),
            (_, Some(_)) => at += 1,
            (_, None) => break,
        }
    }
    (numbers[0], numbers[1])
}

/// Threads of this process.
pub(super) fn threads(stat: i32) -> u64 {
    let mut text = [0u8; 512];
    let length = raw::call(libc::SYS_pread64, [stat as usize, text.as_mut_ptr() as usize, text.len(), 0]);
    let text = text.get(..length.max(0) as usize).unwrap_or_default();
    // Field 20; the name of the program, which may hold anything, is field 2 and ends with the last parenthesis.
    let after = text.rsplit(|&byte| byte == b')').next().unwrap_or_default();
    let digits = after.split(|&byte| byte == b' ').nth(20 - 2).unwrap_or_default();
    digits.iter().fold(0, |number, &digit| number * 10 + u64::from(digit.wrapping_sub(b'0')))
}

/// Minor faults of all threads, ended ones included.
pub(super) fn faults() -> i64 {
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    raw::call(libc::SYS_getrusage, [libc::RUSAGE_SELF as usize, (&raw mut usage) as usize]);
    usage.ru_minflt
}
