/* A program that does nothing but allocate and free: what recording costs it, and nothing else.
 *
 * A table of 1024 slots; each step frees a pseudo-random slot and puts a block of 16 to 527 bytes there.
 * Waits for a byte, or the end, of its input first, so that a watcher can attach.
 * Prints the median over the repetitions of the thread's own CPU time for each malloc and free together:
 *
 *     churn: 14.9 ns per pair
 *
 * usage: churn REPETITIONS PAIRS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 1024

static uint64_t dice(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static void *slots[SLOTS];
    long repetitions = argc > 1 ? atol(argv[1]) : 0, pairs = argc > 2 ? atol(argv[2]) : 0;
    if (repetitions < 1 || pairs < 1) {
        fprintf(stderr, "usage: churn REPETITIONS PAIRS\n");
        return 2;
    }
    char go;
    if (read(0, &go, 1) < 0)
        return 1;
    for (int i = 0; i < SLOTS; i++)
        slots[i] = malloc(16 + dice() % 512);
    double *each = malloc(repetitions * sizeof *each);
    for (long repetition = 0; repetition < repetitions; repetition++) {
        double began = cpu_ns();
        for (long i = 0; i < pairs; i++) {
            uint64_t number = dice();
            void **slot = &slots[number % SLOTS];
            free(*slot);
            *slot = malloc(16 + (number >> 32) % 512);
        }
        each[repetition] = (cpu_ns() - began) / pairs;
    }
    qsort(each, repetitions, sizeof *each, ascending);
    printf("churn: %.1f ns per pair\n", each[repetitions / 2]);
    return 0;
}
