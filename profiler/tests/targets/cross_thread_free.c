// Blocks that one thread allocates and the other frees: 1000 of the main thread's by a second one, 500 of that one's by the main thread.
// libc itself callocs for the thread that it starts; when the thread ends, glibc frees once more what lies in its thread cache.
// expect: malloc=1500 released=1500 threads=1
// expect-at-least: calloc=1 free=1500
#include <pthread.h>
#include <stdlib.h>
#include "check.h"

static void *from_main[1000], *from_thread[500];

static void *other(void *unused)
{
    for (int i = 0; i < 1000; i++) free(from_main[i]);
    for (int i = 0; i < 500; i++) need((from_thread[i] = malloc(32 + i)));
    return unused;
}

int main(void)
{
    pthread_t thread;
    for (int i = 0; i < 1000; i++) need((from_main[i] = malloc(16 + i)));
    need(pthread_create(&thread, NULL, other, NULL) == 0);
    need(pthread_join(thread, NULL) == 0);
    for (int i = 0; i < 500; i++) free(from_thread[i]);
    return 0;
}
