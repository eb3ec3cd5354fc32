// Reads 100 fresh pages, each of which becomes the zero page, then writes them: two faults for each, the second one a protection fault.
// expect: own-mmap=1 touched-pages=100 faults=200
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/prctl.h>
#include "check.h"

int main(void)
{
    int sum = 0;
    need(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    volatile char *p = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    for (int page = 0; page < 100; page++) sum += p[page * PAGE];
    need(sum == 0);
    touch((char *)p, 100, 1);
    return 0;
}
