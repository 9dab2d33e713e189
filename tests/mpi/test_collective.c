/* The collective suite on MPI. */
#include "../support/ranks.h"

int main(int argc, char **argv)
{
    return ranks_run_suite_mpi(argc, argv, collective_suite);
}
