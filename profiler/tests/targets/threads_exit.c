// Four threads named worker-0 … worker-3, two at a time, each with 100 blocks.
// libc itself callocs for the threads that it starts, and frees their thread caches.
// expect: malloc=400 released=400 threads=4
// expect-at-least: calloc=2 free=400
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include "check.h"

static void *work(void *name)
{
    void *blocks[100];
    need(prctl(PR_SET_NAME, name) == 0);
    for (int i = 0; i < 100; i++) need((blocks[i] = malloc(64 + i)));
    for (int i = 0; i < 100; i++) free(blocks[i]);
    return NULL;
}

int main(void)
{
    char *names[4] = {"worker-0", "worker-1", "worker-2", "worker-3"};
    pthread_t threads[2];
    for (int first = 0; first < 4; first += 2) {
        for (int i = 0; i < 2; i++) need(pthread_create(&threads[i], NULL, work, names[first + i]) == 0);
        for (int i = 0; i < 2; i++) need(pthread_join(threads[i], NULL) == 0);
    }
    return 0;
}
