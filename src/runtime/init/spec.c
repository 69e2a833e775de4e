/* The spec's items, taken apart in place. */
#include <stdlib.h>
#include <string.h>

#include "init.h"

enum { HEADER = 5 };

/* At the item's own place, one byte down: its last header byte makes room for a NUL at the end. */
static char* terminate(unsigned char* item, size_t size) {
  char* text = (char*)item + HEADER - 1;
  memmove(text, item + HEADER, size);
  text[size] = '\0';
  return text;
}

static bool parse_decimal(const char* text, unsigned long high, unsigned long* value) {
  *value = 0;
  if (*text == '\0' || strlen(text) > 10) return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    *value = *value * 10 + (unsigned long)(*text - '0');
  }
  return *value <= high;
}

static bool parse_flag(const char* text, bool* value) {
  *value = *text == '1';
  return (*text == '0' || *text == '1') && text[1] == '\0';
}

/* "ROWS COLUMNS" */
static bool parse_size(char* text, struct spec* spec) {
  char* space = strchr(text, ' ');
  if (space == NULL) return false;
  *space = '\0';
  unsigned long rows, columns;
  if (!parse_decimal(text, UINT16_MAX, &rows) || !parse_decimal(space + 1, UINT16_MAX, &columns))
    return false;
  spec->rows = (uint16_t)rows;
  spec->columns = (uint16_t)columns;
  return true;
}

static const char* take(struct spec* spec, unsigned tag, char* text) {
  unsigned long number;
  switch (tag) {
    case MOAT_SPEC_ARG:
      spec->args.items[spec->args.count++] = text;
      return NULL;
    case MOAT_SPEC_ENV:
      if (strchr(text, '=') == NULL || *text == '=') return "spec: a variable without a name";
      spec->env.items[spec->env.count++] = text;
      return NULL;
    case MOAT_SPEC_BUNDLE:
      if (*text != '/') return "spec: a bundle's path is not absolute";
      spec->bundles.items[spec->bundles.count++] = text;
      return NULL;
    case MOAT_SPEC_CA_ENV:
      spec->ca_env.items[spec->ca_env.count++] = text;
      return NULL;
    case MOAT_SPEC_WORKDIR:
      spec->workdir = text;
      return *text == '/' ? NULL : "spec: workdir";
    case MOAT_SPEC_HOME:
      spec->home = text;
      return *text == '/' ? NULL : "spec: home";
    case MOAT_SPEC_HOSTNAME:
      spec->hostname = text;
      return NULL;
    case MOAT_SPEC_STORE:
      spec->store = text;
      return NULL;
    case MOAT_SPEC_STORE_PATH:
      if (*text != '/') return "spec: a store's path is not absolute";
      spec->stores.items[spec->stores.count++] = text;
      return NULL;
    case MOAT_SPEC_HOME_FILE:
      if (*text == '/' || strchr(text, '\n') == NULL) return "spec: a file of the home";
      spec->home_files.items[spec->home_files.count++] = text;
      return NULL;
    case MOAT_SPEC_CA:
      spec->ca = text;
      return NULL;
    case MOAT_SPEC_AGENT:
      spec->agent = text;
      return *text == '/' ? NULL : "spec: the agent's path is not absolute";
    case MOAT_SPEC_TERMINAL:
      spec->terminal = true;
      return parse_size(text, spec) ? NULL : "spec: terminal";
    case MOAT_SPEC_KNOWN_HOSTS:
      spec->known_hosts = text;
      return NULL;
    case MOAT_SPEC_UID:
      if (!parse_decimal(text, UINT32_MAX - 1, &number)) return "spec: uid";
      spec->uid = (uid_t)number;
      return NULL;
    case MOAT_SPEC_GID:
      if (!parse_decimal(text, UINT32_MAX - 1, &number)) return "spec: gid";
      spec->gid = (gid_t)number;
      return NULL;
    case MOAT_SPEC_PORT:
      if (!parse_decimal(text, 65535, &number) || number == 0) return "spec: port";
      if (spec->port_count == MOAT_INIT_MAX_PORTS) return "spec: too many ports";
      spec->ports[spec->port_count++] = (uint16_t)number;
      return NULL;
    case MOAT_SPEC_NEST:
      return parse_flag(text, &spec->nest) ? NULL : "spec: nest";
    case MOAT_SPEC_NEW_PRIVS:
      return parse_flag(text, &spec->new_privs) ? NULL : "spec: new_privs";
    case MOAT_SPEC_REDIRECT:
      return parse_flag(text, &spec->redirect) ? NULL : "spec: redirect";
    default:
      return "spec: an unknown item";
  }
}

const char* spec_parse(struct spec* spec, unsigned char* bytes, size_t size) {
  size_t items = 0;
  for (size_t at = 0; at < size; ++items) {
    if (size - at < HEADER) return "spec: cut short";
    size_t length = get32(bytes + at + 1);
    if (length > size - at - HEADER) return "spec: cut short";
    if (memchr(bytes + at + HEADER, '\0', length) != NULL) return "spec: a NUL";
    at += HEADER + length;
  }

  memset(spec, 0, sizeof *spec);
  spec->workdir = "/";
  spec->redirect = true;
  struct strings* lists[] = {&spec->args,   &spec->env,    &spec->bundles,
                             &spec->ca_env, &spec->stores, &spec->home_files};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; ++i)
    lists[i]->items = allocate((items + 1) * sizeof(char*));
  bool has_uid = false, has_gid = false;
  for (size_t at = 0; at < size;) {
    unsigned tag = bytes[at];
    size_t length = get32(bytes + at + 1);
    const char* wrong = take(spec, tag, terminate(bytes + at, length));
    if (wrong != NULL) return wrong;
    if (tag == MOAT_SPEC_UID) has_uid = true;
    if (tag == MOAT_SPEC_GID) has_gid = true;
    at += HEADER + length;
  }
  /* A missing id is not taken for root's. */
  if (!has_uid || !has_gid) return "spec: no uid or gid";
  if (spec->args.count == 0) return "spec: no command";
  if (spec->ca != NULL && spec->bundles.count == 0) return "spec: no bundle for the CA";
  return NULL;
}
