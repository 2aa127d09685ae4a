// Hash tables that others use, on the work of `leat bench table`: random 64-bit keys, rows of 32
// floats in one slab beside the index, half of the look-ups missing; a row that is found is summed.
// One thread. One line of JSON a case.
//
//   table_peers [ROWS]      10,000,000 without it
#include <absl/container/flat_hash_map.h>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sys/mman.h>

namespace {

constexpr int DIMENSION = 32;
constexpr size_t HUGE = size_t(2) << 20;

uint64_t key_at(uint64_t index) {
    uint64_t z = index * 0x9E3779B97F4A7C15u + 0x7F4A7C15F39CC060u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// CPU time: the machine may be doing other work.
double seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

float *slab_make(uint64_t rows) {
    size_t bytes = (rows * DIMENSION * sizeof(float) + HUGE) / HUGE * HUGE;
    void *slab = std::aligned_alloc(HUGE, bytes);
    if (!slab) {
        std::perror("memory");
        std::exit(1);
    }
    madvise(slab, bytes, MADV_HUGEPAGE);
    return static_cast<float *>(slab);
}

template <class Map> void measure(const char *name, uint64_t rows) {
    float *slab = slab_make(rows);
    Map map;
    map.reserve(rows);
    double begun = seconds();
    for (uint64_t i = 0; i < rows; i++) {
        uint32_t row = static_cast<uint32_t>(map.size());
        if (map.emplace(key_at(i), row).second) {
            float *at = slab + size_t(row) * DIMENSION;
            for (int d = 0; d < DIMENSION; d++) {
                at[d] = static_cast<float>(d);
            }
        }
    }
    double inserted = seconds();
    float sums[DIMENSION] = {0};
    uint64_t found = 0;
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t drawn = key_at(i ^ 0x5555555555u) % (2 * rows);
        auto at = map.find(key_at(drawn)); // those from `rows` on are not there
        if (at != map.end()) {
            const float *row = slab + size_t(at->second) * DIMENSION;
            for (int d = 0; d < DIMENSION; d++) {
                sums[d] += row[d];
            }
            found++;
        }
    }
    double looked = seconds();
    std::printf("{\"name\":\"%s/insert\",\"unit\":\"rows/s\",\"median\":%.0f}\n", name,
                double(rows) / (inserted - begun));
    std::printf("{\"name\":\"%s/find-row\",\"unit\":\"finds/s\",\"median\":%.0f,\"found\":%.3f,"
                "\"sum\":%g}\n",
                name, double(rows) / (looked - inserted), double(found) / double(rows),
                double(sums[1]));
    std::free(slab);
}

} // namespace

int main(int argc, char **argv) {
    uint64_t rows = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10000000;
    if (rows == 0 || rows > 1000000000) {
        std::fprintf(stderr, "table_peers: '%s' is not a number of rows\n", argv[1]);
        return 2;
    }
    measure<boost::unordered_flat_map<uint64_t, uint32_t>>("boost", rows);
    measure<absl::flat_hash_map<uint64_t, uint32_t>>("abseil", rows);
    return 0;
}
