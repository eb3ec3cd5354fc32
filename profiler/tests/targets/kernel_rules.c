// Each rule of the kernel in a region of its own, and then what the kernel says of each page of it: lines "rule NAME STATES ADDRESS" with a letter for each
// page: - absent, z the page of zeros or one shared after a fork, a anonymous and nobody else's, f of a file or of shared memory.
// expect: own-mmap=38 failed-mmap=1 own-madvise=18 own-mremap=3 own-mprotect=2 processes=2
// expect-at-least: own-munmap=10
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "check.h"

#define HUGE (2L << 20)
#define IN_HUGE (HUGE / PAGE)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *region;
static long pages;
static volatile int sum;
static char states[4 * IN_HUGE];
static int pagemap;

static void map_as(long count, int flags, int file)
{
    pages = count;
    region = mmap(NULL, count * PAGE, RW, flags, file, 0);
    need(region != MAP_FAILED);
}

static void map_with(long count, int prot, int flags, int file)
{
    pages = count;
    region = mmap(NULL, count * PAGE, prot, MAP_PRIVATE | flags, file, 0);
    need(region != MAP_FAILED);
}

static void map_read(long count, int file, int flags) { map_with(count, PROT_READ, flags, file); }
static void map_closed(long count) { map_with(count, PROT_NONE, MAP_ANONYMOUS, -1); }
static void unlock(void) { need(munlock(region, pages * PAGE) == 0); }

/* At a huge page's beginning; what was too much goes back. */
static void map_huge(long count, int advice)
{
    map_as(count + IN_HUGE, ANON, -1);
    char *aligned = (char *)(((uintptr_t)region + HUGE - 1) & ~(HUGE - 1)), *end = region + pages * PAGE;
    if (aligned > region) need(munmap(region, aligned - region) == 0);
    if (end > aligned + count * PAGE) need(munmap(aligned + count * PAGE, end - (aligned + count * PAGE)) == 0);
    region = aligned;
    pages = count;
    if (advice) need(madvise(region, count * PAGE, advice) == 0);
}

static void read_pages(long first, long count, long stride)
{
    for (long page = first; page < first + count; page += stride) sum += ((volatile char *)region)[page * PAGE];
}

static void write_pages(long first, long count, long stride) { touch(region + first * PAGE, count, stride); }
static void advise(long first, long count, int advice) { need(madvise(region + first * PAGE, count * PAGE, advice) == 0); }

static int open_self(void)
{
    int file = open("/proc/self/exe", O_RDONLY);
    need(file >= 0);
    return file;
}

static void grow(int depth)
{
    volatile char frame[PAGE];
    frame[0] = (char)depth;
    if (depth > 0) grow(depth - 1);
    sum += frame[0];
}

/* The 40 pages below the stack that there is. */
static void stack(void)
{
    char here;
    pages = 30;
    grow(40);
    region = (char *)((uintptr_t)&here & ~(PAGE - 1L)) - 32 * PAGE;
}

static void fork_write(void)
{
    int hold[2];
    map_as(40, ANON, -1);
    write_pages(0, 30, 1);
    need(pipe(hold) == 0);
    pid_t child = fork();
    need(child >= 0);
    if (child == 0) {
        char end;
        close(hold[1]);
        _exit(read(hold[0], &end, 1) != 0);
    }
    write_pages(0, 10, 1);
    write_pages(30, 5, 1);
}

static void move(long count)
{
    region = mremap(region, pages * PAGE, count * PAGE, MREMAP_MAYMOVE);
    need(region != MAP_FAILED);
    pages = count;
}

static void map_over(long first, long count)
{
    need(munmap(region + first * PAGE, count * PAGE) == 0);
    need(mmap(region + first * PAGE, count * PAGE, RW, ANON | MAP_FIXED, -1, 0) == region + first * PAGE);
}

static void unmap(long first, long count) { need(munmap(region + first * PAGE, count * PAGE) == 0); }

static void fail_to_map_a_pipe(void)
{
    int ends[2];
    need(pipe(ends) == 0);
    need(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0) == MAP_FAILED && errno == ENODEV);
}

static void read_then_write(void) { map_as(60, ANON, -1); read_pages(0, 40, 1); write_pages(0, 20, 1); }
static void stride(void) { map_as(90, ANON, -1); write_pages(0, 90, 7); }
static void free_reuse(void) { map_as(60, ANON, -1); write_pages(0, 50, 1); advise(0, 40, MADV_FREE); write_pages(10, 10, 1); }
static void dontneed(void) { map_as(60, ANON, -1); write_pages(0, 50, 1); advise(0, 40, MADV_DONTNEED); write_pages(10, 10, 1); read_pages(20, 5, 1); }
static void populate_read(void) { map_as(60, ANON, -1); advise(0, 30, MADV_POPULATE_READ); write_pages(20, 20, 1); }
static void populate_write(void) { map_as(60, ANON, -1); advise(0, 30, MADV_POPULATE_WRITE); write_pages(20, 20, 1); }
static void map_populate(void) { map_as(60, ANON | MAP_POPULATE, -1); write_pages(0, 60, 1); }
static void moved(void) { map_as(40, ANON, -1); write_pages(0, 20, 2); move(80); write_pages(30, 20, 1); }
static void mapped_over(void) { map_as(40, ANON, -1); write_pages(0, 40, 1); map_over(10, 10); write_pages(12, 3, 1); }
static void huge(void) { map_huge(2 * IN_HUGE, MADV_HUGEPAGE); write_pages(5, 1, 1); }
static void huge_unaligned(void) { map_huge(2 * IN_HUGE, MADV_HUGEPAGE); unmap(0, 1); write_pages(1, 2 * IN_HUGE - 1, 100); }
static void huge_part_unmapped(void) { map_huge(2 * IN_HUGE, MADV_HUGEPAGE); write_pages(0, 2 * IN_HUGE, 1); unmap(700, 324); }
static void huge_part_given_back(void) { map_huge(IN_HUGE, MADV_HUGEPAGE); write_pages(0, 1, 1); advise(100, 100, MADV_DONTNEED); write_pages(120, 10, 1); }
static void huge_given_back(void) { map_huge(IN_HUGE, MADV_HUGEPAGE); write_pages(0, 1, 1); advise(0, IN_HUGE, MADV_DONTNEED); write_pages(100, 1, 1); }
static void huge_never(void) { map_huge(IN_HUGE, MADV_NOHUGEPAGE); write_pages(0, IN_HUGE, 3); }
static void huge_too_late(void) { map_huge(IN_HUGE, MADV_NOHUGEPAGE); read_pages(0, 10, 1); advise(0, IN_HUGE, MADV_HUGEPAGE); write_pages(300, 1, 1); }
static void shared(void) { map_as(60, MAP_SHARED | MAP_ANONYMOUS, -1); read_pages(0, 20, 2); write_pages(10, 30, 1); }
static void file_around(void) { map_as(5, MAP_PRIVATE, open_self()); read_pages(1, 1, 1); write_pages(2, 1, 1); }
static void nonblock(void) { map_as(20, ANON | MAP_POPULATE | MAP_NONBLOCK, -1); write_pages(0, 5, 1); }
static void shared_populated(void) { map_as(40, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1); write_pages(0, 10, 1); }
static void file_populated(void) { map_read(5, open_self(), MAP_POPULATE); read_pages(0, 5, 1); }
static void file_copied(void) { map_as(5, MAP_PRIVATE | MAP_POPULATE, open_self()); write_pages(2, 1, 1); }
static void locked(void) { map_as(60, ANON, -1); write_pages(10, 10, 2); need(mlock(region + 5 * PAGE, 30 * PAGE) == 0); write_pages(0, 60, 3); }
static void locked_on_fault(void) { map_as(40, ANON, -1); need(mlock2(region, 40 * PAGE, MLOCK_ONFAULT) == 0); write_pages(0, 40, 4); }
static void map_locked(void) { map_as(30, ANON | MAP_LOCKED, -1); unlock(); write_pages(0, 30, 1); }
static void locked_grows(void) { map_as(20, ANON, -1); need(mlock(region, 20 * PAGE) == 0); move(50); unlock(); }
static void locked_unlocked_grows(void) { map_as(20, ANON, -1); need(mlock(region, 20 * PAGE) == 0); unlock(); move(50); write_pages(40, 3, 1); }
static void locked_zero(void) { map_read(30, -1, MAP_ANONYMOUS); need(mlock(region, 20 * PAGE) == 0); need(mprotect(region, 10 * PAGE, RW) == 0); unlock(); }
static void locked_file(void) { map_read(5, open_self(), 0); need(mlock(region, 3 * PAGE) == 0); unlock(); }
static void lock_future(void) { need(mlockall(MCL_FUTURE) == 0); map_as(30, ANON, -1); need(munlockall() == 0); }
static void lock_future_on_fault(void) { need(mlockall(MCL_FUTURE | MCL_ONFAULT) == 0); map_as(30, ANON, -1); write_pages(3, 4, 1); need(munlockall() == 0); }
static void lock_closed(void) { need(mlockall(MCL_FUTURE) == 0); map_closed(30); need(mprotect(region + 5 * PAGE, 10 * PAGE, RW) == 0); need(munlockall() == 0); }
static void huge_locked(void) { map_huge(IN_HUGE, MADV_HUGEPAGE); need(mlock(region, IN_HUGE * PAGE) == 0); unlock(); }
static void huge_collapsed(void) { map_huge(2 * IN_HUGE, MADV_NOHUGEPAGE); write_pages(0, 40, 3); advise(0, 2 * IN_HUGE, MADV_HUGEPAGE); advise(0, IN_HUGE, 25); }
static void pipe_cannot_be_mapped(void) { fail_to_map_a_pipe(); map_as(4, ANON, -1); write_pages(0, 2, 1); }

static const struct { const char *name; void (*make)(void); } RULES[] = {
#define RULE(name) { #name, name }
    RULE(read_then_write), RULE(stride), RULE(free_reuse), RULE(dontneed), RULE(populate_read), RULE(populate_write), RULE(map_populate),
    RULE(moved), RULE(mapped_over), RULE(huge), RULE(huge_unaligned), RULE(huge_part_unmapped), RULE(huge_part_given_back), RULE(huge_given_back),
    RULE(huge_never), RULE(huge_too_late), RULE(shared), RULE(file_around), RULE(pipe_cannot_be_mapped), RULE(stack), RULE(nonblock),
    RULE(shared_populated), RULE(file_populated), RULE(file_copied), RULE(locked), RULE(locked_on_fault), RULE(map_locked), RULE(locked_grows),
    RULE(locked_unlocked_grows), RULE(locked_zero), RULE(locked_file), RULE(lock_future), RULE(lock_future_on_fault), RULE(lock_closed),
    RULE(huge_locked), RULE(huge_collapsed), RULE(fork_write),
};

/* What the kernel says of the pages of the region. */
static void tell(const char *name)
{
    for (long page = 0; page < pages; page++) {
        uint64_t entry;
        need(pread(pagemap, &entry, sizeof entry, ((uintptr_t)region / PAGE + page) * sizeof entry) == sizeof entry);
        int present = entry >> 63 & 1, file = entry >> 61 & 1, own = entry >> 56 & 1;
        states[page] = !present ? '-' : file ? 'f' : own ? 'a' : 'z';
    }
    states[pages] = 0;
    say("rule "), say(name), say(" "), say(states), say(" ");
    say_number((uintptr_t)region);
}

int main(void)
{
    pagemap = open("/proc/self/pagemap", O_RDONLY);
    need(pagemap >= 0);
    for (unsigned each = 0; each < sizeof RULES / sizeof *RULES; each++) {
        RULES[each].make();
        tell(RULES[each].name);
    }
    return 0;
}
