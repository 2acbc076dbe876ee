/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_libc.c - what libc loads by itself, with its own locks held: modules of NSS and iconv, libgcc_s. */
#include "dl_cases.h"

#include <errno.h>
#include <execinfo.h>
#include <iconv.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

int __nss_configure_lookup(const char *database, const char *service); /* as a line of nsswitch.conf */

/* The module is libnss_mioc.so.2, by LD_LIBRARY_PATH. */
static void name_service(void)
{
    struct passwd entry, *found = NULL;
    char text[1024];
    int rc;

    must(__nss_configure_lookup("passwd", "mioc") == 0, "__nss_configure_lookup");
    rc = getpwnam_r("somebody", &entry, text, sizeof text, &found);
    say("getpwnam_r: %d, %s", rc, found == NULL ? "nobody" : found->pw_dir);
    rc = getpwnam_r("else", &entry, text, sizeof text, &found);
    say("getpwnam_r: %d, %s", rc, found == NULL ? "nobody" : found->pw_dir);
    must(__nss_configure_lookup("group", "nothing") == 0, "__nss_configure_lookup"); /* there is no such module */
    say("loads go on: %d", value_quietly(load_quietly(at("simple.so"), RTLD_NOW), "simple_value"));
}

static void convert(const char *to)
{
    iconv_t conversion = iconv_open(to, "UTF-8");

    say("%s: %s", to, conversion != (iconv_t)-1 ? "open" : strerror(errno));
    if (conversion != (iconv_t)-1)
        must(iconv_close(conversion) == 0, "iconv_close");
}

/* By GCONV_PATH; the file that is opened is one of the cached prefix, too, so that libc loads within a call of ours. */
static void conversions(void)
{
    FILE *file;

    convert("MIOC");
    convert("NONE");
    file = fopen(at("text.txt"), "r,ccs=MIOC");
    say("fopen: %s", file != NULL ? "open" : strerror(errno));
    if (file != NULL)
        fclose(file);
    file = fopen(at("text.txt"), "r,ccs=UTF-16");
    say("fopen: %s", file != NULL ? "open" : strerror(errno));
    if (file != NULL)
        fclose(file);
    say("loads go on: %d", value_quietly(load_quietly(at("simple.so"), RTLD_NOW), "simple_value"));
}

static void *end_by_exit(void *result) { pthread_exit(result); }

static void *end_by_cancel(void *unused)
{
    (void)unused;
    (void)pthread_cancel(pthread_self());
    pthread_testcancel();
    return NULL;
}

static void unwinding(void)
{
    static int word;
    void *frame[20], *result = NULL;
    pthread_t thread;

    must(pthread_create(&thread, NULL, end_by_exit, &word) == 0, "pthread_create");
    must(pthread_join(thread, &result) == 0, "pthread_join");
    say("exited: %d", result == &word);
    must(pthread_create(&thread, NULL, end_by_cancel, NULL) == 0, "pthread_create");
    must(pthread_join(thread, &result) == 0, "pthread_join");
    say("cancelled: %d", result == PTHREAD_CANCELED);
    say("a backtrace has frames: %d", backtrace(frame, 20) > 2);
    value(load(at("simple.so"), RTLD_NOW), "simple_value");
}

const struct dl_case dl_libc_cases[] = {
    { "name_service", name_service },
    { "conversions", conversions },
    { "unwinding", unwinding },
    { NULL, NULL },
};
