/* A server with OpenSSL. See common.h. */
#include "common.h"

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

static struct options options;
static unsigned char secret[32];

static unsigned int psk(SSL *ssl, const char *identity, unsigned char *key, unsigned int room) {
    (void)ssl;
    if (strcmp(identity, options.identity) || room < options.key_len)
        return 0;
    memcpy(key, options.key, options.key_len);
    return (unsigned int)options.key_len;
}

static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned int *len) {
    struct sockaddr_in peer = {0};
    BIO_dgram_get_peer(SSL_get_rbio(ssl), &peer);
    unsigned char address[6];
    memcpy(address, &peer.sin_addr, 4);
    memcpy(address + 4, &peer.sin_port, 2);
    return HMAC(EVP_sha256(), secret, sizeof secret, address, sizeof address, cookie, len) != NULL;
}

static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned int len) {
    unsigned char good[EVP_MAX_MD_SIZE];
    unsigned int good_len = 0;
    return make_cookie(ssl, good, &good_len) && len == good_len && !CRYPTO_memcmp(cookie, good, len);
}

static SSL_CTX *configure(void) {
    SSL_CTX *context = SSL_CTX_new(DTLS_server_method());
    if (!context || RAND_bytes(secret, sizeof secret) != 1)
        die("no context");
    SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE);
    SSL_CTX_set_cookie_generate_cb(context, make_cookie);
    SSL_CTX_set_cookie_verify_cb(context, check_cookie);
    SSL_CTX_set1_groups_list(context, "P-256");
    if (options.identity) {
        SSL_CTX_set_psk_server_callback(context, psk);
        if (SSL_CTX_set_cipher_list(context, "PSK-AES128-CCM8") != 1)
            die("no such suite");
        return context;
    }
    if (SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") != 1)
        die("no such suite");
    if (SSL_CTX_use_certificate_file(context, options.certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, options.private_key, SSL_FILETYPE_PEM) != 1)
        die("the certificate or its key cannot be used");
    if (options.authority) {
        if (SSL_CTX_load_verify_locations(context, options.authority, NULL) != 1)
            die("the authority cannot be used");
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

int main(int argc, char **argv) {
    options = arguments(argc, argv, OpenSSL_version(OPENSSL_VERSION_STRING));
    SSL_CTX *context = configure();
    BIO_ADDR *client = BIO_ADDR_new();
    for (;;) {
        SSL *ssl = SSL_new(context);
        BIO *bio = BIO_new_dgram(options.socket, BIO_NOCLOSE);
        if (!ssl || !bio || !client)
            die("no memory");
        SSL_set_bio(ssl, bio, bio);
        SSL_set_mtu(ssl, MTU);
        while (DTLSv1_listen(ssl, client) < 1)
            ;
        if (SSL_accept(ssl) != 1)
            ERR_clear_error();
        SSL_free(ssl);
    }
}
