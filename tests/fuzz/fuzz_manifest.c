/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_manifest.c - a manifest of any bytes. Promises: nothing is taken of one that is not whole; of a whole one the
 * questions, each of a kind and with a path that may be asked, are the whole text, so that writing them gives the same
 * file again. */
#include "resolver/manifest.h"
#include "base/path.h"
#include "agent/wire.h"
#include "fuzz.h"

struct taken {
    char *text;
    size_t used, room;
    unsigned count;
};

static void take(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    static const char letters[] = { [MIOC_ITEM_STAT] = 'S',
                                    [MIOC_ITEM_LIST] = 'L',
                                    [MIOC_ITEM_CONTENT] = 'C',
                                    [MIOC_ITEM_ACCESS] = 'A',
                                    [MIOC_ITEM_REALPATH] = 'R' };
    struct taken *t = ctx;

    PROMISE(kind < sizeof letters && letters[kind] != '\0' && mioc_item_is_record(kind));
    PROMISE(mioc_path_is_sound(path, len) && memchr(path, '\n', len) == NULL);
    PROMISE(t->room - t->used >= len + 3u);
    t->text[t->used++] = letters[kind];
    t->text[t->used++] = ' ';
    memcpy(t->text + t->used, path, len);
    t->used += len;
    t->text[t->used++] = '\n';
    t->count++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "mpiio_cache manifest 1\n";
    struct mioc_manifest_text text = { .size = size }, again;
    struct taken t = { .room = size + 64 };
    int rc;

    text.bytes = malloc(size > 0 ? size : 1); /* of its very size, so that a read behind it is found */
    t.text = malloc(t.room);
    if (text.bytes == NULL || t.text == NULL)
        goto done;
    memcpy(text.bytes, data, size);
    t.used = sizeof head - 1;
    memcpy(t.text, head, t.used);
    again = text;
    rc = mioc_manifest_parse(&text, take, &t);
    PROMISE(rc == 0 || (rc == -1 && t.count == 0));
    PROMISE(mioc_manifest_parse(&again, NULL, NULL) == rc);
    if (rc == 0) {
        PROMISE(text.count == t.count && again.count == t.count && again.sum == text.sum);
        t.used += (size_t)snprintf(t.text + t.used, t.room - t.used, "end %u\n", t.count);
        PROMISE(t.used == size && memcmp(t.text, data, size) == 0);
    }
done:
    free(text.bytes);
    free(t.text);
    return 0;
}
