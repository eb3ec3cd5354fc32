/* Shared by the test programs: no stdio, because it allocates. */
#ifndef CHECK_H
#define CHECK_H

#include <string.h>
#include <unistd.h>

#define PAGE 4096

/* Ends the program with status 9 unless the condition holds: the events it promises would not be made. */
#define need(condition) do { if (!(condition)) { say("failed: " #condition "\n"); _exit(9); } } while (0)

static inline void say(const char *text)
{
    ssize_t ignored = write(1, text, strlen(text));
    (void)ignored;
}

/* Writes a decimal number and a line feed. */
static inline void say_number(unsigned long number)
{
    char text[24], *at = text + sizeof text;
    *--at = 0;
    *--at = '\n';
    do { *--at = '0' + number % 10; number /= 10; } while (number);
    say(at);
}

/* Writes one byte into each n-th page of a range. */
static inline void touch(char *start, long pages, long stride)
{
    for (long page = 0; page < pages; page += stride) ((volatile char *)start)[page * PAGE] = 1;
}
#endif
