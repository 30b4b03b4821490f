/* A server with GnuTLS. See common.h. */
#include "common.h"

#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>

static struct options options;

static int psk(gnutls_session_t session, const char *identity, gnutls_datum_t *key) {
    (void)session;
    if (strcmp(identity, options.identity))
        return -1;
    key->data = gnutls_malloc(options.key_len);
    key->size = (unsigned int)options.key_len;
    if (!key->data)
        return -1;
    memcpy(key->data, options.key, options.key_len);
    return 0;
}

static ssize_t receive(gnutls_transport_ptr_t net, void *buf, size_t len) {
    ssize_t got = net_receive(net, buf, len);
    /* A client that has fallen silent; "again" would be asked again. */
    if (got < 0)
        errno = EIO;
    return got;
}

static ssize_t transmit(gnutls_transport_ptr_t net, const void *buf, size_t len) {
    return net_send(net, buf, len);
}

/* The socket has a time-out of its own, so a look at whether there is something would only be a call more. */
static int is_there_something(gnutls_transport_ptr_t net, unsigned int millis) {
    (void)net;
    (void)millis;
    return 1;
}

/* Answers hellos until one has a good cookie, and leaves that one in the socket. */
static gnutls_dtls_prestate_st listen_for_hello(struct net *net, gnutls_datum_t *secret) {
    for (;;) {
        unsigned char hello[2048];
        socklen_t client_len = sizeof net->client;
        ssize_t len = recvfrom(net->socket, hello, sizeof hello, MSG_PEEK, (struct sockaddr *)&net->client, &client_len);
        if (len <= 0)
            continue;
        gnutls_dtls_prestate_st state = {0};
        if (gnutls_dtls_cookie_verify(secret, &net->client, sizeof net->client, hello, (size_t)len, &state) == 0)
            return state;
        gnutls_dtls_cookie_send(secret, &net->client, sizeof net->client, &state, net, transmit);
        net_receive(net, hello, sizeof hello);
    }
}

int main(int argc, char **argv) {
    options = arguments(argc, argv, gnutls_check_version(NULL));
    gnutls_priority_t priority;
    gnutls_psk_server_credentials_t keys = NULL;
    gnutls_certificate_credentials_t papers = NULL;
    gnutls_datum_t secret;
    const char *suite = options.identity
                            ? "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8"
                            : "NONE:+VERS-DTLS1.2:+ECDHE-ECDSA:+AES-128-GCM:+AEAD:+GROUP-SECP256R1:+SIGN-ECDSA-SHA256:"
                              "+COMP-NULL";
    if (gnutls_priority_init(&priority, suite, NULL) || gnutls_key_generate(&secret, GNUTLS_COOKIE_KEY_SIZE))
        die("no such suite");
    if (options.identity) {
        gnutls_psk_allocate_server_credentials(&keys);
        gnutls_psk_set_server_credentials_function(keys, psk);
    } else {
        gnutls_certificate_allocate_credentials(&papers);
        if (gnutls_certificate_set_x509_key_file(papers, options.certificate, options.private_key, GNUTLS_X509_FMT_PEM))
            die("the certificate or its key cannot be used");
        if (options.authority &&
            gnutls_certificate_set_x509_trust_file(papers, options.authority, GNUTLS_X509_FMT_PEM) < 1)
            die("the authority cannot be used");
    }
    struct net net = {.socket = options.socket};
    for (;;) {
        gnutls_dtls_prestate_st state = listen_for_hello(&net, &secret);
        gnutls_session_t session;
        /* Told that it blocks, the library sleeps 50 ms twice in a handshake. */
        if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS))
            die("no memory");
        gnutls_priority_set(session, priority);
        if (keys)
            gnutls_credentials_set(session, GNUTLS_CRD_PSK, keys);
        else
            gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, papers);
        if (options.authority) {
            gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
            gnutls_session_set_verify_cert(session, NULL, 0);
        }
        gnutls_dtls_prestate_set(session, &state);
        gnutls_dtls_set_mtu(session, MTU);
        gnutls_transport_set_ptr(session, &net);
        gnutls_transport_set_pull_function(session, receive);
        gnutls_transport_set_push_function(session, transmit);
        gnutls_transport_set_pull_timeout_function(session, is_there_something);
        int result;
        do
            result = gnutls_handshake(session);
        while (result == GNUTLS_E_AGAIN);
        gnutls_deinit(session);
    }
}
