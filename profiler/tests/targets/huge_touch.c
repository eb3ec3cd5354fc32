// 8 MiB that ask for huge pages, at a 2 MiB boundary, every page written: 4 faults where huge pages are granted, 2048 where not.
// expect: own-mmap=1 own-madvise=1 touched-pages=2048
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/mman.h>
#include "check.h"

#define HUGE (2L << 20)

int main(void)
{
    char *p = mmap(NULL, 5 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    char *aligned = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
    need(madvise(aligned, 4 * HUGE, MADV_HUGEPAGE) == 0);
    touch(aligned, 4 * HUGE / PAGE, 1);
    return 0;
}
