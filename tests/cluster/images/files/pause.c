/* The sandbox process of a pod: holds the namespaces, ends when told to. */
#include <signal.h>
#include <unistd.h>

static void stop(int signal_number) { _exit(0); }

int main(void) {
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    for (;;) pause();
}
