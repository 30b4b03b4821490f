/* What the servers of this folder share: their arguments and their socket.
 *
 * Each serves one client after the other, as lean as its library lets: one unconnected UDP socket, contexts and keys
 * that are made once, no resumption. A client is asked for a cookie and shakes hands; then it is forgotten, and the next
 * one has its turn. The bench reads what processor time that took.
 */
#ifndef LOCKGATE_BENCH_PEERS_COMMON_H
#define LOCKGATE_BENCH_PEERS_COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The largest payload of a datagram that a server sends. */
#define MTU 1400

struct options {
    int socket;
    const char *identity; /* With a pre-shared key. */
    unsigned char key[64];
    size_t key_len;
    const char *certificate; /* PEM files, without a pre-shared key. */
    const char *private_key;
    const char *authority; /* Where clients show certificates. */
};

__attribute__((noreturn)) static inline void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline size_t from_hex(const char *hex, unsigned char *out, size_t room) {
    size_t len = strlen(hex) / 2;
    if (strlen(hex) % 2 || len > room)
        die("the key has a wrong length");
    for (size_t i = 0; i < len; i++) {
        unsigned int byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            die("the key is not hexadecimal");
        out[i] = (unsigned char)byte;
    }
    return len;
}

/* PORT psk IDENTITY HEX, PORT server CERTIFICATE KEY, or PORT mutual CERTIFICATE KEY AUTHORITY; or version. */
static inline struct options arguments(int argc, char **argv, const char *version) {
    struct options options = {0};
    if (argc == 2 && !strcmp(argv[1], "version")) {
        puts(version);
        exit(0);
    }
    if (argc == 5 && !strcmp(argv[2], "psk")) {
        options.identity = argv[3];
        options.key_len = from_hex(argv[4], options.key, sizeof options.key);
    } else if ((argc == 5 && !strcmp(argv[2], "server")) || (argc == 6 && !strcmp(argv[2], "mutual"))) {
        options.certificate = argv[3];
        options.private_key = argv[4];
        options.authority = argc == 6 ? argv[5] : NULL;
    } else {
        die("usage: PORT psk IDENTITY HEX | PORT server CERTIFICATE KEY | PORT mutual CERTIFICATE KEY AUTHORITY");
    }
    /* With one client at a time, freed memory would go back to the kernel and be asked for again for each. */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    /* It ends with the bench. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    options.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (options.socket < 0 || bind(options.socket, (struct sockaddr *)&address, sizeof address))
        die("the port is not free");
    /* A client that has fallen silent is given up after so long. */
    struct timeval patience = {.tv_sec = 1};
    setsockopt(options.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return options;
}

/* The socket and the client that was heard last, for libraries that are given functions to receive and to send with. */
struct net {
    int socket;
    struct sockaddr_in client;
};

static inline ssize_t net_receive(struct net *net, void *buf, size_t len) {
    socklen_t client_len = sizeof net->client;
    return recvfrom(net->socket, buf, len, 0, (struct sockaddr *)&net->client, &client_len);
}

static inline ssize_t net_send(struct net *net, const void *buf, size_t len) {
    return sendto(net->socket, buf, len, 0, (struct sockaddr *)&net->client, sizeof net->client);
}

#endif
