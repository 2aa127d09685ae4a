#include "tests/shards.h"

#include "base/error.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child tells its parent while it runs. */
struct shard_word {
    _Atomic uint64_t running;
    _Atomic uint64_t done;
};

void fault_found(const char *file, int line, const char *format, ...) {
    va_list args;
    fflush(stdout);
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(1); /* no leaks are looked for: what is left behind is none */
}

static void repeat_print(const struct shards_work *work, uint64_t number) {
    fprintf(stderr, "failed in case %llu; again: LEAT_TEST_SEED=%llu %s\n",
            (unsigned long long)number, (unsigned long long)number, work->program);
}

static void shard_run(const struct shards_work *work, uint64_t shard, uint64_t shards,
                      struct shard_word *word) {
    uint64_t count = 0;
    for (uint64_t number = work->first + shard; number < work->end; number += shards) {
        atomic_store(&word->running, number);
        work->run(number);
        atomic_store(&word->done, ++count);
    }
    if (work->over) {
        work->over(count);
    }
}

static int processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > SHARDS_MAX ? SHARDS_MAX : (int)count;
}

static int one_run(const struct shards_work *work, const char *only) {
    struct shard_word word = {0};
    uint64_t number = strtoull(only, NULL, 10);
    struct shards_work one = *work;
    one.first = number;
    one.end = number + 1;
    shard_run(&one, 0, 1, &word);
    printf("case %llu passed\n", (unsigned long long)number);
    return 0;
}

static int children_wait(const struct shards_work *work, const pid_t *children, int count,
                         struct shard_word *words) {
    int code = 0;
    uint64_t done = 0;
    for (int i = 0; i < count; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        done += atomic_load(&words[i].done);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            repeat_print(work, atomic_load(&words[i].running));
            code = 1;
        }
    }
    printf("%llu of %llu cases passed\n", (unsigned long long)done,
           (unsigned long long)(work->end - work->first));
    return code;
}

int shards_run(const struct shards_work *work) {
    const char *only = getenv("LEAT_TEST_SEED");
    if (only) {
        return one_run(work, only);
    }
    int count = processors();
    pid_t children[SHARDS_MAX];
    size_t bytes = SHARDS_MAX * sizeof(struct shard_word);
    struct shard_word *words =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    INVARIANT(words != MAP_FAILED, "no %zu shared bytes", bytes);
    fflush(NULL);
    for (int i = 0; i < count; i++) {
        children[i] = fork();
        INVARIANT(children[i] >= 0, "no process %d", i);
        if (children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            shard_run(work, (uint64_t)i, (uint64_t)count, &words[i]);
            exit(0); /* leaks are looked for */
        }
    }
    int code = children_wait(work, children, count, words);
    munmap(words, bytes);
    return code;
}
