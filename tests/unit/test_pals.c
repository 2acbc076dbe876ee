/* SPDX-License-Identifier: BSD-3-Clause */
/* test_pals.c - the application file of PALS: what it says, and every way in which it can lie. */
#include "folder_fixture.h"

#include "job/pals.h"
#include "pals_fixture.h"

#include <errno.h>

static struct pals_file file;
static char reason[256];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL;
}

static const char *written(void)
{
    put("apinfo", (const char *)file.bytes, file.size);
    return at("apinfo");
}

static void place_file_of_any_version_says_who_is_where(void **state)
{
    static const struct {
        int version;
        size_t longer;
    } rows[] = { { 1, 0 }, { 5, 8 }, { 9, 4096 } };
    char names[3 * MIOC_PALS_NAME_SIZE];
    struct mioc_pals_place place;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pals_make(&file, rows[i].version, 7, 3, rows[i].longer);
        errno = EDOM;
        assert_int_equal(mioc_pals_place(written(), 5, &place, reason, sizeof reason), 0);
        assert_int_equal(errno, EDOM);
        assert_int_equal(place.size, 7);
        assert_int_equal(place.nodes, 3);
        assert_int_equal(place.node, 1);
        assert_int_equal(place.local_rank, 2);
        assert_int_equal(mioc_pals_names(at("apinfo"), 3, names, reason, sizeof reason), 0);
        for (int k = 0; k < 3; k++) {
            char expected[16];

            snprintf(expected, sizeof expected, "host-%d", k);
            assert_string_equal(names + (size_t)k * MIOC_PALS_NAME_SIZE, expected);
        }
        assert_int_equal(mioc_pals_count_on_node(at("apinfo"), 0), 3);
        assert_int_equal(mioc_pals_count_on_node(at("apinfo"), 2), 1);
        assert_int_equal(mioc_pals_count_on_node(at("apinfo"), 3), 0);
    }
}

static void place_many_ranks_are_counted_across_blocks(void **state)
{
    struct mioc_pals_place place;

    (void)state;
    pals_make(&file, 1, 3000, 300, 0);
    assert_int_equal(mioc_pals_place(written(), 2999, &place, reason, sizeof reason), 0);
    assert_int_equal(place.node, 299);
    assert_int_equal(place.local_rank, 9);
    for (int k = 0; k < 300; k += 23)
        assert_int_equal(mioc_pals_count_on_node(at("apinfo"), k), 10);
}

/* Whether the file is refused, with a reason. */
static int is_refused(int rank)
{
    char *names = malloc(3 * MIOC_PALS_NAME_SIZE);
    struct mioc_pals_place place;
    int rc;

    reason[0] = '\0';
    rc = mioc_pals_place(written(), rank, &place, reason, sizeof reason);
    if (rc == 0)
        rc = mioc_pals_names(at("apinfo"), 3, names, reason, sizeof reason);
    free(names);
    assert_int_equal(rc != 0, reason[0] != '\0');
    assert_true(rc == 0 || strncmp(reason, "PALS_APINFO=/", 13) == 0);
    return rc != 0;
}

static void place_rank_that_is_not_there_is_refused(void **state)
{
    static const int ranks[] = { -1, 7, 8, INT32_MAX, INT32_MIN };

    (void)state;
    pals_make(&file, 1, 7, 3, 0);
    assert_false(is_refused(6));
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++)
        assert_true(is_refused(ranks[i]));
}

static void place_number_that_lies_is_refused(void **state)
{
    static const uint64_t odd[] = { 0,         1,          3,          11,         67,         1 << 20,
                                    INT32_MAX, 1ull << 31, 1ull << 32, 1ull << 62, 1ull << 63, UINT64_MAX - 67,
                                    UINT64_MAX };
    struct pals_header *header = file.header;

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct {
            uint64_t *field;
        } rows[] = {
            { &header->ranks.entry }, { &header->ranks.offset }, { &header->nodes.entry }, { &header->nodes.offset }
        };
        struct {
            int32_t *field;
        } counts[] = { { &header->ranks.count }, { &header->nodes.count } };

        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            pals_make(&file, 1, 7, 3, 0);
            *rows[k].field = odd[i];
            if (!is_refused(0))
                fail_msg("field %zu = %llu was taken", k, (unsigned long long)odd[i]);
        }
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            pals_make(&file, 1, 7, 3, 0);
            *counts[k].field = (int32_t)odd[i];
            if (((int32_t)odd[i] <= 0 || odd[i] > 67) && !is_refused(0)) /* a few more entries are in the file */
                fail_msg("count %zu = %d was taken", k, (int)odd[i]);
        }
    }
    pals_make(&file, 0, 7, 3, 0); /* no version */
    assert_true(is_refused(0));
    pals_make(&file, 1, 7, 3, 0);
    header->nodes.count = 65537;
    assert_true(is_refused(0));
}

static void place_entry_that_lies_is_refused(void **state)
{
    static const int32_t nodes[] = { -1, 3, INT32_MAX };

    (void)state;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        pals_make(&file, 1, 7, 3, 0);
        memcpy(pals_entry(&file, &file.header->ranks, 4) + 8, &nodes[i], 4);
        assert_true(is_refused(4));
        assert_false(is_refused(3)); /* another rank's entry is none of ours */
    }
    pals_make(&file, 1, 7, 3, 0);
    memset(pals_entry(&file, &file.header->ranks, 4), 0xff, 4);
    assert_true(is_refused(4));
}

static void names_that_are_none_are_refused(void **state)
{
    static const char *const names[] = { "", "a b", "a/b", "a\n", "\x01", "a,b", "n[1-2]" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pals_make(&file, 1, 7, 3, 0);
        strcpy((char *)pals_entry(&file, &file.header->nodes, 2) + 4, names[i]);
        assert_true(is_refused(0));
    }
    pals_make(&file, 1, 7, 3, 0);
    memset(pals_entry(&file, &file.header->nodes, 1) + 4, 'n', 64); /* it does not end */
    assert_true(is_refused(0));
    pals_entry(&file, &file.header->nodes, 1)[4 + 63] = '\0';
    assert_false(is_refused(0));
}

static void place_file_that_is_cut_off_is_refused(void **state)
{
    size_t whole;

    (void)state;
    pals_make(&file, 1, 7, 3, 0);
    whole = file.size;
    for (file.size = 0; file.size < whole; file.size++)
        assert_true(is_refused(0));
    assert_false(is_refused(0));
}

static void place_file_that_others_may_write_is_refused(void **state)
{
    struct mioc_pals_place place;

    (void)state;
    pals_make(&file, 1, 7, 3, 0);
    (void)written();
    for (mode_t mode = 0620; mode >= 0602; mode -= 016) {
        assert_int_equal(chmod(at("apinfo"), mode), 0);
        assert_int_equal(mioc_pals_place(at("apinfo"), 0, &place, reason, sizeof reason), -1);
        assert_non_null(strstr(reason, "nobody else may write"));
    }
    assert_int_equal(chmod(at("apinfo"), 0644), 0);
    assert_int_equal(mioc_pals_place(at("apinfo"), 0, &place, reason, sizeof reason), 0);
    assert_int_equal(mioc_pals_place(at("none"), 0, &place, reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "not there"));
    assert_int_equal(mkfifo(at("fifo"), 0600), 0); /* it would wait for a writer */
    assert_int_equal(mioc_pals_place(at("fifo"), 0, &place, reason, sizeof reason), -1);
    assert_int_equal(mioc_pals_place(top, 0, &place, reason, sizeof reason), -1);
    if (geteuid() != 0) {
        print_message("without root no file can be given to another user\n");
        return;
    }
    assert_int_equal(chmod(at("apinfo"), 0600), 0);
    assert_int_equal(chown(at("apinfo"), 12345, (gid_t)-1), 0);
    assert_int_equal(mioc_pals_place(at("apinfo"), 0, &place, reason, sizeof reason), -1);
    assert_int_equal(unlink(at("apinfo")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place_file_of_any_version_says_who_is_where),
        cmocka_unit_test(place_many_ranks_are_counted_across_blocks),
        cmocka_unit_test(place_rank_that_is_not_there_is_refused),
        cmocka_unit_test(place_number_that_lies_is_refused),
        cmocka_unit_test(place_entry_that_lies_is_refused),
        cmocka_unit_test(names_that_are_none_are_refused),
        cmocka_unit_test(place_file_that_is_cut_off_is_refused),
        cmocka_unit_test(place_file_that_others_may_write_is_refused),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
