#include "sample.h"

#include <stdlib.h>

int sample_every(void)
{
    const char *text = getenv("ATTNRES_TEST_EVERY");
    const long every = text != NULL ? strtol(text, NULL, 10) : 1;
    return every > 1 && every < 1000 ? (int)every : 1;
}

bool sample_takes(int number)
{
    return number % sample_every() == 0;
}
