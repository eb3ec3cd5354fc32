// Tells the allocator what to do, and moves the break itself: below what the allocator has, above it, and back again.
// Own brk: libc asks once where the break is; three moves by sbrk; and the trim of the last free, whose end the recorder does not see.
// expect: malloc=3 free=3 mallopt=2 malloc_trim=2 own-brk=5
#include <malloc.h>
#include <stdlib.h>
#include "check.h"

int main(void)
{
    need(sbrk(PAGE) != (void *)-1);
    need(mallopt(M_TOP_PAD, 64 * 1024) == 1);
    need(mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1);
    void *low = malloc(1000), *high = malloc(300000);
    need(low && high);
    char *own = sbrk(3 * PAGE);
    need(own != (void *)-1);
    touch(own, 3, 1);
    free(high);                             /* cannot move the break: the program's own part is above */
    need(malloc_trim(0) == 0);              /* nor can this, and there is nothing else to give back */
    need(sbrk(-3 * PAGE) != (void *)-1);
    need(malloc_trim(4096) == 1);
    need((high = malloc(400000)));
    free(high);                             /* moves the break */
    free(low);
    return 0;
}
