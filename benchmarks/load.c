/* Closed-loop HTTP load: N connections, each sends its next ready-made request when the answer to the last is there.
 *
 * load HOST PORT CONNECTIONS SECONDS WARMUP FILE
 * FILE holds requests, each a 4-byte little-endian length and that many bytes (a whole HTTP/1.1 request).
 * Prints one JSON object: requests answered with 200, others, seconds, the latencies' percentiles in ms, own CPU seconds.
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

enum { BUFFER = 1 << 20, MOST_LATENCIES = 1 << 22 };

struct request { char *bytes; uint32_t size; };
struct connection { int fd; uint32_t request; size_t sent, got; double began; char *buffer; };

static struct request *requests;
static uint32_t request_count;
static double *latencies;
static size_t latency_count, others;
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
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) fail("write");
        c->sent += n;
    }
}

static void start(struct connection *c, uint32_t *next) {
    c->request = (*next)++ % request_count;
    c->sent = c->got = 0;
    c->began = now();
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
        if (n <= 0) fail("the server closed a connection");
        c->got += n;
        size_t size = answer_size(c);
        if (size && c->got >= size) return 1;
    }
}

static void count(const struct connection *c, double at) {
    if (at < measured_from) return;
    if (memcmp(c->buffer + 9, "200", 3)) others++;
    else if (latency_count < MOST_LATENCIES) latencies[latency_count++] = at - c->began;
}

static void open_connection(struct connection *c, const char *host, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int one = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->buffer = malloc(BUFFER);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return latency_count ? latencies[(size_t)(share * (latency_count - 1))] * 1e3 : 0;
}

static void report(double seconds) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    qsort(latencies, latency_count, sizeof *latencies, ascending);
    printf("{\"answered\": %zu, \"others\": %zu, \"seconds\": %.4f, \"p50_ms\": %.4f, \"p90_ms\": %.4f, \"p99_ms\": %.4f, "
           "\"max_ms\": %.4f, \"cpu_seconds\": %.4f}\n",
           latency_count, others, seconds, percentile(.5), percentile(.9), percentile(.99), percentile(1), cpu);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: load HOST PORT CONNECTIONS SECONDS WARMUP FILE\n");
        return 2;
    }
    int count_of = atoi(argv[3]), poll = epoll_create1(0);
    uint32_t next = 0;
    struct connection *connections = calloc(count_of, sizeof *connections);
    struct epoll_event events[256];
    latencies = malloc(MOST_LATENCIES * sizeof *latencies);
    read_requests(argv[6]);
    measured_from = now() + atof(argv[5]);
    double end = measured_from + atof(argv[4]), at = now();
    for (int i = 0; i < count_of; i++) {
        open_connection(&connections[i], argv[1], argv[2]);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &connections[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
        start(&connections[i], &next);
    }
    while ((at = now()) < end) {
        int ready = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) send_some(c);
            while (receive_some(c)) {
                count(c, now());
                start(c, &next);
            }
        }
    }
    report(at - measured_from);
    return 0;
}
