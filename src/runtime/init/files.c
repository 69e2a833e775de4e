/* The files by which programs find whom to trust, names, and users. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

enum {
  BUNDLE_LIMIT = 16 * 1024 * 1024, /* a full bundle is 200 to 250 KB */
  FILE_LIMIT = 1024 * 1024,        /* of hosts, passwd and group */
};

static char* print(const char* format, ...) __attribute__((format(printf, 1, 2)));

static char* print(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char* text = NULL;
  if (vasprintf(&text, format, arguments) < 0) fail(ENOMEM, "memory");
  va_end(arguments);
  return text;
}

static bool ends_with(const char* text, size_t size, const char* end) {
  size_t length = strlen(end);
  return size >= length && memcmp(text + size - length, end, length) == 0;
}

/* 0 when the bundle ends with the CA now, however it came there (links make one file of many). */
static int add_ca(const char* path, const char* pem) {
  size_t size = 0;
  char* before = file_read(path, BUNDLE_LIMIT, &size);
  if (before == NULL && errno != ENOENT) return errno;
  bool there = before != NULL && ends_with(before, size, pem);
  bool needs_newline = before != NULL && size > 0 && before[size - 1] != '\n';
  free(before);
  if (there) return 0;
  char* text = print("%s%s", needs_newline ? "\n" : "", pem);
  int error = file_append(path, text, strlen(text));
  free(text);
  if (error != 0) return error;

  char* after = file_read(path, BUNDLE_LIMIT, &size);
  if (after == NULL) return errno;
  there = ends_with(after, size, pem);
  free(after);
  return there ? 0 : EIO;
}

static void write_ca(struct files* files, const struct spec* spec) {
  const char* refused = NULL;
  int why = 0;
  for (size_t i = 0; i < spec->bundles.count; ++i) {
    const char* path = spec->bundles.items[i];
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode)) continue;
    int error = add_ca(path, spec->ca);
    if (error != 0) {
      refused = path;
      why = error;
      continue;
    }
    if (files->ca == NULL) files->ca = path;
    files->ca_all = files->ca_all == NULL ? path : print("%s %s", files->ca_all, path);
  }
  if (files->ca != NULL) return;
  if (refused != NULL) fail(why, "ca: %s", refused);
  const char* path = spec->bundles.items[0];
  int error = make_directories(path, false);
  if (error == 0) error = add_ca(path, spec->ca);
  if (error != 0) fail(error, "ca: %s", path);
  files->ca = files->ca_all = path;
}

static void write_resolv_conf(void) {
  static const char path[] = "/etc/resolv.conf";
  static const char wanted[] = "nameserver 127.0.0.1\n";
  size_t size = 0;
  char* text = file_read(path, FILE_LIMIT, &size);
  bool right = text != NULL && strcmp(text, wanted) == 0;
  free(text);
  if (right) return;
  int error = file_replace(path, wanted);
  if (error != 0) fail(error, "%s", path);
}

/* Does any line of `text`, up to its comment, name `host` after the address? */
static bool hosts_name(const char* text, const char* host) {
  size_t length = strlen(host);
  bool comment = false, first = true;
  for (const char* at = text; *at != '\0';) {
    size_t word = strcspn(at, " \t\r\n#");
    if (word > 0 && !comment) {
      if (!first && word == length && strncmp(at, host, length) == 0) return true;
      first = false;
    }
    at += word;
    if (*at == '#') comment = true;
    if (*at == '\n') comment = false, first = true;
    if (*at != '\0') ++at;
  }
  return false;
}

static void append_or_fail(const char* path, const char* before, const char* line) {
  size_t size = strlen(before);
  char* text = print("%s%s", size > 0 && before[size - 1] != '\n' ? "\n" : "", line);
  int error = file_append(path, text, strlen(text));
  if (error != 0) fail(error, "%s", path);
  free(text);
}

static char* read_or_empty(const char* path) {
  size_t size = 0;
  char* text = file_read(path, FILE_LIMIT, &size);
  if (text == NULL && errno != ENOENT) fail(errno, "%s", path);
  return text != NULL ? text : allocate(1);
}

static bool plain_name(const char* name) {
  if (*name == '\0' || strlen(name) > 253) return false;
  for (; *name != '\0'; ++name) {
    bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
    if (!letter && !(*name >= '0' && *name <= '9') && *name != '-' && *name != '.') return false;
  }
  return true;
}

static void write_hosts(const struct spec* spec) {
  static const char path[] = "/etc/hosts";
  make_directories(path, false);
  char* text = read_or_empty(path);
  const char* host = spec->hostname != NULL ? spec->hostname : "localhost";
  if (!plain_name(host)) fail(EINVAL, "hostname");
  char* more = print("%s%s%s%s",
                     hosts_name(text, "localhost") ? "" : "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
                     hosts_name(text, host) || strcmp(host, "localhost") == 0 ? "" : "127.0.0.1\t",
                     hosts_name(text, host) || strcmp(host, "localhost") == 0 ? "" : host,
                     hosts_name(text, host) || strcmp(host, "localhost") == 0 ? "" : "\n");
  if (*more != '\0') append_or_fail(path, text, more);
  free(more);
  free(text);
}

/* In a file of lines "name:x:NUMBER:...": is there one of this number; is there one of this name?
 */
static bool has_id(const char* text, unsigned long id) {
  for (const char* line = text; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') ++line;
    const char* end = line + strcspn(line, "\n");
    const char* field = line;
    for (int i = 0; i < 2 && field != NULL; ++i) {
      field = memchr(field, ':', (size_t)(end - field));
      if (field != NULL) ++field;
    }
    char* after = NULL;
    if (field != NULL && *field >= '0' && *field <= '9' && strtoul(field, &after, 10) == id &&
        *after == ':')
      return true;
  }
  return false;
}

static const char* free_name(const char* text, unsigned long id) {
  if (strncmp(text, "agent:", 6) != 0 && strstr(text, "\nagent:") == NULL) return "agent";
  return print("agent%lu", id);
}

static void write_user(const struct spec* spec) {
  const char* home = spec->home != NULL ? spec->home : "/";
  char* users = read_or_empty("/etc/passwd");
  char* groups = read_or_empty("/etc/group");
  if (strpbrk(home, ":\n") != NULL) fail(EINVAL, "home");
  if (!has_id(users, spec->uid)) {
    const char* name = spec->uid == 0 ? "root" : free_name(users, spec->uid);
    const char* shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    append_or_fail("/etc/passwd", users,
                   print("%s:x:%lu:%lu:%s:%s:%s\n", name, (unsigned long)spec->uid,
                         (unsigned long)spec->gid, name, home, shell));
  }
  if (!has_id(groups, spec->gid))
    append_or_fail("/etc/group", groups,
                   print("%s:x:%lu:\n", spec->gid == 0 ? "root" : free_name(groups, spec->gid),
                         (unsigned long)spec->gid));
  free(users);
  free(groups);
}

/* Where ssh looks whoever runs it and wherever their home is: GlobalKnownHostsFile's default. */
static void write_known_hosts(const struct spec* spec) {
  static const char path[] = "/etc/ssh/ssh_known_hosts";
  int error = make_directories(path, false);
  if (error != 0) fail(error, "%s", path);
  char* text = read_or_empty(path);
  append_or_fail(path, text, spec->known_hosts);
  free(text);
}

static void make_home(const struct spec* spec) {
  struct stat status;
  if (spec->home == NULL || stat(spec->home, &status) == 0) return;
  int error = make_directories(spec->home, true);
  if (error != 0) fail(error, "home: %s", spec->home);
  /* A nested user namespace maps the user to the one we are: what we make is the user's. */
  if (!spec->nest && chown(spec->home, spec->uid, spec->gid) != 0)
    fail(errno, "home: %s", spec->home);
}

void files_write(struct files* files, const struct spec* spec) {
  memset(files, 0, sizeof *files);
  if (spec->ca != NULL) write_ca(files, spec);
  if (spec->store != NULL) stores_write(spec);
  write_resolv_conf();
  write_hosts(spec);
  write_user(spec);
  if (spec->known_hosts != NULL) write_known_hosts(spec);
  make_home(spec);
  home_write(spec);
}

static bool sets(const struct strings* env, const char* name) {
  size_t length = strlen(name);
  for (size_t i = 0; i < env->count; ++i)
    if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=') return true;
  return false;
}

char** files_environment(const struct files* files, const struct spec* spec) {
  char** environment = allocate((spec->env.count + spec->ca_env.count + 1) * sizeof(char*));
  size_t count = 0;
  for (size_t i = 0; i < spec->env.count; ++i) environment[count++] = spec->env.items[i];
  for (size_t i = 0; files->ca != NULL && i < spec->ca_env.count; ++i)
    if (!sets(&spec->env, spec->ca_env.items[i]))
      environment[count++] = print("%s=%s", spec->ca_env.items[i], files->ca);
  return environment;
}
