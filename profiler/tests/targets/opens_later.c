// Says that it is ready, waits for a line, opens the library named by its argument (into a namespace of its own when there is a second one) and
// takes 1000 blocks of 5000 to 5999 bytes from it. "allocations N releases M", or status 3 where there is no such library.
// args: libjemalloc.so.2
// expect-at-least: malloc=1000 free=1000
#define _GNU_SOURCE
#include "check.h"
#include "second_allocator.h"

int main(int argc, char **argv)
{
    char line[8];
    need(argc >= 2);
    say("ready\n");
    need(read(0, line, sizeof line) > 0);
    int status = take_blocks_from(argc > 2 ? dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW) : dlopen(argv[1], RTLD_NOW | RTLD_LOCAL));
    if (status == 0)
        say("allocations 1000 releases 1000\n");
    return status;
}
