/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hosts.c - lists of hosts as people and launchers write them, and which of them a name means. */
#include "folder_fixture.h"

#include "job/hosts.h"
#include "job/hostlist.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>

static struct mioc_hosts hosts;
static char reason[256];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL;
}

static int setup(void **state)
{
    (void)state;
    memset(&hosts, 0, sizeof hosts);
    memset(reason, 0, sizeof reason);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mioc_hosts_free(&hosts);
    return 0;
}

static int read_list(const char *list) { return mioc_hosts_read(&hosts, list, "THESE", reason, sizeof reason); }

static void read_takes_all_that_people_write(void **state)
{
    static const struct {
        const char *list, *names;
    } rows[] = {
        { "n1", "n1" },
        { "n[1-4],login", "n1,n2,n3,n4,login" },
        { "n[08-10] m", "n08,n09,n10,m" },
        { "a,b c\td\ne\r\nf", "a,b,c,d,e,f" },
        { ",, a ,,b,", "a,b" },
        { "b,a,b,A,B,a", "b,a" },
        { "n1 n1.cluster.org", "n1,n1.cluster.org" },
        { "n1:4,n2:16", "n1,n2" },
        { "n1 slots=4 max_slots=8\nn2 slots=4\n", "n1,n2" },
        { "batch 1 h1 42 h2 42", "batch,h1,h2" },
        { "# mine\nn1 # the first\n#n2\nn3#n4\n  # end", "n1,n3" },
        { "10.0.0.1,10.0.0.2:8 fe80::1 ::1", "10.0.0.1,10.0.0.2,fe80::1,::1" },
        { "n[1,3]:2 x", "n1,n3,x" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int commas = 0;

        for (const char *at = rows[i].names; *at != '\0'; at++)
            commas += *at == ',';
        for (int is_file = 0; is_file < 2; is_file++) {
            put("hosts", rows[i].list, strlen(rows[i].list));
            errno = EDOM;
            if (read_list(is_file ? at("hosts") : rows[i].list) != 0)
                fail_msg("%s: %s", rows[i].list, reason);
            assert_int_equal(errno, EDOM);
            assert_string_equal(hosts.names, rows[i].names);
            assert_int_equal(hosts.count, commas + 1);
            assert_int_equal(mioc_hostlist_count(hosts.names), hosts.count);
            mioc_hosts_free(&hosts);
        }
    }
}

static void read_refuses_what_is_no_list_and_says_why(void **state)
{
    static const struct {
        const char *list, *reason;
    } rows[] = {
        { "", "THESE names no host" },
        { " ,\n", "THESE names no host" },
        { "# n1", "THESE names no host" },
        { "n[1-", "THESE has an entry that is no host: \"n[1-\"" },
        { "a n[2-1]", "THESE has an entry that is no host: \"n[2-1]\"" },
        { "hosts/mine", "THESE has an entry that is no host (a file needs its absolute path): \"hosts/mine\"" },
        { "4 n1", "THESE has an entry that is no host: \"4\"" },
        { "slots=4", "THESE has an entry that is no host: \"slots=4\"" },
        { "n[1-65536],m", "THESE has an entry that is one host too many: \"m\"" },
        { "a\x01", "THESE has an entry that is no host: \"a?\"" },
        { "n[1\n2]", "THESE has an entry that is no host: \"n[1?2]\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_list(rows[i].list), -1);
        assert_string_equal(reason, rows[i].reason);
        assert_null(hosts.names);
    }
}

static void assert_refused(const char *name, const char *why)
{
    assert_int_equal(read_list(at(name)), -1);
    if (strstr(reason, why) == NULL || strncmp(reason, "this host cannot read THESE=/", 29) != 0)
        fail_msg("%s: %s", name, reason);
    assert_null(hosts.names);
}

static void read_refuses_files_that_cannot_be_lists(void **state)
{
    int fd;

    (void)state;
    assert_refused("nowhere", "No such file or directory");
    assert_refused("", "it is no regular file");
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_refused("fifo", "it is no regular file"); /* and nobody waits for its writer */
    put("zero", "n1\0n2", 5);
    assert_refused("zero", "it is no text");
    fd = open(at("large"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 100 << 20), 0);
    close(fd);
    assert_refused("large", "it has more than 16 MiB");
    put("empty", "", 0);
    assert_int_equal(read_list(at("empty")), -1);
    assert_string_equal(reason, "THESE names no host");
}

static void read_takes_a_file_of_each_rank_of_a_large_job(void **state)
{
    static char text[6 << 20];
    size_t used = 0;
    char name[64];

    (void)state;
    for (int node = 0; node < 10000; node++)
        for (int rank = 0; rank < 64; rank++)
            used += (size_t)snprintf(text + used, sizeof text - used, "n%d\n", node);
    put("nodefile", text, used);
    assert_int_equal(read_list(at("nodefile")), 0);
    assert_int_equal(hosts.count, 10000);
    assert_int_equal(mioc_hostlist_name(hosts.names, 9999, name, sizeof name), 0);
    assert_string_equal(name, "n9999");
    assert_int_equal(mioc_hosts_find(&hosts, "n9998"), 9998);
    assert_int_equal(hosts.uses[0], 64);
    assert_true(hosts.bytes < 1 << 20); /* what names do not need goes back */
}

static void uses_count_the_first_two(void **state)
{
    static const struct {
        const char *list;
        unsigned first, second;
    } rows[] = { { "a", 1, 0 },
                 { "a b", 1, 1 },
                 { "a a b a", 3, 1 },
                 { "a 1 b 42 c 42", 1, 42 },
                 { "a:4 b:2 a:3", 7, 2 },
                 { "a b c 9 b 2", 1, 3 },
                 { "a slots=4 b 3", 1, 3 },
                 { "a 0 b:0", 1, 1 },
                 { "a 99999999999999999999", 65536, 0 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_list(rows[i].list), 0);
        if (hosts.uses[0] != rows[i].first || hosts.uses[1] != rows[i].second)
            fail_msg("%s: %u %u", rows[i].list, hosts.uses[0], hosts.uses[1]);
        mioc_hosts_free(&hosts);
    }
    assert_int_equal(read_list("batch 1 a 42 b 42"), 0);
    mioc_hosts_drop_first(&hosts);
    assert_string_equal(hosts.names, "a,b");
    assert_int_equal(hosts.count, 2);
}

static void find_takes_the_same_name_then_the_only_short_form(void **state)
{
    static const struct {
        const char *list, *name;
        int found;
    } rows[] = {
        { "n1,n2", "n2", 1 },
        { "n1,n2", "N2", 1 },
        { "n1,n2", "n2.cluster.org", 1 },
        { "n1.cluster.org,n2.cluster.org", "n2", 1 },
        { "n1.a,n1.b", "n1", -2 },
        { "n1.a,n1.b", "n1.b", 1 },
        { "n1.a,n1.b,n1", "n1", 2 },
        { "n1.a", "n1.b", -1 },
        { "n1,n11", "n", -1 },
        { "n10,n1", "n1", 1 },
        { "10.0.0.1", "10", -1 },
        { "n1", "", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_list(rows[i].list), 0);
        if (mioc_hosts_find(&hosts, rows[i].name) != rows[i].found)
            fail_msg("%s of %s: %d", rows[i].name, rows[i].list, mioc_hosts_find(&hosts, rows[i].name));
        mioc_hosts_free(&hosts);
    }
}

static void find_this_takes_the_host_name_or_an_address_but_the_loopbacks(void **state)
{
    char name[256], list[600], address[INET6_ADDRSTRLEN];
    struct ifaddrs *all;

    (void)state;
    assert_int_equal(gethostname(name, sizeof name), 0);
    snprintf(list, sizeof list, "other %s another", name);
    assert_int_equal(read_list(list), 0);
    assert_int_equal(mioc_hosts_find_this(&hosts, "THESE", reason, sizeof reason), 1);
    mioc_hosts_free(&hosts);

    assert_int_equal(read_list("other 127.0.0.1 ::1 192.0.2.7"), 0);
    errno = EDOM;
    assert_int_equal(mioc_hosts_find_this(&hosts, "THESE", reason, sizeof reason), -1);
    assert_int_equal(errno, EDOM);
    snprintf(list, sizeof list, "this host (%.100s) is none of the 4 of THESE", name);
    assert_string_equal(reason, list);
    mioc_hosts_free(&hosts);

    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, address, sizeof address);
        snprintf(list, sizeof list, "192.0.2.7,other,%s", address);
        assert_int_equal(read_list(list), 0);
        assert_int_equal(mioc_hosts_find_this(&hosts, "THESE", reason, sizeof reason), 2);
        mioc_hosts_free(&hosts);
    }
    freeifaddrs(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(read_takes_all_that_people_write, setup, teardown),
        cmocka_unit_test_setup_teardown(read_refuses_what_is_no_list_and_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(read_refuses_files_that_cannot_be_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(read_takes_a_file_of_each_rank_of_a_large_job, setup, teardown),
        cmocka_unit_test_setup_teardown(uses_count_the_first_two, setup, teardown),
        cmocka_unit_test_setup_teardown(find_takes_the_same_name_then_the_only_short_form, setup, teardown),
        cmocka_unit_test_setup_teardown(find_this_takes_the_host_name_or_an_address_but_the_loopbacks, setup, teardown),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
