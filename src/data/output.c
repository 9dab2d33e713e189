#include "data_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool output_open(struct output *o, const char *path, const struct file_form *form,
                 struct error *err)
{
    *o = (struct output){.path = path, .standard = strcmp(path, "-") == 0};
    if (o->standard) {
        o->writer = (struct file_writer){.fd = STDOUT_FILENO, .path = "standard output"};
        return true;
    }
    const int length = snprintf(o->aside, sizeof o->aside, "%s.partial", path);
    if (length < 0 || (size_t)length >= sizeof o->aside) {
        return error_set(err, ERROR_USAGE, "%s: path too long", path);
    }
    return file_has_folder(path, err) && file_may_replace(path, form, err) &&
           file_writer_create(&o->writer, o->aside, err);
}

bool output_close(struct output *o, bool ok, struct error *err)
{
    if (o->standard) {
        return ok;
    }
    ok = ok && file_writer_flush(&o->writer, err);
    ok = file_writer_close(&o->writer, ok ? err : NULL) && ok;
    ok = ok && file_rename(o->aside, o->path, err);
    if (!ok) {
        file_remove(o->aside, NULL);
    }
    return ok;
}
