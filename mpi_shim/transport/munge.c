/* SPDX-License-Identifier: BSD-3-Clause */
/* munge.c - libmunge's few functions, found at the first use. */
#include "munge.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* munge.h: munge_opt_t */
#define OPTION_SOCKET 8
#define OPTION_UID_RESTRICTION 9

static struct {
    void *(*ctx_create)(void);
    void (*ctx_destroy)(void *ctx);
    int (*ctx_set)(void *ctx, int option, ...);
    int (*encode)(char **credential, void *ctx, const void *payload, int size);
    int (*decode)(const char *credential, void *ctx, void **payload, int *size, uid_t *uid, gid_t *gid);
    const char *(*text)(int error);
} munge;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int is_loaded;

static void load(void)
{
    void *library = dlopen("libmunge.so.2", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return;
    *(void **)&munge.ctx_create = dlsym(library, "munge_ctx_create");
    *(void **)&munge.ctx_destroy = dlsym(library, "munge_ctx_destroy");
    *(void **)&munge.ctx_set = dlsym(library, "munge_ctx_set");
    *(void **)&munge.encode = dlsym(library, "munge_encode");
    *(void **)&munge.decode = dlsym(library, "munge_decode");
    *(void **)&munge.text = dlsym(library, "munge_strerror");
    is_loaded = munge.ctx_create != NULL && munge.ctx_destroy != NULL && munge.ctx_set != NULL &&
                munge.encode != NULL && munge.decode != NULL && munge.text != NULL;
}

/* NULL: with a reason. */
static void *new_context(char *reason, size_t size)
{
    const char *where = getenv("MUNGE_SOCKET");
    void *ctx;

    pthread_once(&once, load);
    if (!is_loaded) {
        snprintf(reason, size, "MUNGE: libmunge.so.2 is not there");
        return NULL;
    }
    ctx = munge.ctx_create();
    if (ctx != NULL && munge.ctx_set(ctx, OPTION_UID_RESTRICTION, geteuid()) == 0 &&
        (where == NULL || *where == '\0' || munge.ctx_set(ctx, OPTION_SOCKET, where) == 0))
        return ctx;
    if (ctx != NULL)
        munge.ctx_destroy(ctx);
    snprintf(reason, size, "MUNGE: out of memory");
    return NULL;
}

int mioc_munge_encode(char *credential, size_t credential_size, const void *payload, size_t payload_size, char *reason,
                      size_t size)
{
    void *ctx = new_context(reason, size);
    char *made = NULL;
    int error, rc = -1;

    if (ctx == NULL)
        return -1;
    error = munge.encode(&made, ctx, payload, (int)payload_size);
    if (error != 0 || made == NULL)
        snprintf(reason, size, "MUNGE: %s", munge.text(error));
    else if (strlen(made) >= credential_size)
        snprintf(reason, size, "MUNGE: a credential of %zu bytes", strlen(made));
    else {
        strcpy(credential, made);
        rc = 0;
    }
    free(made);
    munge.ctx_destroy(ctx);
    return rc;
}

int mioc_munge_decode(const char *credential, void *payload, size_t payload_size, char *reason, size_t size)
{
    void *ctx = new_context(reason, size), *got = NULL;
    int error, length = 0, rc = -1;
    uid_t uid = (uid_t)-1;
    gid_t gid;

    if (ctx == NULL)
        return -1;
    error = munge.decode(credential, ctx, &got, &length, &uid, &gid);
    if (error != 0)
        snprintf(reason, size, "MUNGE: %s", munge.text(error));
    else if (uid != geteuid())
        snprintf(reason, size, "MUNGE: it belongs to user %u", (unsigned)uid);
    else if (got == NULL || length != (int)payload_size)
        snprintf(reason, size, "MUNGE: a credential for something else");
    else {
        memcpy(payload, got, payload_size);
        rc = 0;
    }
    if (got != NULL)
        sodium_memzero(got, length > 0 ? (size_t)length : 0);
    free(got);
    munge.ctx_destroy(ctx);
    return rc;
}
