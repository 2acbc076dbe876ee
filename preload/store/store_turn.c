/* SPDX-License-Identifier: BSD-3-Clause */
/* store_turn.c - the turn to start an agent: a lock on a file beside the stores, and a futex in that file. */
#include "store_turn.h"
#include "base/futex.h"
#include "base/io.h"
#include "base/real.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PAUSE_NS 100000ull
#define MOST_PAUSE_NS 2000000ull
/* A process that dies in its turn tells nobody. */
#define LONGEST_SLEEP_NS 10000000ull

int mioc_store_turn_begin(struct mioc_store_turn *turn, const char *dir, uint64_t key)
{
    int n = snprintf(turn->path, sizeof turn->path, "%s/" MIOC_STORE_PREFIX "%u-%016llx" MIOC_STORE_TURN, dir,
                     (unsigned)geteuid(), (unsigned long long)key);

    turn->fd = -1;
    turn->is_taken = turn->has_noted = 0;
    turn->news = NULL;
    turn->pause = FIRST_PAUSE_NS;
    errno = ENAMETOOLONG;
    return n > 0 && (size_t)n < sizeof turn->path ? 0 : -1;
}

static void drop_file(struct mioc_store_turn *turn)
{
    if (turn->news != NULL)
        (void)munmap(turn->news, sizeof *turn->news);
    if (turn->fd >= 0)
        mioc_real(close)(turn->fd);
    turn->news = NULL;
    turn->fd = -1;
}

static void map_futex(struct mioc_store_turn *turn)
{
    struct stat st;
    void *map;

    if (turn->news != NULL || mioc_real(fstat)(turn->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size < (off_t)sizeof *turn->news)
        return;
    map = mmap(NULL, sizeof *turn->news, PROT_READ | PROT_WRITE, MAP_SHARED, turn->fd, 0);
    if (map != MAP_FAILED)
        turn->news = map;
}

/* For who has the lock. A full filesystem would make an access to a page that is not there fatal, so it is written
 * before anybody maps it. Without it the others nap. */
static void make_futex(struct mioc_store_turn *turn)
{
    static const uint32_t none;
    struct rlimit limit;

    map_futex(turn); /* of one who has died in his turn */
    if (turn->news != NULL || getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur < sizeof none)
        return;
    if (mioc_io_pwrite(turn->fd, &none, sizeof none, 0) == 0)
        map_futex(turn);
}

static int open_file(struct mioc_store_turn *turn)
{
    struct stat st;

    turn->fd = mioc_real(open)(turn->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (turn->fd < 0)
        return -1;
    if (mioc_real(fstat)(turn->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return 0;
    errno = EPERM;
    return -1;
}

/* Whether the name still leads to the locked file: the last one removes it. */
static int is_current(const struct mioc_store_turn *turn)
{
    struct stat st, now;

    return mioc_real(fstat)(turn->fd, &st) == 0 && mioc_real(lstat)(turn->path, &now) == 0 && now.st_ino == st.st_ino &&
           now.st_dev == st.st_dev;
}

/* EAGAIN: the file stays open, and is mapped. */
static int take_lock(struct mioc_store_turn *turn)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (mioc_real(fcntl)(turn->fd, F_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return -1;
    map_futex(turn);
    errno = EAGAIN;
    return -1;
}

int mioc_store_turn_take(struct mioc_store_turn *turn)
{
    int error = turn->fd < 0 && open_file(turn) != 0 ? errno : take_lock(turn) != 0 ? errno : 0;

    if (error == 0 && is_current(turn)) {
        make_futex(turn);
        turn->is_taken = 1;
        return 0;
    }
    if (error != EAGAIN)
        drop_file(turn);
    errno = error == 0 ? EAGAIN : error;
    return -1;
}

/* --- News -------------------------------------------------------------------------------------------------------- */

void mioc_store_turn_note(struct mioc_store_turn *turn)
{
    turn->has_noted = turn->news != NULL;
    if (turn->news != NULL)
        turn->noted = __atomic_load_n(turn->news, __ATOMIC_ACQUIRE);
}

void mioc_store_turn_wait(struct mioc_store_turn *turn)
{
    if (turn->news != NULL && !turn->has_noted)
        return; /* it was mapped just now: what has happened before was not noted */
    if (turn->news != NULL) {
        (void)mioc_futex_wait(turn->news, turn->noted, LONGEST_SLEEP_NS, 0);
        return;
    }
    (void)nanosleep(&(struct timespec){ 0, (long)turn->pause }, NULL);
    turn->pause = turn->pause * 3 / 2 < MOST_PAUSE_NS ? turn->pause * 3 / 2 : MOST_PAUSE_NS;
}

static void tell(struct mioc_store_turn *turn)
{
    if (turn->news == NULL)
        return;
    __atomic_add_fetch(turn->news, 1, __ATOMIC_RELEASE);
    mioc_futex_wake(turn->news, INT_MAX, 0);
}

void mioc_store_turn_tell(const char *dir, uint64_t key)
{
    struct mioc_store_turn turn;

    if (mioc_store_turn_begin(&turn, dir, key) != 0)
        return;
    turn.fd = mioc_real(open)(turn.path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (turn.fd >= 0) {
        map_futex(&turn);
        tell(&turn);
    }
    drop_file(&turn);
}

void mioc_store_turn_end(struct mioc_store_turn *turn)
{
    struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    if (turn->is_taken) {
        (void)mioc_real(unlink)(turn->path);
        (void)mioc_real(fcntl)(turn->fd, F_SETLK, &unlock);
        tell(turn);
    }
    turn->is_taken = 0;
    drop_file(turn);
}
