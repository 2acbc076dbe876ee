/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_pmi.c - a launcher that answers anything. Promises: an answer is one line that ends inside its buffer, nothing
 * behind the line is taken, no wait is longer than was said; numbers are what stands behind "KEY=". */
#include "job/pmi.h"
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, size };
    size_t room = 1 + fuzz_number(&in, 2) % 1024, want, n;
    char *answer = malloc(room), *rest = malloc(4096);
    const uint8_t *bytes, *line_end;
    int pair[2], rc;

    n = fuzz_bytes(&in, 4000, &bytes);
    PROMISE(answer != NULL && rest != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    PROMISE(write(pair[1], bytes, n) == (ssize_t)n && shutdown(pair[1], SHUT_WR) == 0);
    rc = mioc_pmi_ask(pair[0], "get_maxes", answer, room, 1000);
    line_end = memchr(bytes, '\n', n);
    want = line_end ? (size_t)(line_end - bytes) + 1 : n + 1;
    PROMISE((rc == 0) == (line_end != NULL && want < room));
    if (rc == 0) {
        ssize_t left = recv(pair[0], rest, 4096, MSG_DONTWAIT);

        PROMISE(memcmp(answer, bytes, want - 1) == 0 && answer[want - 1] == '\0');
        PROMISE((left < 0 ? 0 : (size_t)left) == n - want);
        n = (size_t)(mioc_pmi_number(answer, "rc", -7) != mioc_pmi_number(answer, "rc", -8));
        (void)mioc_pmi_number(answer, "kvsname_max", 0);
    }
    close(pair[0]);
    close(pair[1]);
    free(answer);
    free(rest);
    return 0;
}
