// Pairs of malloc and free as fast as possible: argument 1 the number of pairs of each thread, argument 2 the number of threads (at most 64).
// Writes the number of pairs made. libc itself callocs for the threads that it starts, and frees their thread caches.
// args: 10000 2
// expect: malloc=20000 released=20000 threads=2
// expect-at-least: calloc=2 free=20000
#include <pthread.h>
#include <stdlib.h>
#include "check.h"

static unsigned long pairs, made[64];

static void *run(void *slot)
{
    for (unsigned long i = 0; i < pairs; i++) {
        void *block = malloc(16 + i % 512);
        need(block);
        free(block);
        ++*(unsigned long *)slot;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    need(argc == 3);
    pairs = strtoul(argv[1], NULL, 10);
    unsigned long threads = strtoul(argv[2], NULL, 10), sum = 0;
    pthread_t ids[64];
    need(threads <= 64);
    for (unsigned long i = 0; i < threads; i++) need(pthread_create(&ids[i], NULL, run, &made[i]) == 0);
    for (unsigned long i = 0; i < threads; i++) {
        need(pthread_join(ids[i], NULL) == 0);
        sum += made[i];
    }
    say_number(sum);
    return 0;
}
