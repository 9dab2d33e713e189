#include <attnres/collective.h>

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../support/ranks.h"

static void collectives_pass_their_suite_on_1_to_6_ranks(void **state)
{
    (void)state;
    ranks_run_suite_local(collective_suite, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_pass_their_suite_on_1_to_6_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
