/* A server with wolfSSL. See common.h. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/random.h>

#include "common.h"

static struct options options;
static unsigned char secret[32];

static unsigned int psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned int room) {
    (void)ssl;
    if (strcmp(identity, options.identity) || room < options.key_len)
        return 0;
    memcpy(key, options.key, options.key_len);
    return (unsigned int)options.key_len;
}

static int receive(WOLFSSL *ssl, char *buf, int len, void *context) {
    (void)ssl;
    ssize_t got = net_receive(context, buf, (size_t)len);
    return got < 0 ? WOLFSSL_CBIO_ERR_TIMEOUT : (int)got;
}

static int transmit(WOLFSSL *ssl, char *buf, int len, void *context) {
    (void)ssl;
    ssize_t sent = net_send(context, buf, (size_t)len);
    return sent < 0 ? WOLFSSL_CBIO_ERR_GENERAL : (int)sent;
}

static int make_cookie(WOLFSSL *ssl, unsigned char *cookie, int room, void *context) {
    (void)ssl;
    const struct net *net = context;
    unsigned char mac[WC_SHA256_DIGEST_SIZE];
    Hmac hmac;
    if (wc_HmacInit(&hmac, NULL, INVALID_DEVID) || wc_HmacSetKey(&hmac, WC_SHA256, secret, sizeof secret) ||
        wc_HmacUpdate(&hmac, (const byte *)&net->client.sin_addr, 4) ||
        wc_HmacUpdate(&hmac, (const byte *)&net->client.sin_port, 2) || wc_HmacFinal(&hmac, mac))
        return -1;
    wc_HmacFree(&hmac);
    if (room > (int)sizeof mac)
        room = sizeof mac;
    memcpy(cookie, mac, (size_t)room);
    return room;
}

static WOLFSSL_CTX *configure(void) {
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfDTLSv1_2_server_method());
    WC_RNG random;
    if (!context || wc_InitRng(&random) || wc_RNG_GenerateBlock(&random, secret, sizeof secret))
        die("no context");
    wolfSSL_CTX_SetIORecv(context, receive);
    wolfSSL_CTX_SetIOSend(context, transmit);
    wolfSSL_CTX_SetGenCookie(context, make_cookie);
    wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_group_messages(context);
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    if (options.identity) {
        wolfSSL_CTX_set_psk_server_callback(context, psk);
        if (wolfSSL_CTX_set_cipher_list(context, "PSK-AES128-CCM-8") != WOLFSSL_SUCCESS)
            die("no such suite");
        return context;
    }
    if (wolfSSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") != WOLFSSL_SUCCESS)
        die("no such suite");
    if (wolfSSL_CTX_use_certificate_file(context, options.certificate, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(context, options.private_key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        die("the certificate or its key cannot be used");
    if (options.authority) {
        if (wolfSSL_CTX_load_verify_locations(context, options.authority, NULL) != WOLFSSL_SUCCESS)
            die("the authority cannot be used");
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

int main(int argc, char **argv) {
    options = arguments(argc, argv, wolfSSL_lib_version());
    WOLFSSL_CTX *context = configure();
    struct net net = {.socket = options.socket};
    for (;;) {
        WOLFSSL *ssl = wolfSSL_new(context);
        if (!ssl)
            die("no memory");
        wolfSSL_SetIOReadCtx(ssl, &net);
        wolfSSL_SetIOWriteCtx(ssl, &net);
        wolfSSL_SetCookieCtx(ssl, &net);
        wolfSSL_accept(ssl);
        wolfSSL_free(ssl);
    }
}
