// Everything is locked: what there is and what comes, by malloc and by its own mappings, until it is unlocked.
// expect: malloc=42 free=22 own-mmap=2
#include <stdlib.h>
#include <sys/mman.h>
#include "check.h"

static char *blocks[40];

int main(void)
{
    for (int i = 0; i < 20; i++) need((blocks[i] = malloc(20000)) != NULL);
    need(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
    for (int i = 20; i < 40; i++) need((blocks[i] = malloc(20000)) != NULL);
    char *large = malloc(1 << 20), *mapped = mmap(NULL, 50 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(large != NULL && mapped != MAP_FAILED);
    touch(large, 100, 1);
    need(munlockall() == 0);
    char *later = malloc(1 << 20);
    need(later != NULL && mmap(NULL, 50 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    touch(later, 10, 1);
    for (int i = 0; i < 40; i += 2) free(blocks[i]);
    free(large);
    free(later);
    return 0;
}
