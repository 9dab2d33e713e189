/** The one door to files: read, map, write whole, append, folders, locks. Faults are injected here.
 *
 *  Built on descriptors, not on stdio: after start-up nothing here allocates, except where a
 * function says that it returns heap memory. Interrupted and short calls are continued. Every error
 * names the path. */
#ifndef ATTNRES_FILE_H
#define ATTNRES_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include <attnres/error.h>

enum { FILE_PATH_BYTES = 1024, FILE_OWNER_BYTES = 256 };

/** A regular file's contents in heap memory; bytes[length] is 0. */
struct file_bytes {
    unsigned char *bytes;
    size_t length;
};

/** Read a whole regular file of at most max_bytes. ERROR_NO_INPUT if absent, ERROR_DATA if it is
 * not a regular file or larger, ERROR_IO otherwise. End with file_bytes_finish. */
bool file_read(struct file_bytes *out, const char *path, size_t max_bytes, struct error *err);
/** The same for standard input, to its end: a pipe, a terminal or a file. Errors call it by that
 * name. */
bool file_read_input(struct file_bytes *out, size_t max_bytes, struct error *err);
void file_bytes_finish(struct file_bytes *f);

/** A regular file mapped read-only. A length of 0 maps nothing and is no error. A page that cannot
 * be read later on, of a file cut short or on a disk that fails, is SIGBUS. */
struct file_map {
    const unsigned char *bytes;
    size_t length;
};
bool file_map_init(struct file_map *map, const char *path, struct error *err);
void file_map_finish(struct file_map *map);
/** From here on the program ends with ERROR_IO when it meets such a page, and names the file. */
void file_end_on_lost_page(void);

/** A file being written from its start or its end; a symbolic link in its place is refused
 * (ERROR_CREATE). fd is -1 when closed. Several may append to one file; then offset is where this
 * one would be, were it alone. */
struct file_writer {
    int fd;
    int64_t offset;
    char path[FILE_PATH_BYTES];
};
bool file_writer_create(struct file_writer *w, const char *path, struct error *err); /* truncates */
bool file_writer_append(struct file_writer *w, const char *path,
                        struct error *err); /* creates if absent */
/** All of it, or nothing where that can be helped: after a failure the next call goes on from here.
 */
bool file_writer_write(struct file_writer *w, const void *bytes, size_t length, struct error *err);
bool file_writer_flush(struct file_writer *w, struct error *err); /* fsync */
bool file_writer_close(struct file_writer *w, struct error *err); /* also after a failure */

/** A file being written in pieces of text, gathered into few writes. The first failure counts. */
struct file_sheet {
    struct file_writer file;
    struct error *err;
    bool ok;
    size_t length;
    char bytes[1 << 16];
};
bool file_sheet_open(struct file_sheet *sheet, const char *path, struct error *err);
void file_sheet_add_bytes(struct file_sheet *sheet, const char *bytes, size_t length);
void file_sheet_add(struct file_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool file_sheet_close(struct file_sheet *sheet);

/** A file being read at chosen offsets (a checkpoint's tensors). */
struct file_reader {
    int fd;
    int64_t length;
    char path[FILE_PATH_BYTES];
};
bool file_reader_open(struct file_reader *r, const char *path, struct error *err);
/** What the system keeps of a flushed file in memory is dropped where it can be, so that what is
 * read comes from the disk. */
void file_reader_forget(const struct file_reader *r);
bool file_reader_read(struct file_reader *r, int64_t offset, void *bytes, size_t length,
                      struct error *err);
void file_reader_close(struct file_reader *r);

/** Replace path by these bytes, atomically: written aside, flushed, renamed, parent folder flushed.
 */
bool file_replace(const char *path, const void *bytes, size_t length, struct error *err);

bool file_rename(const char *from, const char *to, struct error *err);
bool file_flush_folder(const char *path, struct error *err);
bool file_make_folders(const char *path, struct error *err); /* with parents; ERROR_CREATE */
/** Whether there is a folder for the file at path: to be asked before the work whose result goes
 * there. ERROR_CREATE; ERROR_CONFIG if the path is too long. */
bool file_has_folder(const char *path, struct error *err);
/** The folder that path lies in, into FILE_PATH_BYTES; path fits there itself. */
void file_parent(char *out, const char *path);
/** What a file may be, and how one is known by its bytes. */
struct file_form {
    const char *name; /* as people call one */
    bool (*is_one)(const unsigned char *bytes, size_t length);
};
/** Whether path may be written over: nothing is there, an empty file, or one of the form. A name
 * mistyped, or an argument too few, shall cost nobody a file. To be asked before the work whose
 * result goes there. ERROR_CREATE. */
bool file_may_replace(const char *path, const struct file_form *form, struct error *err);
/** See in this folder what other hosts have put there or removed. A network file system goes on to
 * find a name, or not to find it, as it did before (NFS for up to a minute), but asks the server
 * when a folder is opened (NFS unless it is mounted with nocto). */
void file_refresh(const char *folder);
/** False also where looking failed. */
bool file_exists(const char *path);
/** Nothing is there; false also where looking failed, for opening it then says why. */
bool file_is_absent(const char *path);
/** A folder, pipe or device is there. */
bool file_is_irregular(const char *path);
bool file_is_folder(const char *path);
bool file_is_same(const char *a, const char *b);       /* both there, under whatever names */
bool file_holds_same(const char *a, const char *b);    /* both regular, of the same bytes */
int64_t file_length(const char *path);                 /* -1: not a regular file */
bool file_remove(const char *path, struct error *err); /* one file; absent is no error */
/** Remove a folder of ours with its contents, at most four deep, following no symbolic link; absent
 * is no error. */
bool file_remove_tree(const char *path, struct error *err);

/** Call visit for each entry of a folder, in no order, "." and ".." left out; stops when visit
 * returns false. The C library allocates for it, and frees, inside the call. */
bool file_list(const char *path, bool (*visit)(void *user, const char *name), void *user,
               struct error *err);

/** Join with one slash. False (ERROR_CONFIG) if the result does not fit FILE_PATH_BYTES. */
bool file_join(char *out, const char *folder, const char *name, struct error *err);

/** What came of a lock. */
enum file_lock {
    FILE_LOCKED,
    FILE_LOCK_HELD,  /* by another process */
    FILE_LOCKLESS,   /* this file system has no locks */
    FILE_LOCK_FAILED /* the file cannot be opened or written */
};
/** Take an advisory lock that dies with its owner, without waiting. `owner` is one line written
 * into the file; holder is the line of the process that has it, "" if unknown. All but FILE_LOCKED
 * leave *fd < 0 and set ERROR_CREATE or ERROR_IO. */
enum file_lock file_lock(int *fd, const char *path, const char *owner,
                         char holder[FILE_OWNER_BYTES], struct error *err);
void file_unlock(int *fd);
/** Whether somebody has the lock now. False where that cannot be told. */
bool file_is_locked(const char *path);

#endif
