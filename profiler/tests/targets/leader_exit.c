// The first thread ends; a second one goes on, with one block each millisecond, until SIGTERM.
// expect-at-least: malloc=1 free=1
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "check.h"

static volatile sig_atomic_t stop;

static void terminate(int signal)
{
    stop = signal;
}

static void *go_on(void *unused)
{
    struct timespec millisecond = {.tv_nsec = 1000000};
    do {
        void *block = malloc(100);
        need(block);
        nanosleep(&millisecond, NULL);
        free(block);
    } while (!stop);
    exit(0);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = terminate};
    pthread_t thread;
    need(sigaction(SIGTERM, &action, NULL) == 0);
    need(pthread_create(&thread, NULL, go_on, NULL) == 0);
    pthread_exit(NULL);
}
