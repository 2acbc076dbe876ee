/* SPDX-License-Identifier: BSD-3-Clause */
/* test_bytecode.c - the imports in what the system's own Python compiles, in whole and damaged files; and read ahead by
 * a resolver. */
#include "folder_fixture.h"

#include "resolver/bytecode.h"
#include "resolver/resolver.h"

#include <pthread.h>

static char text[65536];

static void note(void *ctx, const struct mioc_import *import)
{
    size_t used = strlen(text);

    (void)ctx;
    snprintf(text + used, sizeof text - used, "%s%u:%.*s%s%.*s", used > 0 ? " " : "", import->level,
             (int)import->name_len, import->name, import->item_len > 0 ? "/" : "", (int)import->item_len,
             import->item_len > 0 ? import->item : "");
}

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = malloc(1u << 20);

    assert_non_null(file);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1u << 20, file);
    fclose(file);
    return bytes;
}

static void compile_all(void)
{
    char command[600];

    snprintf(command, sizeof command, "/usr/bin/python3 -m compileall -q -f '%s'", top);
    assert_int_equal(system(command), 0);
}

static const char *imports_of(const char *source)
{
    char path[512];
    unsigned char *bytes;
    size_t size;

    put("module.py", source, strlen(source));
    compile_all();
    snprintf(path, sizeof path, "%s/__pycache__/module.cpython-311.pyc", top);
    bytes = read_file(path, &size);
    text[0] = '\0';
    assert_int_equal(mioc_bytecode_imports(bytes, size, note, NULL), 0);
    free(bytes);
    return text;
}

static void imports_are_found_in_the_codes_order(void **state)
{
    (void)state;
    assert_string_equal(
        imports_of("import os, sys.path as p\nfrom . import a, b as c\nfrom ..x.y import z\nfrom q import *\n"),
        "0:os 0:sys.path 1: 1:/a 1:/b 2:x.y 2:x.y/z 0:q");
}

static void imports_of_functions_handlers_and_type_checkers_are_not(void **state)
{
    (void)state;
    assert_string_equal(imports_of("from typing import TYPE_CHECKING\nimport typing\n"
                                   "if TYPE_CHECKING:\n    import never_one\n    from never import two\n"
                                   "if typing.TYPE_CHECKING:\n    import never_three\n"
                                   "def f():\n    import later\n"
                                   "class C:\n    import inner\n"
                                   "try:\n    import fast\nexcept ImportError:\n    import fallback\nimport last\n"),
                        "0:typing 0:typing/TYPE_CHECKING 0:typing 0:fast 0:last");
}

/* Names and constants beyond 255, and texts that stood before. */
static void imports_behind_many_names_are_found(void **state)
{
    static char source[40000];
    size_t used = 0;

    (void)state;
    for (int i = 0; i < 600; i++)
        used += (size_t)snprintf(source + used, sizeof source - used, "name_%d = %d.5\n", i, i);
    snprintf(source + used, sizeof source - used, "import far.away\nfrom far.away import far, name_3\nimport far\n");
    assert_string_equal(imports_of(source), "0:far.away 0:far.away 0:far.away/far 0:far.away/name_3 0:far");
}

/* Every prefix, and every byte changed: no more is promised than that nothing outside is read (valgrind, ASan) and that
 * it ends. */
static void damaged_bytecode_is_survived(void **state)
{
    unsigned char *bytes, *copy;
    char path[512];
    size_t size;

    (void)state;
    (void)imports_of("import os\nfrom . import a, b\nx = (1, 2.5, 'three', b'4', {5}, 10 ** 30)\ndef f(y=None):\n    "
                     "return [y, ...]\n");
    snprintf(path, sizeof path, "%s/__pycache__/module.cpython-311.pyc", top);
    bytes = read_file(path, &size);
    for (size_t cut = 0; cut <= size; cut++) {
        copy = malloc(cut > 0 ? cut : 1);
        memcpy(copy, bytes, cut);
        text[0] = '\0';
        (void)mioc_bytecode_imports(copy, cut, note, NULL);
        free(copy);
    }
    for (size_t at = 0; at < size; at++)
        for (unsigned value = 0; value < 256; value += 5) {
            unsigned char kept = bytes[at];

            bytes[at] = (unsigned char)value;
            text[0] = '\0';
            (void)mioc_bytecode_imports(bytes, size, note, NULL);
            bytes[at] = kept;
        }
    bytes[0] ^= 1; /* another Python's */
    assert_int_equal(mioc_bytecode_imports(bytes, size, note, NULL), -1);
    free(bytes);
}

/* --- Read ahead -------------------------------------------------------------------------------------------------- */

/* What the resolver handed out: the store of this test. Taken and kept under one lock, so that a listing is always
 * somewhere. */
static struct {
    pthread_mutex_t lock;
    unsigned count;
    struct mioc_resolved item[4096];
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const struct mioc_item *find(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    uint64_t hash = mioc_item_hash(kind, path, len);
    const struct mioc_item *found = NULL;

    (void)ctx;
    pthread_mutex_lock(&kept.lock);
    for (unsigned i = 0; i < kept.count; i++)
        if (kept.item[i].item->hash == hash)
            found = kept.item[i].item;
    pthread_mutex_unlock(&kept.lock);
    return found;
}

static int is_known(void *ctx, unsigned kind, const char *path, uint32_t len)
{
    return find(ctx, kind, path, len) != NULL;
}

/* is_known() is called with the resolver's lock held, so that must not be taken within the other one. */
static int take(struct mioc_resolver *r)
{
    struct mioc_resolved resolved;

    if (!mioc_resolver_take(r, &resolved))
        return 0;
    pthread_mutex_lock(&kept.lock);
    assert_true(kept.count < 4096);
    kept.item[kept.count++] = resolved;
    pthread_mutex_unlock(&kept.lock);
    return 1;
}

static void ready(void *ctx) { (void)ctx; }

static int reserve(void *ctx, uint64_t bytes, int may_evict)
{
    (void)ctx, (void)bytes, (void)may_evict;
    return 0;
}

static int may_speculate(void *ctx, const char *path, uint32_t len)
{
    (void)ctx, (void)len;
    return strstr(path, "/forbidden") == NULL;
}

/* Asks for what has that name below the top, which "" is, and takes all that comes of it. */
static void ask(struct mioc_resolver *r, unsigned kind, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s%s%s", top, name[0] != '\0' ? "/" : "", name);
    assert_int_equal(mioc_resolver_ask(r, kind, path, (uint32_t)strlen(path)), 0);
    while (take(r) || mioc_resolver_is_busy(r))
        nanosleep(&(struct timespec){ 0, 200000 }, NULL);
}

static int came(unsigned kind, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", top, name);
    return is_known(NULL, kind, path, (uint32_t)strlen(path));
}

static const struct {
    const char *name, *source;
} tree[] = {
    { "first.py", "import second, nowhere, pkg.sub, os.path\nfrom forbidden import x\ndef f():\n    import lazy\n" },
    { "second.py", "import pkg\nimport lib_ext\n" },
    { "lazy.py", "" },
    { "os.py", "" },
    { "forbidden.py", "" },
    { "lib_ext.cpython-311-x86_64-linux-gnu.so", "no ELF" },
    { "pkg/__init__.py", "from .one import a\nfrom . import sub, no_module\n" },
    { "pkg/one.py", "from ..second import b\n" },
    { "pkg/sub/__init__.py", "from pkg.sub import deep\n" },
    { "pkg/sub/deep.py", "a = 1\n" },
    { "pkg/sub/other.py", "" },
};

static void what_a_module_imports_is_read_before_it_is_asked_for(void **state)
{
    const struct mioc_resolver_config config = { .threads = 3,
                                                 .max_file = 4u << 20,
                                                 .ready = ready,
                                                 .is_known = is_known,
                                                 .find = find,
                                                 .reserve = reserve,
                                                 .may_speculate = may_speculate };
    struct mioc_resolver *r;
    char path[512];

    (void)state;
    for (unsigned i = 0; i < sizeof tree / sizeof *tree; i++) {
        snprintf(path, sizeof path, "%s/%.*s", top,
                 (int)(strrchr(tree[i].name, '/') ? strrchr(tree[i].name, '/') - tree[i].name : 0), tree[i].name);
        mkdir(path, 0755);
        put(tree[i].name, tree[i].source, strlen(tree[i].source));
    }
    compile_all();
    r = mioc_resolver_new(&config);
    assert_non_null(r);
    ask(r, MIOC_ITEM_CONTENT, "__pycache__/lazy.cpython-311.pyc"); /* shows how bytecode is named here */
    ask(r, MIOC_ITEM_LIST, "");
    ask(r, MIOC_ITEM_STAT, "first.py");
    assert_true(came(MIOC_ITEM_CONTENT, "__pycache__/second.cpython-311.pyc"));
    assert_true(came(MIOC_ITEM_CONTENT, "lib_ext.cpython-311-x86_64-linux-gnu.so"));
    assert_true(came(MIOC_ITEM_LIST, "pkg"));
    assert_true(came(MIOC_ITEM_CONTENT, "pkg/__pycache__/__init__.cpython-311.pyc"));
    assert_true(came(MIOC_ITEM_CONTENT, "pkg/__pycache__/one.cpython-311.pyc"));
    assert_true(came(MIOC_ITEM_CONTENT, "pkg/sub/__pycache__/__init__.cpython-311.pyc"));
    assert_true(came(MIOC_ITEM_CONTENT, "pkg/sub/__pycache__/deep.cpython-311.pyc"));
    /* Neither what is imported later or not at all, nor what CPython has inside, nor names that are nowhere, nor what
     * the policy forbids. */
    assert_false(came(MIOC_ITEM_STAT, "lazy.py") || came(MIOC_ITEM_STAT, "os.py") ||
                 came(MIOC_ITEM_STAT, "nowhere.py"));
    assert_false(came(MIOC_ITEM_STAT, "pkg/sub/other.py") || came(MIOC_ITEM_STAT, "pkg/no_module.py") ||
                 came(MIOC_ITEM_STAT, "forbidden.py"));
    for (unsigned i = 0; i < kept.count; i++)
        mioc_resolved_free(&kept.item[i]);
    mioc_resolver_free(r, 1000000000);
}

static int is_python_known(void)
{
    return system("/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'") == 0;
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imports_are_found_in_the_codes_order),
        cmocka_unit_test(imports_of_functions_handlers_and_type_checkers_are_not),
        cmocka_unit_test(imports_behind_many_names_are_found),
        cmocka_unit_test(damaged_bytecode_is_survived),
        cmocka_unit_test(what_a_module_imports_is_read_before_it_is_asked_for),
    };

    if (!is_python_known()) {
        puts("1..0 # SKIP /usr/bin/python3 is no Python 3.11");
        return 0;
    }
    return cmocka_run_group_tests_name("bytecode", tests, set_up, remove_folder);
}
