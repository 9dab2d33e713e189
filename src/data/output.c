#include "data_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool may_replace(const char *path, const struct output_kind *kind, struct error *err)
{
    struct file_map map;
    if (!file_exists(path) || file_length(path) == 0) {
        return true;
    }
    if (file_length(path) < 0) {
        return error_set(err, ERROR_CREATE, "%s: is %s; give the path of a file to write", path,
                         file_is_folder(path) ? "a folder" : "no regular file");
    }
    if (!file_map_init(&map, path, err)) {
        return false;
    }
    const bool is_one = kind->is_one(map.bytes, map.length);
    file_map_finish(&map);
    return is_one || error_set(err, ERROR_CREATE,
                               "%s: exists and is not %s, so it is not written over: end with the "
                               "path of a new file, or remove this one first",
                               path, kind->name);
}

bool output_open(struct output *o, const char *path, const struct output_kind *kind,
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
    return file_has_folder(path, err) && may_replace(path, kind, err) &&
           file_writer_create(&o->writer, o->aside, err);
}

bool output_close(struct output *o, bool ok, struct error *err)
{
    if (o->standard) {
        return ok;
    }
    ok = file_writer_close(&o->writer, ok ? err : NULL) && ok;
    ok = ok && file_rename(o->aside, o->path, err);
    if (!ok) {
        file_remove(o->aside, NULL);
    }
    return ok;
}
