/* handclasp: finds the command and runs it. */
#include <signal.h>
#include <stdio.h>

#include "cli/command.h"

static const hc_command *const commands[] = {
    &hc_cmd_init,   &hc_cmd_serve,        &hc_cmd_client,  &hc_cmd_ca,
    &hc_cmd_audit,  &hc_cmd_check_config, &hc_cmd_inspect, &hc_cmd_explain,
    &hc_cmd_status, &hc_cmd_reload,       &hc_cmd_help,    &hc_cmd_version,
    &hc_cmd_front,  &hc_cmd_authority,    &hc_cmd_manual,  NULL,
};

const hc_command *hc_command_at(size_t n)
{
    return n < HC_COUNT(commands) ? commands[n] : NULL;
}

static const hc_command *find_in(const hc_command *const *all, const char *name)
{
    for (size_t i = 0; all[i]; i++) {
        const char *space = strrchr(all[i]->name, ' ');
        if (strcmp(space ? space + 1 : all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

const hc_command *hc_command_find(const char *name)
{
    return find_in(commands, name);
}

const hc_command *hc_command_visible(size_t n)
{
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->hidden && n-- == 0)
            return commands[i];
        for (size_t k = 0; commands[i]->commands && commands[i]->commands[k]; k++)
            if (n-- == 0)
                return commands[i]->commands[k];
    }
    return NULL;
}

const hc_command *hc_command_in(const hc_command *group, const char *name)
{
    return group->commands ? find_in(group->commands, name) : NULL;
}

int hc_group_main(const hc_command *self, int argc, char **argv)
{
    hc_err err = {0};
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return hc_command_help(self);
    const hc_command *c = hc_command_in(self, argv[0]);
    if (c)
        return c->run(c, argc - 1, argv + 1);
    (void)hc_err_set(&err, HC_EINVAL,
                     "there is no command \"%.60s\"; `handclasp help %s` lists the commands",
                     argv[0], self->name);
    return hc_report(self, hc_wants_json(argc, argv), true, &err);
}

/* Options of the program itself are names for commands. */
static const char *spelled_out(const char *word)
{
    static const char *const same[][2] = {{"--help", "help"},
                                          {"-h", "help"},
                                          {"--version", "version"},
                                          {"-v", "version"},
                                          {"-V", "version"}};
    for (size_t i = 0; i < HC_COUNT(same); i++)
        if (strcmp(word, same[i][0]) == 0)
            return same[i][1];
    return word;
}

int main(int argc, char **argv)
{
    /* A reader that goes away, or a limit on a file, shows as a failed write, not as a death. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (argc < 2)
        return hc_program_help();
    const hc_command *c = hc_command_find(spelled_out(argv[1]));
    if (c)
        return c->run(c, argc - 2, argv + 2);
    (void)fprintf(stderr,
                  "handclasp: there is no command \"%.60s\"; `handclasp help` lists the commands\n",
                  argv[1]);
    return HC_EXIT_USAGE;
}
