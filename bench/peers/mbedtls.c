/* A server with Mbed TLS 2.28. See common.h. */
#include "common.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

static struct options options;

static int receive(void *net, unsigned char *buf, size_t len) {
    ssize_t got = net_receive(net, buf, len);
    return got < 0 ? MBEDTLS_ERR_SSL_TIMEOUT : (int)got;
}

/* The library's timer says how long; the socket's own time-out is as good here, and saves a call. */
static int receive_within(void *net, unsigned char *buf, size_t len, uint32_t millis) {
    (void)millis;
    return receive(net, buf, len);
}

static int transmit(void *net, const unsigned char *buf, size_t len) {
    return (int)net_send(net, buf, len);
}

int main(int argc, char **argv) {
    static const int psk_suites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0};
    static const int ecdsa_suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0};
    static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};
    options = arguments(argc, argv, MBEDTLS_VERSION_STRING);
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_ssl_cookie_ctx cookie;
    mbedtls_x509_crt certificate, authority;
    mbedtls_pk_context key;
    mbedtls_ssl_context ssl;
    mbedtls_timing_delay_context timer;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_cookie_init(&cookie);
    mbedtls_x509_crt_init(&certificate);
    mbedtls_x509_crt_init(&authority);
    mbedtls_pk_init(&key);
    mbedtls_ssl_init(&ssl);
    if (mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) ||
        mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) ||
        mbedtls_ssl_cookie_setup(&cookie, mbedtls_ctr_drbg_random, &random))
        die("no context");
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    mbedtls_ssl_conf_dtls_cookies(&config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookie);
    mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(&config, curves);
    mbedtls_ssl_conf_ciphersuites(&config, options.identity ? psk_suites : ecdsa_suites);
    if (options.identity) {
        if (mbedtls_ssl_conf_psk(&config, options.key, options.key_len, (const unsigned char *)options.identity,
                                 strlen(options.identity)))
            die("the key cannot be used");
    } else if (mbedtls_x509_crt_parse_file(&certificate, options.certificate) ||
               mbedtls_pk_parse_keyfile(&key, options.private_key, NULL) ||
               mbedtls_ssl_conf_own_cert(&config, &certificate, &key)) {
        die("the certificate or its key cannot be used");
    }
    if (options.authority) {
        if (mbedtls_x509_crt_parse_file(&authority, options.authority))
            die("the authority cannot be used");
        mbedtls_ssl_conf_ca_chain(&config, &authority, NULL);
        mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
    }
    struct net net = {.socket = options.socket};
    if (mbedtls_ssl_setup(&ssl, &config))
        die("no memory");
    mbedtls_ssl_set_mtu(&ssl, MTU);
    mbedtls_ssl_set_bio(&ssl, &net, transmit, receive, receive_within);
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    for (;;) {
        unsigned char byte;
        socklen_t client_len = sizeof net.client;
        /* Cookies are for an address, which has to be told before the hello is read. */
        if (recvfrom(net.socket, &byte, 1, MSG_PEEK, (struct sockaddr *)&net.client, &client_len) < 0)
            continue;
        unsigned char id[6];
        memcpy(id, &net.client.sin_addr, 4);
        memcpy(id + 4, &net.client.sin_port, 2);
        mbedtls_ssl_session_reset(&ssl);
        mbedtls_ssl_set_client_transport_id(&ssl, id, sizeof id);
        /* Whether it succeeds or asks for a cookie, the next datagram begins anew. */
        mbedtls_ssl_handshake(&ssl);
    }
}
