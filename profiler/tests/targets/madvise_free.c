// Writes 64 pages, gives 32 back at once (MADV_DONTNEED) and writes them again, offers 16 others (MADV_FREE) and writes 8 of these again.
// expect: own-mmap=1 own-madvise=2 touched-pages=96
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/prctl.h>
#include "check.h"

int main(void)
{
    need(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    touch(p, 64, 1);
    need(madvise(p, 32 * PAGE, MADV_DONTNEED) == 0);
    need(p[0] == 0);
    touch(p, 32, 1);
    need(madvise(p + 32 * PAGE, 16 * PAGE, MADV_FREE) == 0);
    touch(p + 32 * PAGE, 8, 1);
    return 0;
}
