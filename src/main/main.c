#include "command.h"

int main(int argc, char **argv)
{
    static const struct command *const COMMANDS[] = {
        &train_command,      &eval_command, &generate_command, &inspect_command,
        &checkpoint_command, &plan_command, &doctor_command,   &data_command,
        &config_command,     &fit_command,  &sweep_command,    &report_command,
        &bench_command,      NULL,
    };
    return command_main(COMMANDS, argc, argv);
}
