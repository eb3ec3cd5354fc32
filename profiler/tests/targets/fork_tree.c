// Parent, child and grandchild. Each allocates blocks of its own (10, 20, 30) before it forks, and frees them and all that it inherited:
// the parent frees 10, the child 10 + 20, the grandchild 10 + 20 + 30.
// expect: malloc=60 free=100 processes=3
#include <stdlib.h>
#include <sys/wait.h>
#include "check.h"

static void *blocks[60];
static int count;

static void allocate(int more)
{
    for (int i = 0; i < more; i++) need((blocks[count++] = malloc(100)));
}

/* Allocates for this generation, makes the next one and waits for it. */
static void generation(int number)
{
    int status = 0;
    allocate(10 * number);
    if (number == 3) return;
    pid_t child = fork();
    need(child >= 0);
    if (child == 0) {
        generation(number + 1);
    } else {
        need(waitpid(child, &status, 0) == child && status == 0);
    }
}

int main(void)
{
    generation(1);
    while (count > 0) free(blocks[--count]);
    return 0;
}
