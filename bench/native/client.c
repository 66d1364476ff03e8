/* A crowd of SSE clients, as lean as they can be.

   client PORT PATH COUNT

   opens COUNT connections on loopback and asks each for PATH, in which %d stands for the connection's number. When
   all have the heads of their answers it prints {"open":COUNT}. Then, for each line on standard input,

   FILE ANSWERS EVENTS SECONDS

   it publishes what is in FILE again and again for so long: one tick, that is requests with so many ANSWERS that bring
   each connection so many EVENTS. The next follows when all of that has come, so no server can join two ticks in one
   write. At the end it prints {"ticks":..,"events":..,"bytes":..,"seconds":..}. Without a line it holds its
   connections idle. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OPENING_AT_ONCE = 64, READY_AT_ONCE = 512, BUFFER = 1 << 17, PATIENCE = 60 };

static const char HEAD_END[] = "\r\n\r\n", EVENT[] = "\ndata:";

struct connection {
    int fd;
    uint8_t matched; /* how much of the pattern that is looked for came last */
    enum { ASKED, ANSWERED, OPEN } state;
};

static struct {
    int port, epoll;
    size_t count, open, events, bytes;
    struct connection *connections;
} crowd;

static struct {
    int fd;
    size_t tick_bytes, answers, used;
    char tick[BUFFER], answer[BUFFER + 1];
} publisher = {.fd = -1};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *words, ...) {
    va_list list;
    va_start(list, words);
    vfprintf(stderr, words, list);
    va_end(list);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0)
            fail("cannot send: %s", strerror(errno));
        data += sent;
        size -= (size_t)sent;
    }
}

/* A connected socket that the loop watches; `owner` is what the loop gets for it. */
static int connected(void *owner) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)crowd.port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("cannot connect to port %d: %s", crowd.port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, fd, &wanted) < 0)
        fail("cannot watch a connection: %s", strerror(errno));
    return fd;
}

static void ask(size_t number, const char *path) {
    struct connection *client = &crowd.connections[number];
    client->fd = connected(client);
    const char *place = strstr(path, "%d");
    int before = place ? (int)(place - path) : (int)strlen(path);
    char digits[24] = "", request[2048];
    if (place)
        snprintf(digits, sizeof digits, "%zu", number);
    int size = snprintf(request, sizeof request,
                        "GET %.*s%s%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", before, path,
                        digits, place ? place + 2 : "");
    send_all(client->fd, request, (size_t)size);
}

/* Look for `pattern`, of which only the first byte may begin it anew; stop behind it, or at the end. */
static const char *find(const char *pattern, uint8_t *matched, const char *at, const char *end) {
    while (at < end && pattern[*matched]) {
        if (*matched == 0) {
            at = memchr(at, pattern[0], (size_t)(end - at));
            if (!at)
                return end;
        }
        if (*at == pattern[*matched])
            ++*matched;
        else
            *matched = *at == pattern[0];
        at++;
    }
    return at;
}

static const char *take_head(struct connection *client, const char *at, const char *end) {
    if (client->state == ASKED && memcmp(at, "HTTP/1.1 200", 12) != 0)
        fail("a subscriber was answered: %.*s", (int)(end - at), at);
    client->state = ANSWERED;
    at = find(HEAD_END, &client->matched, at, end);
    if (!HEAD_END[client->matched]) {
        client->state = OPEN;
        client->matched = 1; /* the head ended with a newline, and an event may begin */
        crowd.open++;
    }
    return at;
}

static void take_events(struct connection *client, const char *at, const char *end) {
    while ((at = find(EVENT, &client->matched, at, end)) && !EVENT[client->matched]) {
        client->matched = 0;
        crowd.events++;
    }
}

static void receive_events(struct connection *client) {
    static char buffer[BUFFER];
    ssize_t size = recv(client->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0)
        fail("a subscriber was cut off after %zu events", crowd.events);
    crowd.bytes += (size_t)size;
    const char *at = buffer, *end = buffer + size;
    if (client->state != OPEN)
        at = take_head(client, at, end);
    if (client->state == OPEN)
        take_events(client, at, end);
}

/* The size of the whole answer that the buffer begins with; 0 when it is not all there. */
static size_t answer_size(void) {
    char *end = strstr(publisher.answer, HEAD_END);
    if (!end)
        return 0;
    if (memcmp(publisher.answer, "HTTP/1.1 2", 10) != 0)
        fail("a tick was answered: %s", publisher.answer);
    char *length = strcasestr(publisher.answer, "\r\ncontent-length:");
    if (!length || length > end)
        fail("an answer has no length: %s", publisher.answer);
    size_t size = (size_t)(end + 4 - publisher.answer) + strtoul(length + 17, NULL, 10);
    return size <= publisher.used ? size : 0;
}

static void receive_answers(void) {
    ssize_t size = recv(publisher.fd, publisher.answer + publisher.used, BUFFER - publisher.used, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0)
        fail("the publisher was cut off");
    publisher.used += (size_t)size;
    publisher.answer[publisher.used] = 0;
    while ((size = (ssize_t)answer_size()) > 0) {
        publisher.answers++;
        publisher.used -= (size_t)size;
        memmove(publisher.answer, publisher.answer + size, publisher.used + 1);
    }
}

static void receive(void) {
    struct epoll_event ready[READY_AT_ONCE];
    int count = epoll_wait(crowd.epoll, ready, READY_AT_ONCE, 1000);
    for (int index = 0; index < count; index++) {
        if (ready[index].data.ptr == &publisher)
            receive_answers();
        else
            receive_events(ready[index].data.ptr);
    }
}

static void open_all(const char *path) {
    double deadline = now() + PATIENCE;
    size_t asked = 0;
    while (crowd.open < crowd.count) {
        while (asked < crowd.count && asked - crowd.open < OPENING_AT_ONCE)
            ask(asked++, path);
        receive();
        if (now() > deadline)
            fail("only %zu of %zu subscribers were answered in %d s", crowd.open, crowd.count, PATIENCE);
    }
    printf("{\"open\":%zu}\n", crowd.open);
}

static void load_tick(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        fail("cannot read %s", path);
    publisher.tick_bytes = fread(publisher.tick, 1, sizeof publisher.tick, file);
    fclose(file);
}

/* Publish a tick, and return when all of it has come. */
static void tick(size_t answers, size_t events, double deadline) {
    send_all(publisher.fd, publisher.tick, publisher.tick_bytes);
    while (crowd.events < events || publisher.answers < answers) {
        receive();
        if (now() > deadline)
            fail("only %zu of %zu events came in %d s", crowd.events, events, PATIENCE);
    }
    if (crowd.events > events)
        fail("%zu events came instead of %zu", crowd.events, events);
}

static void run(size_t answers, size_t events, double seconds) {
    crowd.events = crowd.bytes = publisher.answers = publisher.used = 0;
    publisher.fd = connected(&publisher);
    double began = now(), time = began;
    size_t ticks = 0;
    for (; time < began + seconds; time = now()) {
        ticks++;
        tick(ticks * answers, ticks * events * crowd.count, time + PATIENCE);
    }
    close(publisher.fd);
    printf("{\"ticks\":%zu,\"events\":%zu,\"bytes\":%zu,\"seconds\":%.6f}\n", ticks, crowd.events, crowd.bytes,
           time - began);
}

int main(int count, char **arguments) {
    if (count != 4)
        fail("usage: client PORT PATH COUNT");
    setvbuf(stdout, NULL, _IOLBF, 0);
    crowd.port = atoi(arguments[1]);
    crowd.count = strtoul(arguments[3], NULL, 10);
    crowd.connections = calloc(crowd.count, sizeof *crowd.connections);
    crowd.epoll = epoll_create1(0);
    if (!crowd.connections || crowd.epoll < 0)
        fail("cannot start: %s", strerror(errno));
    open_all(arguments[2]);
    char file[4096];
    size_t answers, events;
    double seconds;
    int words;
    while ((words = scanf("%4095s %zu %zu %lf", file, &answers, &events, &seconds)) == 4) {
        load_tick(file);
        run(answers, events, seconds);
    }
    if (words != EOF)
        fail("not a run: FILE ANSWERS EVENTS SECONDS are wanted");
    return 0;
}
