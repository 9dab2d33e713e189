/* The YAML that configurations and sweeps are read from, event by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <attnres/config.h>

/* What fails for the machine's sake is not the file's fault. */
static void lack_of_memory_is_no_error_of_the_file(void **state)
{
    (void)state;
    struct config_event event = {.line = 3, .column = 1};
    struct error err = {0};
    struct config_yaml *yaml = config_yaml_open("f.yaml", "", 0);
    assert_non_null(yaml);
    assert_false(config_yaml_refuse(yaml, &event, &err, "%s", "odd"));
    assert_int_equal(err.kind, ERROR_CONFIG);
    event.lacks_memory = true;
    assert_false(config_yaml_refuse(yaml, &event, &err, "%s", "no memory"));
    assert_int_equal(err.kind, ERROR_CREATE);
    config_yaml_close(yaml);
}

/* Nothing is said of what a value that is refused would have meant. */
static void a_bad_value_brings_no_problem_of_another_key(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"pipeline: {chunks: 65, partition: [4, 4, 8], stages: 3}\n",
                                        "pipeline: {chunks: 65, partition: [8, 8]}\n"};
    for (int i = 0; i < 2; i++) {
        struct config c;
        struct error err = {0};
        assert_false(config_parse(&c, "f.yaml", TEXTS[i], strlen(TEXTS[i]), 0, NULL, &err));
        assert_non_null(strstr(err.message, "pipeline.chunks: found 65"));
        assert_null(strchr(err.message, '\n'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_value_brings_no_problem_of_another_key),
        cmocka_unit_test(lack_of_memory_is_no_error_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
