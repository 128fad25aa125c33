/* HTTP load. Closed loop: N connections, each sends its next ready-made request when the answer to the last is there.
 * Open loop, with a RATE: requests are due at even times, each is sent on a connection that is free then; a latency runs
 * from the time at which a request was due. Its end waits for the answers that are still out.
 *
 * load HOST PORT CONNECTIONS SECONDS WARMUP FILE [RATE]
 * FILE holds requests, each a 4-byte little-endian length and that many bytes (a whole HTTP/1.1 request).
 * Prints one JSON object: requests answered with 200, refused with 503, others, due but never sent, seconds, percentiles
 * of the latencies of the answered and of the refused in ms, seconds until the last answer, own CPU seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, MOST_LATENCIES = 1 << 22, LAST_ANSWERS = 120 /* seconds */ };

struct request { char *bytes; uint32_t size; };
struct connection { int fd, busy; uint32_t request; size_t sent, got; double began; char *buffer; struct connection *free; };
struct latencies { double *seconds; size_t count; };

static struct request *requests;
static uint32_t request_count;
static struct latencies answered, refused;
static size_t others;
static int open_loop;
static struct connection *free_connections; /* of an open loop */
static double measured_from;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    uint32_t size;
    if (!file) fail(path);
    while (fread(&size, 4, 1, file) == 1) {
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        requests[request_count] = (struct request){malloc(size), size};
        if (fread(requests[request_count].bytes, 1, size, file) != size) fail("a request is cut off");
        request_count++;
    }
    fclose(file);
    if (!request_count) fail("no requests");
}

static void send_some(struct connection *c) {
    const struct request *r = &requests[c->request];
    while (c->sent < r->size) {
        ssize_t n = write(c->fd, r->bytes + c->sent, r->size - c->sent);
        if (n < 0 && (errno == EAGAIN || open_loop)) return; /* what is lost shows when it is read */
        if (n <= 0) fail("write");
        c->sent += n;
    }
}

static void start(struct connection *c, uint32_t *next, double began) {
    c->request = (*next)++ % request_count;
    c->sent = c->got = 0;
    c->began = began;
    c->busy = 1;
    send_some(c);
}

/* Bytes of the whole answer, 0 while its head is not complete. */
static size_t answer_size(const struct connection *c) {
    char *end = memmem(c->buffer, c->got, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t body = 0;
    for (char *line = c->buffer; line < end; line = memchr(line, '\n', end + 2 - line) + 1)
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
    return end + 4 - c->buffer + body;
}

static int receive_some(struct connection *c) {
    for (;;) {
        ssize_t n = read(c->fd, c->buffer + c->got, BUFFER - c->got);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0 && open_loop) return -1;
        if (n <= 0) fail("the server closed a connection");
        c->got += n;
        size_t size = answer_size(c);
        if (size && c->got >= size) return 1;
    }
}

static void keep(struct latencies *all, double seconds) {
    if (all->count < MOST_LATENCIES) all->seconds[all->count++] = seconds;
}

static void count(const struct connection *c, double at) {
    if (at < measured_from) return;
    if (!memcmp(c->buffer + 9, "200", 3)) keep(&answered, at - c->began);
    else if (!memcmp(c->buffer + 9, "503", 3)) keep(&refused, at - c->began);
    else others++;
}

static void open_connection(struct connection *c, const char *host, const char *port, int poll) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int one = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (!c->buffer) c->buffer = malloc(BUFFER);
    c->sent = UINT32_MAX; /* nothing to send yet */
    c->got = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event);
}

/* One that is free again for what is due. */
static void set_free(struct connection *c) {
    c->got = c->busy = 0;
    c->free = free_connections;
    free_connections = c;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct latencies *all, double share) {
    return all->count ? all->seconds[(size_t)(share * (all->count - 1))] * 1e3 : 0;
}

static void report(double seconds, size_t unsent, double after) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    qsort(answered.seconds, answered.count, sizeof(double), ascending);
    qsort(refused.seconds, refused.count, sizeof(double), ascending);
    printf("{\"answered\": %zu, \"refused\": %zu, \"others\": %zu, \"unsent\": %zu, \"seconds\": %.4f, \"p50_ms\": %.4f, "
           "\"p90_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"refused_p50_ms\": %.4f, \"refused_p99_ms\": %.4f, "
           "\"after_seconds\": %.4f, \"cpu_seconds\": %.4f}\n",
           answered.count, refused.count, others, unsent, seconds, percentile(&answered, .5), percentile(&answered, .9),
           percentile(&answered, .99), percentile(&answered, 1), percentile(&refused, .5), percentile(&refused, .99), after, cpu);
}

/* Sends what is due of an open loop; the seconds until the next is, at most a tenth. */
static double send_due(double from, double until, double rate, uint64_t *sent, uint32_t *next) {
    double due = from + *sent / rate, at = now();
    while (due <= at && due < until && free_connections) {
        struct connection *c = free_connections;
        free_connections = c->free;
        start(c, next, due);
        due = from + ++*sent / rate;
    }
    double left = due - at;
    return left > 0.1 || !free_connections || due >= until ? 0.1 : left < 0 ? 0 : left;
}

int main(int argc, char **argv) {
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "usage: load HOST PORT CONNECTIONS SECONDS WARMUP FILE [RATE]\n");
        return 2;
    }
    int count_of = atoi(argv[3]), poll = epoll_create1(0), busy = 0;
    double rate = argc == 8 ? atof(argv[7]) : 0;
    open_loop = rate > 0;
    uint32_t next = 0;
    uint64_t sent = 0;
    struct connection *connections = calloc(count_of, sizeof *connections);
    struct epoll_event events[256];
    answered.seconds = malloc(MOST_LATENCIES * sizeof(double));
    refused.seconds = malloc(MOST_LATENCIES * sizeof(double));
    read_requests(argv[6]);
    for (int i = 0; i < count_of; i++) {
        open_connection(&connections[i], argv[1], argv[2], poll);
        if (i % 64 == 63) usleep(20000); /* a full backlog would have some reset later */
    }
    double from = now(), at = from, wait = 0.1;
    measured_from = from + atof(argv[5]);
    double end = measured_from + atof(argv[4]);
    for (int i = 0; i < count_of; i++) {
        if (!rate) start(&connections[i], &next, now());
        else set_free(&connections[i]);
    }
    while ((at = now()) < end || (rate && busy && at < end + LAST_ANSWERS)) {
        if (rate) {
            uint64_t before = sent;
            wait = send_due(from, end, rate, &sent, &next);
            busy += sent - before;
        }
        struct timespec pause = {.tv_nsec = wait * 1e9};
        int ready = epoll_pwait2(poll, events, 256, &pause, NULL);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) send_some(c);
            int whole;
            while ((whole = receive_some(c)) > 0) {
                count(c, now());
                if (!rate) start(c, &next, now());
                else set_free(c), busy--;
            }
            if (whole < 0) { /* an open loop goes on with a new connection; a request in flight is lost */
                close(c->fd);
                open_connection(c, argv[1], argv[2], poll);
                if (c->busy) others++, set_free(c), busy--;
            }
        }
    }
    double due = (end - from) * rate - sent;
    report((rate ? end : at) - measured_from, due > 0 ? due : 0, rate ? now() - end : 0);
    return 0;
}
