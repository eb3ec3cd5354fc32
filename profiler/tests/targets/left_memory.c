// The program executes itself again while another task still holds its first memory, and writes 2000 pages there once that has happened.
// expect: execs=1
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "check.h"

#define PAGES 2000

static char pages[PAGES * PAGE], stack[16 * PAGE];
static int ends[2];

/* The other end of the pipe is closed by the parent's exec. */
static int stay(void *unused)
{
    char byte;
    (void)unused;
    if (close(ends[1]) || read(ends[0], &byte, 1) != 0) return 9;
    touch(pages, PAGES, 1);
    return 0;
}

int main(int argc, char **argv)
{
    char self[] = "/proc/self/exe", *arguments[] = {argv[0], "again", NULL};
    int status;
    if (argc > 1) {
        need(wait(&status) > 0 && status == 0);
        return 0;
    }
    need(pipe2(ends, O_CLOEXEC) == 0);
    need(clone(stay, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) > 0);
    execv(self, arguments);
    return 9;
}
