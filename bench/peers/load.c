/* The load client of the bench, in C so that it is never what is measured. The request comes on
 * stdin, one line of JSON goes to stdout.
 *
 *   load new  PORT COUNT          one connection after the other, a request on each
 *   load keep PORT COUNT CONNS    COUNT requests over CONNS connections that stay open
 *   load hold PORT COUNT SHARE    COUNT calls that are held, from processes of SHARE calls each;
 *                                 "held" is printed once every call got its first byte
 *
 * Times are in microseconds; of `hold`, absolute CLOCK_MONOTONIC seconds where it says `at`. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char request[16384];
static size_t request_size;
static struct sockaddr_in place;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int dial(void) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&place, sizeof place) != 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void ask(int fd) {
    if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) die("send");
}

/* The size of the whole sized answer at `data`, 0 while its head is not complete. */
static size_t whole(const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    const char *length = memmem(data, (size_t)(end - data), "\r\nContent-Length: ", 18);
    if (length == NULL || strncmp(data, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "not a sized 200: %.60s\n", data);
        exit(1);
    }
    return (size_t)(end - data) + 4 + strtoul(length + 18, NULL, 10);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double part(double *sorted, int count, double share) {
    int at = (int)(share * count);
    return sorted[at < count ? at : count - 1];
}

static void fresh(int count) {
    static char data[65536];
    double *took = calloc((size_t)count, sizeof *took), begun = now();
    for (int i = 0; i < count; i++) {
        double at = now();
        int fd = dial();
        ask(fd);
        size_t size = 0, want = 0;
        while (want == 0 || size < want) {
            ssize_t got = recv(fd, data + size, sizeof data - size, 0);
            if (got <= 0) die("recv");
            size += (size_t)got;
            want = whole(data, size);
        }
        took[i] = (now() - at) * 1e6;
        close(fd);
    }
    double seconds = now() - begun;
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("{\"p50\": %.1f, \"p99\": %.1f, \"rate\": %.0f}\n", part(took, count, 0.5),
           part(took, count, 0.99), count / seconds);
}

static void keep(int count, int conns) {
    struct { int fd; size_t size; double at; } *calls = calloc((size_t)conns, sizeof *calls);
    char (*data)[8192] = calloc((size_t)conns, sizeof *data);
    double *took = calloc((size_t)count + (size_t)conns, sizeof *took);
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    int done = 0, poll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < conns; i++) {
        calls[i].fd = dial();
        event.data.u32 = (unsigned)i;
        epoll_ctl(poll, EPOLL_CTL_ADD, calls[i].fd, &event);
    }
    double begun = now();
    for (int i = 0; i < conns; i++) {
        calls[i].at = now();
        ask(calls[i].fd);
    }
    while (done < count) {
        int many = epoll_wait(poll, ready, 256, 10000);
        if (many <= 0) die("epoll_wait");
        for (int n = 0; n < many; n++) {
            unsigned i = ready[n].data.u32;
            ssize_t got = recv(calls[i].fd, data[i] + calls[i].size, 8192 - calls[i].size, 0);
            if (got <= 0) die("recv");
            calls[i].size += (size_t)got;
            size_t want = whole(data[i], calls[i].size);
            if (want == 0 || calls[i].size < want) continue;
            double at = now();
            if (done < count) took[done++] = (at - calls[i].at) * 1e6;
            calls[i].size = 0;
            calls[i].at = at;
            ask(calls[i].fd);
        }
    }
    double seconds = now() - begun;
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("{\"p50\": %.1f, \"p99\": %.1f, \"rate\": %.0f}\n", part(took, count, 0.5),
           part(took, count, 0.99), count / seconds);
}

struct held { double first, last, gap, body, end; };

static void wait_for_calls(struct held *mine, int count) {
    int *fds = calloc((size_t)count, sizeof *fds), left = count, poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    char data[65536];
    for (int i = 0; i < count; i++) {
        fds[i] = dial();
        ask(fds[i]);
        mine[i].last = now();
        event.data.u32 = (unsigned)i;
        epoll_ctl(poll, EPOLL_CTL_ADD, fds[i], &event);
    }
    while (left > 0) {
        int many = epoll_wait(poll, ready, 256, 120000);
        if (many <= 0) exit(1);
        for (int n = 0; n < many; n++) {
            unsigned i = ready[n].data.u32;
            ssize_t got = recv(fds[i], data, sizeof data, 0);
            double at = now();
            if (got <= 0) {
                close(fds[i]);
                left--;
                continue;
            }
            if (mine[i].first == 0) mine[i].first = at;
            if (at - mine[i].last > mine[i].gap) mine[i].gap = at - mine[i].last;
            mine[i].last = at;
            if (mine[i].body == 0 && memmem(data, (size_t)got, "AccessKeyId", 11))
                mine[i].body = at;
            if (mine[i].body != 0 && memmem(data, (size_t)got, "0\r\n\r\n", 5)) {
                mine[i].end = at;
                close(fds[i]);
                left--;
            }
        }
    }
    exit(0);
}

static void hold(int count, int share) {
    struct held *all = mmap(NULL, (size_t)count * sizeof *all, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) die("mmap");
    for (int at = 0; at < count; at += share)
        if (fork() == 0) wait_for_calls(all + at, count - at < share ? count - at : share);
    for (int waiting = 1; waiting;) {
        waiting = 0;
        for (int i = 0; i < count; i++) waiting += ((volatile struct held *)all)[i].first == 0;
        if (waiting) usleep(50000);
    }
    puts("held");
    fflush(stdout);
    while (wait(NULL) > 0 || errno == EINTR) {}
    double first = 1e18, gap = 0, *took = calloc((size_t)count, sizeof *took);
    int answered = 0;
    for (int i = 0; i < count; i++) {
        if (all[i].gap > gap) gap = all[i].gap;
        if (all[i].body != 0 && all[i].body < first) first = all[i].body;
    }
    for (int i = 0; i < count; i++)
        if (all[i].end != 0) took[answered++] = (all[i].end - first) * 1e6;
    qsort(took, (size_t)answered, sizeof *took, by_size);
    printf("{\"answered\": %d, \"gap\": %.0f, \"first_at\": %.6f, \"p50\": %.0f, \"p99\": %.0f}\n",
           answered, gap * 1e6, first, part(took, answered, 0.5), part(took, answered, 0.99));
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    request_size = fread(request, 1, sizeof request, stdin);
    place.sin_family = AF_INET;
    place.sin_port = htons((unsigned short)atoi(argv[2]));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int count = atoi(argv[3]), more = argc > 4 ? atoi(argv[4]) : 0;
    if (strcmp(argv[1], "new") == 0) fresh(count);
    else if (strcmp(argv[1], "keep") == 0 && more > 0) keep(count, more);
    else if (strcmp(argv[1], "hold") == 0 && more > 0) hold(count, more);
    else return 2;
    return 0;
}
