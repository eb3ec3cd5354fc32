// 64 threads, each of which takes and gives back 2000 blocks of sizes that nothing else asks for.
// expect-at-least: malloc=128000 free=128000 calloc=1
// expect: threads=64
#include <pthread.h>
#include <stdlib.h>
#include "check.h"

#define THREADS 64
#define ROUNDS 2000

static void *work(void *argument)
{
    size_t size = 5000 + (size_t)argument;
    for (int round = 0; round < ROUNDS; round++) {
        char *block = malloc(size);
        need(block);
        block[0] = 1;
        free(block);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) need(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++) need(pthread_join(threads[i], NULL) == 0);
    say("allocations 128000 releases 128000\n");
    return 0;
}
