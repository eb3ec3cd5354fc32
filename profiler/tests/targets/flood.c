// As much work for a recorder as threads can make: argument 1 for how long (seconds; 0: until SIGTERM), argument 2 the number of threads (at most 64),
// argument 3 of what: blocks (malloc and free), pages (mmap, a touch of each page, munmap) or both, every other thread.
// Writes "ready", and at the end how many blocks and how many pages it had.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "check.h"

enum { PAGES = 64 };

static volatile sig_atomic_t over;
static unsigned long made[64], touched[64];

static void end(int signal)
{
    over = signal;
}

static void *blocks(void *slot)
{
    unsigned long *blocks = slot;
    for (; !over; ++*blocks) {
        void *block = malloc(16 + *blocks % 512);
        need(block);
        free(block);
    }
    return NULL;
}

static void *pages(void *slot)
{
    for (unsigned long *pages = slot; !over; *pages += PAGES) {
        char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        need(area != MAP_FAILED);
        touch(area, PAGES, 1);
        need(munmap(area, PAGES * PAGE) == 0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    need(argc == 4);
    int threads = atoi(argv[2]), both = strcmp(argv[3], "both") == 0, only_pages = strcmp(argv[3], "pages") == 0;
    pthread_t ids[64];
    need(threads <= 64);
    need(signal(SIGTERM, end) != SIG_ERR && signal(SIGALRM, end) != SIG_ERR);
    say("ready\n");
    for (int i = 0; i < threads; i++) {
        int of_pages = only_pages || (both && i % 2 == 1);
        need(pthread_create(&ids[i], NULL, of_pages ? pages : blocks, of_pages ? &touched[i] : &made[i]) == 0);
    }
    alarm((unsigned)atoi(argv[1]));
    unsigned long all_made = 0, all_touched = 0;
    for (int i = 0; i < threads; i++) {
        need(pthread_join(ids[i], NULL) == 0);
        all_made += made[i];
        all_touched += touched[i];
    }
    say_number(all_made);
    say_number(all_touched);
    return 0;
}
