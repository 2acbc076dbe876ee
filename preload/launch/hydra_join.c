/* SPDX-License-Identifier: BSD-3-Clause */
/* hydra_join.c - who is where under hydra, and where an agent's parent is. */
#include "hydra_join.h"
#include "base/clock.h"
#include "job/pmi.h"
#include "pmi_relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PAUSE_NS 500000ull
/* The name service is one process. It takes some 50 us for a question, and stays half idle at this pause. */
#define PAUSE_NS_PER_NODE 100000ull
#define LEAST_PAUSE_NS 2000000ull
#define MOST_PAUSE_NS 500000000ull

int mioc_hydra_join_begin(struct mioc_hydra_join *j, const struct mioc_task *me, char *const *env, int timeout_ms)
{
    memset(j, 0, sizeof *j);
    j->names = (struct mioc_pmi_names){
        .fd = mioc_pmi_fd(env), .timeout_ms = timeout_ms, .reason = j->problem, .size = sizeof j->problem
    };
    mioc_pmi_relay_note_spoken(j->names.fd);
    return mioc_pmi_names_begin(&j->names, 0, me->size, me->rank, &j->place);
}

/* --- The key ----------------------------------------------------------------------------------------------------- */

static void to_hex(const unsigned char *bytes, size_t n, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

static int from_hex(const char *text, unsigned char *bytes, size_t n)
{
    if (strlen(text) != 2 * n || strspn(text, "0123456789abcdef") != 2 * n)
        return -1;
    for (size_t i = 0; i < 2 * n; i++) {
        int digit = text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10;

        bytes[i / 2] = (unsigned char)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
    }
    return 0;
}

/* Whoever is first on the root's node makes the key. A later one, after another Python of the same task, finds it. */
static int make_key(struct mioc_hydra_join *j)
{
    unsigned char key[MIOC_AGENT_KEY];
    char text[2 * MIOC_AGENT_KEY + 1];

    if (getrandom(key, sizeof key, 0) != sizeof key) {
        snprintf(j->problem, sizeof j->problem, "cannot make a key: %s", strerror(errno));
        return -1;
    }
    to_hex(key, sizeof key, text);
    return mioc_pmi_publish(&j->names, "key", text) < 0 ? -1 : 0;
}

/* --- The parent -------------------------------------------------------------------------------------------------- */

static int publish_own(struct mioc_hydra_join *j)
{
    int has_children = j->place.index * MIOC_NODE_ARITY + 1 < j->place.nodes;
    char name[32], host[256] = "";

    if (j->place.index == 0 && make_key(j) != 0)
        return -1;
    if (!has_children)
        return 0;
    (void)gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "at-%d", j->place.index);
    return mioc_pmi_publish(&j->names, name, host) < 0 ? -1 : 0;
}

void mioc_hydra_join_publish(struct mioc_hydra_join *j) { j->has_failed = publish_own(j) != 0; }

int mioc_hydra_join_look(struct mioc_hydra_join *j, struct mioc_agent_parent *parent)
{
    char name[32], key[2 * MIOC_AGENT_KEY + 2];
    int rc;

    memset(parent, 0, sizeof *parent);
    if (j->has_failed)
        return -1;
    snprintf(name, sizeof name, "at-%d", (j->place.index - 1) / MIOC_NODE_ARITY);
    rc = j->place.index == 0 ? 1 : mioc_pmi_lookup(&j->names, name, parent->host, sizeof parent->host);
    if (rc == 1)
        rc = mioc_pmi_lookup(&j->names, "key", key, sizeof key);
    parent->is_known = rc == 1 && from_hex(key, parent->key, sizeof parent->key) == 0;
    if (rc != 1 || parent->is_known)
        return rc;
    snprintf(j->problem, sizeof j->problem, "the launcher's name service has a key that is none");
    return -1;
}

int mioc_hydra_join_await(struct mioc_hydra_join *j, uint64_t until, struct mioc_agent_parent *parent)
{
    uint64_t pause = FIRST_PAUSE_NS, most = (uint64_t)j->place.nodes * PAUSE_NS_PER_NODE;
    int rc;

    most = most < LEAST_PAUSE_NS ? LEAST_PAUSE_NS : most > MOST_PAUSE_NS ? MOST_PAUSE_NS : most;
    while ((rc = mioc_hydra_join_look(j, parent)) == 0) {
        if (mioc_clock_ns() >= until) {
            snprintf(j->problem, sizeof j->problem, "the node above this one did not come");
            return -1;
        }
        nanosleep(&(struct timespec){ 0, (long)pause }, NULL);
        pause = pause * 3 / 2 < most ? pause * 3 / 2 : most;
    }
    return rc == 1 ? 0 : -1;
}
