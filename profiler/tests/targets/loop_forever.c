// Allocates and frees one block each millisecond until SIGTERM; writes "ready" once it has a heap and the number of pairs at the end.
// expect-at-least: malloc=1 free=1
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "check.h"

static volatile sig_atomic_t stop;

static void terminate(int signal)
{
    stop = signal;
}

int main(void)
{
    struct sigaction action = {.sa_handler = terminate};
    struct timespec millisecond = {.tv_nsec = 1000000};
    unsigned long pairs = 0;
    need(sigaction(SIGTERM, &action, NULL) == 0);
    do {
        void *block = malloc(100 + pairs % 1000);
        need(block);
        if (pairs == 0)
            say("ready\n");
        nanosleep(&millisecond, NULL);
        free(block);
        pairs++;
    } while (!stop);
    say_number(pairs);
    return 0;
}
