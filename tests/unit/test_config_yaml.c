/* The YAML that configurations and sweeps are read from, event by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lack_of_memory_is_no_error_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
