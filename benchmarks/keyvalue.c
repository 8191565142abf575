/* The loop of workloads/keyvalue/keyvalue.py against the C libraries: the same pairs in the same order, the same batches
 * and options. Prints seconds of wall time, then of processor time: build, look-ups, and look-ups once more.
 *
 *     keyvalue leveldb|berkeleydb DIR PAIRS ORDER LOOKUPS
 *
 * ORDER and LOOKUPS are files of unsigned 32-bit numbers of this machine's byte order.
 */
#include <db.h>
#include <leveldb/c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY = 16, VALUE = 20, BATCH = 1000, CACHE = 8 << 20, WRITE_BUFFER = 4 << 20, BLOOM = 10, PAGE = 4096 };

static char keys[BATCH][KEY + 1], values[BATCH][VALUE + 1];
static DB *berkeley;
static leveldb_t *level;

static void check(const char *what, int bad) {
    if (bad) {
        fprintf(stderr, "keyvalue: %s failed\n", what);
        exit(1);
    }
}

static double clocked(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

/* Stop-watches of wall and processor time for each of the three. */
static double wall[3], spent[3];

static void start(int which) {
    wall[which] -= clocked(CLOCK_MONOTONIC);
    spent[which] -= clocked(CLOCK_PROCESS_CPUTIME_ID);
}

static void stop(int which) {
    wall[which] += clocked(CLOCK_MONOTONIC);
    spent[which] += clocked(CLOCK_PROCESS_CPUTIME_ID);
}

static void make_pair(int place, uint32_t number) {
    snprintf(keys[place], sizeof keys[place], "%016u", number);
    snprintf(values[place], sizeof values[place], "%020llu",
             (unsigned long long)number * 2654435761ull % (1ull << 61));
}

static void open_store(const char *name, const char *home) {
    if (strcmp(name, "leveldb") == 0) {
        char *error = NULL;
        leveldb_options_t *options = leveldb_options_create();
        leveldb_options_set_create_if_missing(options, 1);
        leveldb_options_set_write_buffer_size(options, WRITE_BUFFER);
        leveldb_options_set_cache(options, leveldb_cache_create_lru(CACHE));
        leveldb_options_set_filter_policy(options, leveldb_filterpolicy_create_bloom(BLOOM));
        leveldb_options_set_compression(options, leveldb_snappy_compression);
        level = leveldb_open(options, home, &error);
        check("opening LevelDB", error != NULL);
    } else {
        char path[4096];
        snprintf(path, sizeof path, "%s/index.db", home);
        check("making Berkeley DB", db_create(&berkeley, NULL, 0));
        check("its cache", berkeley->set_cachesize(berkeley, 0, CACHE, 1));
        check("its pages", berkeley->set_pagesize(berkeley, PAGE));
        check("opening Berkeley DB", berkeley->open(berkeley, NULL, path, NULL, DB_BTREE, DB_CREATE, 0644));
    }
}

static void put(int count) {
    if (level) {
        char *error = NULL;
        leveldb_writeoptions_t *how = leveldb_writeoptions_create();
        leveldb_writebatch_t *batch = leveldb_writebatch_create();
        for (int n = 0; n < count; n++) leveldb_writebatch_put(batch, keys[n], KEY, values[n], VALUE);
        leveldb_write(level, how, batch, &error);
        check("writing to LevelDB", error != NULL);
        leveldb_writebatch_destroy(batch);
        leveldb_writeoptions_destroy(how);
        return;
    }
    for (int n = 0; n < count; n++) {
        DBT key = {0}, value = {0};
        key.data = keys[n], key.size = KEY, value.data = values[n], value.size = VALUE;
        check("writing to Berkeley DB", berkeley->put(berkeley, NULL, &key, &value, 0));
    }
}

/* The value is copied, as it is for Python. */
static void get(const char *wanted, const char *expected) {
    if (level) {
        static leveldb_readoptions_t *how;
        char *error = NULL;
        size_t length;
        if (!how) how = leveldb_readoptions_create();
        char *found = leveldb_get(level, how, wanted, KEY, &length, &error);
        check("a look-up in LevelDB", error || !found || length != VALUE || memcmp(found, expected, VALUE));
        leveldb_free(found);
        return;
    }
    DBT key = {0}, value = {0};
    key.data = (void *)wanted, key.size = KEY, value.flags = DB_DBT_MALLOC;
    check("a look-up in Berkeley DB",
          berkeley->get(berkeley, NULL, &key, &value, 0) || value.size != VALUE || memcmp(value.data, expected, VALUE));
    free(value.data);
}

static void close_store(void) {
    if (level) leveldb_close(level);
    if (berkeley) check("closing Berkeley DB", berkeley->close(berkeley, 0));
    level = NULL, berkeley = NULL;
}

static uint32_t *numbers(const char *path, size_t count) {
    uint32_t *found = malloc(count * sizeof *found);
    FILE *file = fopen(path, "rb");
    check(path, !file || !found || fread(found, sizeof *found, count, file) != count);
    fclose(file);
    return found;
}

int main(int argc, char **argv) {
    check("the command line", argc != 6);
    size_t pairs = strtoul(argv[3], NULL, 10), lookups = pairs / 37;
    uint32_t *order = numbers(argv[4], pairs), *wanted = numbers(argv[5], lookups);
    open_store(argv[1], argv[2]);
    for (size_t first = 0; first < pairs; first += BATCH) {
        int count = pairs - first < BATCH ? (int)(pairs - first) : BATCH;
        for (int n = 0; n < count; n++) make_pair(n, order[first + n]);
        start(0);
        put(count);
        stop(0);
    }
    start(0);
    close_store();
    stop(0);
    open_store(argv[1], argv[2]);
    for (int turn = 1; turn <= 2; turn++) {
        for (size_t first = 0; first < lookups; first += BATCH) {
            int count = lookups - first < BATCH ? (int)(lookups - first) : BATCH;
            for (int n = 0; n < count; n++) make_pair(n, wanted[first + n]);
            start(turn);
            for (int n = 0; n < count; n++) get(keys[n], values[n]);
            stop(turn);
        }
    }
    for (int n = 0; n < 3; n++) printf("%.6f\n", wall[n]);
    for (int n = 0; n < 3; n++) printf("%.6f\n", spent[n]);
    close_store();
    return 0;
}
