/* The floor: what a server costs that does nothing but write.

   floor PORT

   serves one connection after the other on loopback. Who sends a GET is a subscriber from then on. Who sends a POST is
   the publisher until it closes: each line of a body is an event that goes to every subscriber, as the chunk of an
   SSE answer, in a blocking write of its own. The answer to a POST follows when all is written. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SUBSCRIBERS = 20000, BUFFER = 1 << 17 };

static const char SUBSCRIBED[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char PUBLISHED[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static int subscribers[SUBSCRIBERS];
static size_t count, offset;

static bool write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = write(fd, data, size);
        if (sent < 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void write_to_subscribers(const char *frame, size_t size) {
    for (size_t index = 0; index < count;) {
        if (write_all(subscribers[index], frame, size)) {
            index++;
        } else {
            close(subscribers[index]);
            subscribers[index] = subscribers[--count];
        }
    }
}

static void publish_line(const char *line, int size) {
    char event[BUFFER], frame[BUFFER + 16];
    int length = snprintf(event, sizeof event, "event: tick\nid: df3a3426:%zu\ndata: %.*s\n\n", ++offset, size, line);
    length = snprintf(frame, sizeof frame, "%x\r\n%s\r\n", length, event);
    write_to_subscribers(frame, (size_t)length);
}

static void publish(const char *body, const char *end) {
    while (body < end) {
        const char *line_end = memchr(body, '\n', (size_t)(end - body));
        line_end = line_end ? line_end : end;
        publish_line(body, (int)(line_end - body));
        body = line_end + 1;
    }
}

struct request {
    char *body, *end;
};

/* The request that the buffer begins with. False when it is not all there. */
static bool whole(char *buffer, size_t used, struct request *request) {
    char *head_end = strstr(buffer, "\r\n\r\n"), *length = strcasestr(buffer, "\r\ncontent-length:");
    if (!head_end)
        return false;
    request->body = head_end + 4;
    request->end = request->body + (length && length < head_end ? strtoul(length + 17, NULL, 10) : 0);
    return request->end <= buffer + used;
}

/* Read the publisher's requests until it is gone, or one that subscribes. */
static void serve(int fd) {
    static char buffer[BUFFER + 1];
    struct request request;
    size_t used = 0;
    for (ssize_t got; used < BUFFER && (got = read(fd, buffer + used, BUFFER - used)) > 0;) {
        used += (size_t)got;
        buffer[used] = 0;
        while (whole(buffer, used, &request)) {
            if (memcmp(buffer, "GET ", 4) == 0 && count < SUBSCRIBERS) {
                subscribers[count++] = fd;
                write_all(fd, SUBSCRIBED, sizeof SUBSCRIBED - 1);
                return;
            }
            publish(request.body, request.end);
            write_all(fd, PUBLISHED, sizeof PUBLISHED - 1);
            used -= (size_t)(request.end - buffer);
            memmove(buffer, request.end, used + 1);
        }
    }
    close(fd);
}

int main(int argument_count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in here = {.sin_family = AF_INET};
    here.sin_port = htons((uint16_t)(argument_count > 1 ? atoi(arguments[1]) : 0));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 4096) < 0) {
        perror("cannot listen");
        return 1;
    }
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(fd);
    }
    perror("cannot accept");
    return 1;
}
