// Fills 4 MiB with 2000 blocks, writes "ready", and from then on replaces one block each millisecond, sometimes by a larger one, until SIGTERM: whoever
// attaches finds a heap that is older than the recording.
// expect-at-least: malloc=2001 free=1
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "check.h"

#define BLOCKS 2000

static volatile sig_atomic_t stop;

static void terminate(int signal)
{
    stop = signal;
}

static char *filled(unsigned size)
{
    char *block = malloc(size);
    need(block);
    memset(block, 1, size);
    return block;
}

int main(void)
{
    static char *blocks[BLOCKS];
    struct sigaction action = {.sa_handler = terminate};
    struct timespec millisecond = {.tv_nsec = 1000000};
    need(sigaction(SIGTERM, &action, NULL) == 0);
    for (unsigned each = 0; each < BLOCKS; each++) blocks[each] = filled(2000);
    say("ready\n");
    for (unsigned each = 0; !stop; each = (each + 7) % BLOCKS) {
        free(blocks[each]);
        blocks[each] = filled(each % 5 ? 2000 : 3000);
        nanosleep(&millisecond, NULL);
    }
    return 0;
}
