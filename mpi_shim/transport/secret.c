/* SPDX-License-Identifier: BSD-3-Clause */
/* secret.c - a step's key from what the user or the launcher gives, and proofs by MAC or by MUNGE. */
#include "secret.h"
#include "munge.h"
#include "base/io.h"
#include "base/log.h"
#include "base/real.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MIN 32u
#define FILE_MAX 4096u

/* Each step has a key of its own, even if the user's file is the same for all. */
static int derive(struct mioc_secret *secret, const void *bytes, size_t bytes_size, const char *step, char *reason,
                  size_t size)
{
    static const char label[] = "mpiio_cache step key 1";
    unsigned char strong[32];
    crypto_generichash_state state;

    if (sodium_init() < 0) {
        snprintf(reason, size, "libsodium does not start");
        return -1;
    }
    secret->has_key = 1;
    crypto_generichash(strong, sizeof strong, bytes, bytes_size, NULL, 0);
    crypto_generichash_init(&state, strong, sizeof strong, sizeof secret->key);
    crypto_generichash_update(&state, (const unsigned char *)label, sizeof label);
    crypto_generichash_update(&state, (const unsigned char *)step, strlen(step));
    crypto_generichash_final(&state, secret->key, sizeof secret->key);
    sodium_memzero(strong, sizeof strong);
    sodium_memzero(&state, sizeof state);
    return 0;
}

/* NULL, or what is wrong with the file that fd is. */
static const char *fault_of(int fd)
{
    struct stat st;

    if (mioc_real(fstat)(fd, &st) != 0)
        return mioc_log_error(errno);
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return "it belongs to another user";
    if ((st.st_mode & 077) != 0)
        return "others than its owner may read or write it (chmod 600 mends that)";
    return NULL;
}

int mioc_secret_from_file(struct mioc_secret *secret, const char *path, const char *step, char *reason, size_t size)
{
    unsigned char bytes[FILE_MAX + 1];
    int fd = mioc_real(open)(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = -1;
    const char *fault = fd < 0 ? mioc_log_error(errno) : fault_of(fd);
    ssize_t n = fault == NULL ? mioc_io_read(fd, bytes, sizeof bytes) : 0;

    if (fault == NULL && n < 0)
        fault = mioc_log_error(errno);
    else if (fault == NULL && n < (ssize_t)FILE_MIN)
        fault = "it has less than 32 bytes";
    else if (fault == NULL && n > (ssize_t)FILE_MAX)
        fault = "it has more than 4096 bytes";
    if (fault != NULL)
        snprintf(reason, size, "the key file %s cannot be used: %s", path, fault);
    else
        rc = derive(secret, bytes, (size_t)n, step, reason, size);
    if (fd >= 0)
        mioc_real(close)(fd);
    sodium_memzero(bytes, sizeof bytes);
    return rc;
}

int mioc_secret_from_word(struct mioc_secret *secret, const char *word, const char *step, char *reason, size_t size)
{
    if (strlen(word) >= MIOC_SECRET_WORD_MIN)
        return derive(secret, word, strlen(word), step, reason, size);
    snprintf(reason, size, "the launcher's secret has less than %u characters", MIOC_SECRET_WORD_MIN);
    return -1;
}

int mioc_secret_from_bytes(struct mioc_secret *secret, const unsigned char bytes[MIOC_SECRET_KEY], const char *step,
                           char *reason, size_t size)
{
    return derive(secret, bytes, MIOC_SECRET_KEY, step, reason, size);
}

int mioc_secret_from_munge(struct mioc_secret *secret, char *reason, size_t size)
{
    static const char probe[] = "mpiio_cache";
    char credential[MIOC_SECRET_PROOF_MAX];

    if (sodium_init() < 0) {
        snprintf(reason, size, "libsodium does not start");
        return -1;
    }
    memset(secret, 0, sizeof *secret);
    return mioc_munge_encode(credential, sizeof credential, probe, sizeof probe, reason, size);
}

/* --- Proofs ------------------------------------------------------------------------------------------------------ */

/* What a credential carries. */
struct payload {
    unsigned char bound[32], share[32];
};

static void mac_of(const struct mioc_secret *secret, const unsigned char bound[32], unsigned char mac[32])
{
    crypto_generichash(mac, 32, bound, 32, secret->key, sizeof secret->key);
}

int mioc_secret_prove(const struct mioc_secret *secret, const unsigned char bound[32],
                      unsigned char proof[MIOC_SECRET_PROOF_MAX], size_t *proof_size, unsigned char share[32],
                      char *reason, size_t size)
{
    struct payload payload;
    int rc;

    if (secret->has_key) {
        mac_of(secret, bound, proof);
        *proof_size = 32;
        memcpy(share, secret->key, 32);
        return 0;
    }
    memcpy(payload.bound, bound, 32);
    randombytes_buf(payload.share, 32);
    rc = mioc_munge_encode((char *)proof, MIOC_SECRET_PROOF_MAX, &payload, sizeof payload, reason, size);
    if (rc == 0) {
        *proof_size = strlen((char *)proof) + 1;
        memcpy(share, payload.share, 32);
    }
    sodium_memzero(&payload, sizeof payload);
    return rc;
}

int mioc_secret_check(const struct mioc_secret *secret, const unsigned char bound[32], const unsigned char *proof,
                      size_t proof_size, unsigned char share[32], char *reason, size_t size)
{
    struct payload payload = { { 0 }, { 0 } };
    unsigned char mac[32];
    int rc = -1;

    snprintf(reason, size, "another key");
    if (secret->has_key) {
        mac_of(secret, bound, mac);
        if (proof_size != sizeof mac || sodium_memcmp(mac, proof, sizeof mac) != 0)
            return -1;
        memcpy(share, secret->key, 32);
        return 0;
    }
    if (proof_size == 0 || proof[proof_size - 1] != '\0' ||
        mioc_munge_decode((const char *)proof, &payload, sizeof payload, reason, size) != 0)
        return -1;
    if (sodium_memcmp(payload.bound, bound, 32) == 0) {
        memcpy(share, payload.share, 32);
        rc = 0;
    } else
        snprintf(reason, size, "MUNGE: a credential of another connection");
    sodium_memzero(&payload, sizeof payload);
    return rc;
}
