/* SPDX-License-Identifier: BSD-3-Clause */
/* test_tcp_handshake.c - the keys of a connection: of one direction, of one connection, of nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/tcp_handshake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct side {
    struct mioc_tcp_terms terms;
    struct mioc_tcp_link link;
    struct mioc_tcp_handshake *handshake;
    enum mioc_tcp_fault fault;
    int rc, peer;
};

static struct side child, parent;
static unsigned char said[2][1024]; /* by the child, by the parent */
static size_t said_size[2];

static void set(struct side *side, int node, int fd, int is_child)
{
    memset(side, 0, sizeof *side);
    side->terms = (struct mioc_tcp_terms){ .node = node, .nodes = 10, .arity = 4, .secret = { .has_key = 1 } };
    side->link.fd = fd;
    side->handshake = mioc_tcp_handshake_new(&side->terms, is_child ? 0 : -1);
    assert_non_null(side->handshake);
}

static void step(struct side *side)
{
    char reason[200];

    if (side->rc == 0)
        side->rc =
            mioc_tcp_handshake_step(side->handshake, &side->link, &side->peer, &side->fault, reason, sizeof reason);
}

/* What one side has said, and the other has not heard yet. */
static void listen_in(int who, int fd)
{
    ssize_t n = recv(fd, said[who] + said_size[who], sizeof said[who] - said_size[who], MSG_PEEK | MSG_DONTWAIT);

    said_size[who] += n > 0 ? (size_t)n : 0;
}

/* With a byte of each side's key. */
static void shake(unsigned char of_child, unsigned char of_parent)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    set(&child, 3, pair[0], 1);
    set(&parent, 0, pair[1], 0);
    child.terms.secret.key[7] = of_child;
    parent.terms.secret.key[7] = of_parent;
    said_size[0] = said_size[1] = 0;
    for (int i = 0; i < 4; i++) {
        step(&child);
        listen_in(0, parent.link.fd);
        step(&parent);
        listen_in(1, child.link.fd);
    }
    mioc_tcp_handshake_free(child.handshake);
    mioc_tcp_handshake_free(parent.handshake);
}

static void close_both(void)
{
    mioc_tcp_link_close(&child.link);
    mioc_tcp_link_close(&parent.link);
}

static void keys_are_of_one_direction_and_one_connection(void **state)
{
    unsigned char up[32], down[32];

    (void)state;
    shake(0, 0);
    assert_int_equal(child.rc, 1);
    assert_int_equal(parent.rc, 1);
    assert_int_equal(child.peer, 0);
    assert_int_equal(parent.peer, 3);
    assert_memory_equal(child.link.out.k, parent.link.in.k, 32);
    assert_memory_equal(child.link.in.k, parent.link.out.k, 32);
    memcpy(up, child.link.out.k, 32);
    memcpy(down, child.link.in.k, 32);
    assert_memory_not_equal(up, down, 32);
    close_both();
    shake(0, 0);
    assert_memory_not_equal(up, child.link.out.k, 32);
    assert_memory_not_equal(down, child.link.in.k, 32);
    assert_memory_not_equal(up, child.link.in.k, 32);
    close_both();
}

/* The same random numbers in each run. */
static uint32_t drawn;
static const char *random_name(void) { return "test"; }
static uint32_t random_number(void) { return ++drawn * 2654435761u; }
static void random_bytes(void *const bytes, const size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)(random_number() >> 24);
}
static randombytes_implementation same = { .implementation_name = random_name,
                                           .random = random_number,
                                           .buf = random_bytes };

/* The same random numbers give the same keys: so what differs with another secret is the secret's. */
static void keys_follow_from_the_secret(void **state)
{
    unsigned char up[32];

    (void)state;
    randombytes_set_implementation(&same);
    for (int i = 0; i < 2; i++) {
        drawn = 0;
        shake(0, 0);
        assert_int_equal(parent.rc, 1);
        assert_true(i == 0 || memcmp(up, child.link.out.k, 32) == 0);
        memcpy(up, child.link.out.k, 32);
        close_both();
    }
    drawn = 0;
    shake(1, 1);
    assert_int_equal(parent.rc, 1);
    assert_memory_not_equal(up, child.link.out.k, 32);
    close_both();
    shake(1, 0);
    assert_int_equal(child.rc, -1);
    assert_int_equal(child.fault, MIOC_TCP_SECRET);
    assert_true(parent.rc <= 0);
    close_both();
}

/* The keys as tcp_handshake.h says, without what the two private keys give, or without the secret. */
static void neither_listener_nor_holder_of_the_secret_can_compute_the_keys(void **state)
{
    const size_t hello = sizeof(struct mioc_tcp_hello);
    const unsigned char *proof = said[0] + 5 + hello, *confirm = proof + 5 + 32;
    unsigned char shares[64], all[32], key[32], private_key[32], agreed[32];
    crypto_generichash_state hash;
    crypto_secretstream_xchacha20poly1305_state stream;

    (void)state;
    randombytes_set_implementation(&same);
    drawn = 0;
    shake(7, 7);
    assert_int_equal(parent.rc, 1);
    drawn = 0;
    random_bytes(private_key, sizeof private_key); /* the child's draws it first */
    assert_int_equal(crypto_scalarmult(agreed, private_key, said[1] + 5), 0);
    assert_int_equal(said_size[0], 5 + hello + 5 + 32 + 5 + MIOC_TCP_HEADER + MIOC_TCP_SEAL);
    crypto_generichash_init(&hash, NULL, 0, 32);
    crypto_generichash_update(&hash, said[0] + 5, hello);
    crypto_generichash_update(&hash, said[1] + 5, 32 + 32);
    crypto_generichash_update(&hash, proof + 5, 32);
    crypto_generichash_update(&hash, (const unsigned char *)"C", 1);
    crypto_generichash_final(&hash, all, sizeof all);
    memcpy(shares, parent.terms.secret.key, 32);
    memcpy(shares + 32, parent.terms.secret.key, 32);
    for (int knows = 0; knows < 4; knows++) { /* 1: the secret, 2: what the private keys give */
        crypto_generichash_init(&hash, knows & 1 ? shares : NULL, knows & 1 ? sizeof shares : 0, 32);
        if (knows & 2)
            crypto_generichash_update(&hash, agreed, sizeof agreed);
        crypto_generichash_update(&hash, all, sizeof all);
        crypto_generichash_final(&hash, key, sizeof key);
        assert_int_equal(crypto_secretstream_xchacha20poly1305_init_pull(&stream, confirm + 5, key), 0);
        assert_int_equal(memcmp(stream.k, parent.link.in.k, 32) == 0, knows == 3);
    }
    close_both();
}

/* A point of small order would give a result that everybody knows. */
static void nonce_that_is_no_public_key_is_refused(void **state)
{
    struct mioc_tcp_hello hello = {
        .magic = MIOC_TCP_MAGIC, .version = MIOC_TCP_VERSION, .child = 3, .nodes = 10, .arity = 4, .has_key = 1
    };
    unsigned char frame[1 + sizeof hello] = { MIOC_TCP_HELLO };
    int pair[2];

    (void)state;
    for (unsigned char first = 0; first < 2; first++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        set(&child, 3, pair[0], 1);
        set(&parent, 0, pair[1], 0);
        hello.nonce[0] = first;
        memcpy(frame + 1, &hello, sizeof hello);
        assert_int_equal(mioc_tcp_link_say(&child.link, frame, sizeof frame), 0);
        mioc_tcp_link_flush(&child.link);
        step(&parent);
        assert_int_equal(parent.rc, -1);
        assert_int_equal(parent.fault, MIOC_TCP_SPEECH);
        mioc_tcp_handshake_free(child.handshake);
        mioc_tcp_handshake_free(parent.handshake);
        close_both();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_of_one_direction_and_one_connection),
        cmocka_unit_test(nonce_that_is_no_public_key_is_refused),
        cmocka_unit_test(neither_listener_nor_holder_of_the_secret_can_compute_the_keys),
        cmocka_unit_test(keys_follow_from_the_secret),
    };

    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
