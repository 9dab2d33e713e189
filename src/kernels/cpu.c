/* The levels of x86-64. Detection needs compiler extensions: they stand here and nowhere else. */
#include "cpu.h"

extern const struct kernels kernels_v2, kernels_v3, kernels_v4;

static int has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static int has_v4(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

int cpu_level_count(void)
{
    __builtin_cpu_init();
    if (!has_v3()) {
        return 1;
    }
    return has_v4() ? 3 : 2;
}

static const struct kernels *const levels[] = {&kernels_v2, &kernels_v3, &kernels_v4};

const struct kernels *cpu_level(int level)
{
    return levels[level];
}

int cpu_built_count(void)
{
    return sizeof levels / sizeof levels[0];
}
