/** Which instruction-set levels this build has and this processor can run. */
#ifndef ATTNRES_KERNELS_CPU_H
#define ATTNRES_KERNELS_CPU_H

#include <attnres/kernels.h>

/* Levels are numbered from the lowest; at least one. */
int cpu_level_count(void);
const struct kernels *cpu_level(int level);
/* Those that the build has, whatever the processor. */
int cpu_built_count(void);

#endif
